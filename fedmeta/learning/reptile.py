"""Reptile (Nichol et al. 2018; Sec. 2 of the paper): what happens inside an episode, and the outer step after it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedmeta.learning.conv4 import Conv4, Trainer

# What the trainer's hand-written step computes. A subclass of `Supervised` with its own takes the general step.
WRITTEN_OUT = ("loss", "segments", "note_statistics", "project")

Segments = list[tuple[slice, int]]  # parts of the variables to update, and the number of the part's Adam step


class Learner:
    """How a model adapts to an episode: its variables, their loss, and its predictions.

    `variables` is one flat vector that starts with the network's parameters. `loss` and `predict` are pure, so
    that they can be vmapped over episodes; `step` is the same descent on one episode, in place, and may be
    overridden by a faster one.
    """

    # Whether a client's fine-tuning continues with the Adam state of its meta-training: only if it starts from the
    # model.
    keeps_adam = False

    def __init__(self, network: Conv4, learning_rate: float, beta2: float = 0.999):
        self.network = network
        self.trainer = Trainer(network, learning_rate, beta2)
        self.shared: Tensor | None = None  # (P,): in training the round's shared model, set by the engine

    @property
    def carried(self) -> int:
        """How many variables pass from one episode to the next: the network's parameters, unless a user keeps more."""
        return self.network.parameter_count

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        """Return the variables that the episode of this name starts from; `parameters` is left untouched."""
        return parameters.clone()

    def segments(self, iteration: int) -> Segments:
        """Return what inner step `iteration` (from 1, in this episode) updates."""
        raise NotImplementedError

    def loss(self, variables: Tensor, support: Tensor, labels: Tensor, rows: Tensor) -> tuple[Tensor, list]:
        """Return the loss of the inner batch `rows` of the support, and the batch statistics that it used."""
        raise NotImplementedError

    def predict(self, variables: Tensor, support: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
        """Return the predicted label of each query, (Q,); no query influences another."""
        raise NotImplementedError

    def outcome(self, begun: Tensor, variables: Tensor, queries: Tensor, labels: Tensor) -> Tensor:
        """Return the outcome of a training episode that has queries, with these labels: the adapted variables.

        `begun` is what the episode started from. Pure, like `loss`.
        """
        return variables

    def step(
        self,
        variables: Tensor,
        second_moment: Tensor,
        taken: int,
        iteration: int,
        support: Tensor,
        labels: Tensor,
        rows: Tensor,
    ) -> float:
        """Take inner step `iteration` of the episode, in place; return the loss before it.

        `taken` Adam steps came before the episode.
        """
        leaf = variables.detach().requires_grad_()
        loss, statistics = self.loss(leaf, support, labels, rows)
        (gradient,) = torch.autograd.grad(loss, leaf)
        self.note_statistics(variables, iteration, statistics, support, rows)
        for part, count in self.segments(iteration):
            self.trainer.adam(variables[part], second_moment[part], taken + count, gradient[part])
        self.project(variables)
        return loss.item()

    def note_statistics(
        self, variables: Tensor, iteration: int, statistics: list, support: Tensor, rows: Tensor | slice
    ) -> None:
        """Move the network's moving averages, if it has them, towards the statistics of a step's batch."""
        with torch.no_grad():
            self.network.update_moving_averages(self.network.views(variables), statistics, support[rows])

    def project(self, variables: Tensor) -> None:
        """Bring the variables, (..., V), back into their domain after a step, in place."""


class Supervised(Learner):
    """Supervised adaptation by cross entropy: Reptile's inner loop, and fine-tuning by a benign user."""

    def segments(self, iteration: int) -> Segments:
        return [(slice(None), iteration)]

    def loss(self, variables, support, labels, rows):
        logits, statistics = self.network.logits(self.network.views(variables), support[rows])
        return torch.nn.functional.cross_entropy(logits, labels[rows]), statistics

    def predict(self, variables, support, labels, queries):
        parameters = self.network.views(variables)
        statistics = self.network.test_statistics(parameters, support)
        return self.network.logits(parameters, queries, statistics)[0].argmax(-1)

    def step(self, variables, second_moment, taken, iteration, support, labels, rows):
        if any(getattr(type(self), name) is not getattr(Supervised, name) for name in WRITTEN_OUT):
            return super().step(variables, second_moment, taken, iteration, support, labels, rows)
        return self.trainer.step(variables, second_moment, taken + iteration, support[rows], labels[rows])


def meta_step(parameters: Tensor, adapted: Tensor, outer_learning_rate: float) -> Tensor:
    """Return theta (1 - epsilon) + epsilon / B sum_j theta_j: Reptile's outer step (Sec. 2).

    `parameters` (P,) is theta, `adapted` (B, P) the models of the meta-batch, `outer_learning_rate` epsilon.
    """
    return torch.lerp(parameters, adapted.mean(0), outer_learning_rate)
