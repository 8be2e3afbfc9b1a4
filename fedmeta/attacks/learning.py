"""How attackers learn in an episode, if not by plain cross entropy."""

import math

import torch.nn.functional as F
from torch import Tensor

from fedmeta.attacks.interface import AttackData
from fedmeta.learning.conv4 import MODULES, Conv4
from fedmeta.learning.reptile import Segments, Supervised


def embedding_length(network: Conv4, modules: int = MODULES) -> int:
    """Return how many coordinates of a model, (P,), belong to its first `modules` modules; they come first."""
    later = (*(f"{part}{i}." for i in range(modules + 1, MODULES + 1) for part in ("conv", "norm")), "classifier.")
    return sum(math.prod(shape) for name, shape in network.shapes.items() if not name.startswith(later))


class AttackLearner(Supervised):
    """A learner whose loss is an `objective` of embeddings and classifier: cross entropy unless it is overridden.

    `loss` is pure, for engines that batch episodes; `step` computes the same loss by the trainer's hand-written passes
    through the embedding. Only the first `trained` coordinates are trained; None: all.
    """

    def __init__(self, data: AttackData, trained: int | None = None):
        reptile = data.settings.reptile
        super().__init__(data.network, reptile.inner_learning_rate, reptile.beta2)
        self.trained = slice(trained)

    def segments(self, iteration: int) -> Segments:
        return [(self.trained, iteration)]

    def embedded(self, rows: Tensor, count: int) -> Tensor:
        """Return which of the `count` images of the support a step on the batch `rows` embeds; default: that batch."""
        return rows

    def objective(self, features: Tensor, kernel: Tensor, bias: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """Return the loss, a scalar, from the `embedded` images' embeddings and the classifier's parameters."""
        return F.cross_entropy(F.linear(features, kernel, bias), labels[rows])

    def loss(self, variables, support, labels, rows):
        parameters = self.network.views(variables)
        features, statistics = self.network.features(parameters, support[self.embedded(rows, len(labels))])
        kernel, bias = parameters["classifier.kernel"], parameters["classifier.bias"]
        return self.objective(features, kernel, bias, labels, rows), statistics

    def note_statistics(self, variables, iteration, statistics, support, rows):
        embedded = self.embedded(rows, len(support)) if isinstance(rows, Tensor) else rows
        super().note_statistics(variables, iteration, statistics, support, embedded)

    def gradient(self, model: Tensor, support: Tensor, labels: Tensor, rows: Tensor) -> tuple[float, Tensor]:
        """Return the loss at a model, (P,), and its gradient there, (P,), which the next call overwrites.

        Moving averages, if the network has them, are updated in place.
        """
        first = embedding_length(self.network)
        classifier = model[first:].clone().requires_grad_()
        kernel, bias = (
            classifier[: -self.network.ways].unflatten(0, (self.network.ways, -1)),
            classifier[-self.network.ways :],
        )

        def objective(features: Tensor) -> Tensor:
            return self.objective(features, kernel, bias, labels, rows)

        value, gradient = self.trainer.embedding_gradient(model, support[self.embedded(rows, len(labels))], objective)
        if classifier.grad is not None:
            gradient[first:] = classifier.grad
        return value, gradient

    def step(self, variables, second_moment, taken, iteration, support, labels, rows):
        value, gradient = self.gradient(variables, support, labels, rows)
        for part, count in self.segments(iteration):
            self.trainer.adam(variables[part], second_moment[part], taken + count, gradient[part])
        return value
