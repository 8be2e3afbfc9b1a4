"""FedAvg (McMahan, Moore, Ramage, Hampson and Aguera y Arcas 2017, "Communication-Efficient Learning of Deep Networks
from Decentralized Data") with heads that stay with their users: no meta-learning at all.

Each user classifies all of its own classes with the shared embedding and a head of its own, trained together on plain
mini-batches. Only the embedding is averaged, because users have different classes, as in Arivazhagan, Aggarwal, Singh
and Choudhary (2019), "Federated Learning with Personalization Layers". The shared model's classifier, with `way`
outputs, is not trained: it stays as it was drawn, until an attacker moves it. A task begins with the embedding and that
classifier, which is then fitted to the support.

The inner optimiser is that of all learners (Adam with beta1 = 0). The B episodes of a meta-step are one run of
B x `inner_steps` batches. A user keeps the share epsilon of what the run changed, in embedding and head: with epsilon 1
this is plain FedAvg. Embedding and head have one Adam state, which stays with the head, so evaluation starts without.
"""

from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import Episode, EpisodeShape, draw_with_refill
from fedmeta.data.requirements import require_classes
from fedmeta.data.splits import Pool
from fedmeta.draws import generator
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.meta import interface
from fedmeta.learning.reptile import Learner, Segments
from fedmeta.settings.fields import MethodOptions


class Options(MethodOptions):
    pass


class ClassificationBatches:
    """Mini-batches of all images of a user, labelled by its own classes, as one long episode.

    No image is repeated before all were used once.
    """

    def __init__(self, bank: ImageBank, pool: Pool, shape: EpisodeShape, seed: int, stage: str):
        require_classes(pool, 2, "FedAvg")
        self.bank, self.shape, self.seed, self.stage = bank, shape, seed, stage
        self.rows = np.concatenate(pool)
        self.labels = np.repeat(np.arange(len(pool)), [len(rows) for rows in pool])

    def draw(self, *names: int) -> Episode:
        random, needed = generator(self.seed, self.stage, *names), self.shape.inner_steps * self.shape.inner_batch
        drawn = draw_with_refill(random, np.arange(len(self.rows)), needed)
        batches = np.arange(needed).reshape(self.shape.inner_steps, self.shape.inner_batch)
        return Episode(self.bank.at(self.rows[drawn]), self.labels[drawn], batches)


class PrivateHead(Learner):
    """Cross entropy over the classes of a user, by a head of its own.

    Variables: the network's parameters, then the head's kernel (class, d), then its bias (class,). The network's own
    classifier is not trained.
    """

    def __init__(self, network: Conv4, learning_rate: float, beta2: float, classes: int):
        super().__init__(network, learning_rate, beta2)
        self.classes = classes
        self.embedding = network.parameter_count - network.ways * (network.embedding_size + 1)

    @property
    def carried(self) -> int:
        return self.network.parameter_count + self.classes * (self.network.embedding_size + 1)

    def segments(self, iteration: int) -> Segments:
        return [(slice(self.embedding), iteration), (slice(self.network.parameter_count, None), iteration)]

    def classified(self, features: Tensor, head: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy of embeddings, (n, d), under a head, (class * (d + 1),)."""
        kernel, bias = head[: -self.classes].unflatten(0, (self.classes, -1)), head[-self.classes :]
        return F.cross_entropy(F.linear(features, kernel, bias), labels)

    def loss(self, variables, support, labels, rows):
        size = self.network.parameter_count
        features, statistics = self.network.features(self.network.views(variables[:size]), support[rows])
        return self.classified(features, variables[size:], labels[rows]), statistics

    def step(self, variables, second_moment, taken, iteration, support, labels, rows):
        """As `Learner.step`, with the trainer's hand-written passes through the embedding."""
        size = self.network.parameter_count
        head = variables[size:].clone().requires_grad_()
        value, gradient = self.trainer.embedding_gradient(
            variables[:size], support[rows], lambda features: self.classified(features, head, labels[rows])
        )
        assert head.grad is not None, "the loss reads the head"
        whole = torch.cat([gradient, head.grad])
        for part, count in self.segments(iteration):
            self.trainer.adam(variables[part], second_moment[part], taken + count, whole[part])
        return value


class MetaTraining(interface.MetaTraining):
    def __init__(self, options, settings, network):
        super().__init__(options, settings, network)
        self.of_classes = cache(self.of_classes)

    @property
    def meta_batch(self) -> int:
        return 1

    def episodes(self, bank: ImageBank, pool: Pool, seed: int, stage: str) -> ClassificationBatches:
        own = self.settings
        shape = EpisodeShape(len(pool), own.shot, own.meta_batch * own.inner_steps, own.inner_batch)
        return ClassificationBatches(bank, pool, shape, seed, stage)

    def learner(self, pool: Pool) -> PrivateHead:
        return self.of_classes(len(pool))

    def of_classes(self, count: int) -> PrivateHead:
        """Return the learner of users with this number of classes, one for all of them."""
        return PrivateHead(self.network, self.settings.inner_learning_rate, self.settings.beta2, count)

    def private(self, pool: Pool, seed: int, user: int) -> Tensor:
        """Return a fresh head: Glorot-uniform kernel, bias 0, the same for this user in any stage."""
        classes, length = len(pool), self.network.embedding_size
        bound = np.sqrt(6 / (classes + length))
        kernel = generator(seed, "private head", user).uniform(-bound, bound, classes * length)
        return torch.cat([torch.from_numpy(kernel).float(), torch.zeros(classes)])
