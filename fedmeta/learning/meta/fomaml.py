"""First-order MAML (Finn, Abbeel and Levine 2017, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks").

In each episode the model adapts to the support as in Reptile. Then the gradient of the loss on held-out queries is
taken at the adapted model, and a meta-step moves theta against the mean of these gradients: second derivatives are left
out, as in Sec. 5.2 there. Chen, Luo, Dong, Li and He (2018), "Federated Meta-Learning with Fast Convergence and
Efficient Communication", use it in a federation, where each user sends its gradient. Here a user takes `meta_steps`
steps of its own and sends the difference, as with Reptile.

What differs: the outer optimiser is plain gradient descent, not Adam, whose state users would have to share. Its rate
is `rate` times epsilon, so epsilon and its schedule (`outer_learning_rate`) shorten a meta-step as in Reptile. Queries
are normalised by their own batch, as the authors' code does in training. With `batch_norm: running`, the moving
averages, which have no gradient, move towards those of the adapted models, as in Reptile.
"""

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor
from torch.func import grad

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import BenignEpisodes, Episode, EpisodeShape, draw_batches, draw_with_refill
from fedmeta.data.splits import Pool
from fedmeta.draws import generator
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.meta import interface
from fedmeta.learning.reptile import Supervised
from fedmeta.settings.fields import Count, Factor, MethodOptions


class Options(MethodOptions):
    rate: Factor = Field(0.1, description="of the outer gradient descent; a meta-step uses epsilon times it")
    queries: Count = Field(5, description="per class, on which the outer gradient is taken")


class HeldOutEpisodes(BenignEpisodes):
    """A user's episodes with queries: training examples of the episode's classes that are not in the support.

    A class with fewer than K + `queries` examples holds out those beyond K, but at least a third of all. If there are
    too few for the support or the queries, some are used several times; none is in both.
    """

    def __init__(self, bank: ImageBank, pool: Pool, shape: EpisodeShape, queries: int, seed: int, stage: str):
        super().__init__(bank, pool, shape, seed, stage)
        self.queries = queries

    def draw(self, *names: int) -> Episode:
        random = generator(self.seed, self.stage, *names)
        way, shot = self.shape.way, self.shape.shot
        support, queries = [], []
        for k in random.choice(len(self.pool), way, replace=False):
            rows = random.permutation(self.pool[k])
            held_out = min(self.queries, max(len(rows) - shot, len(rows) // 3, 1))
            queries.append(draw_with_refill(random, rows[:held_out], self.queries))
            support.append(draw_with_refill(random, rows[held_out:], shot))
        return Episode(
            self.bank.at(np.concatenate(support)),
            np.repeat(np.arange(way), shot),
            draw_batches(random, way * shot, self.shape),
            self.bank.at(np.concatenate(queries)),
            np.repeat(np.arange(way), self.queries),
        )


class FirstOrder(Supervised):
    """Supervised adaptation, whose outcome is a descent step from the start along the gradient on the queries."""

    def __init__(self, network: Conv4, learning_rate: float, beta2: float, rate: float):
        super().__init__(network, learning_rate, beta2)
        self.rate, self.averages = rate, torch.zeros(network.parameter_count, dtype=torch.bool)
        for name, view in network.views(self.averages).items():
            view.fill_(name.endswith(("mean", "variance")))

    def query_loss(self, variables: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy of the queries, a scalar."""
        return F.cross_entropy(self.network.logits(self.network.views(variables), queries)[0], labels)

    def outcome(self, begun, variables, queries, labels):
        stepped = begun - self.rate * grad(self.query_loss)(variables, queries, labels)
        return torch.where(self.averages.to(variables.device), variables, stepped)


class MetaTraining(interface.MetaTraining):
    def episodes(self, bank: ImageBank, pool: Pool, seed: int, stage: str) -> HeldOutEpisodes:
        return HeldOutEpisodes(bank, pool, self.shape, self.options.queries, seed, stage)

    def learner(self, pool: Pool) -> FirstOrder:
        return self.adapting

    @cached_property
    def adapting(self) -> FirstOrder:
        """One for all users."""
        own = self.settings
        return FirstOrder(self.network, own.inner_learning_rate, own.beta2, self.options.rate)
