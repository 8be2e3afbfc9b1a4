"""Supervised fine-tuning by a benign user: Experiment 2, and from a Glorot mix of the shared model (App. A.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fedmeta.draws import generator
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Supervised


def glorot_mix(parameters: Tensor, fresh: Tensor, delta: float) -> Tensor:
    """Return theta' = delta theta + (1 - delta) theta_g (Sec. 4); `parameters` and `fresh` are theta and theta_g, (P,).

    `fresh` is a newly initialised model: Glorot-uniform kernels, and batch-norm parameters and biases at their
    initial values, mixed alike.
    """
    return torch.lerp(fresh, parameters, delta)


def mixed_start(network: Conv4, parameters: Tensor, delta: float, seed: int, names: Sequence[int]) -> Tensor:
    """Return the Glorot mix of the episode of this name: the same draw for whatever model is mixed."""
    return glorot_mix(parameters, network.initial(generator(seed, "glorot mix", *names)), delta)


class FineTuning(Supervised):
    """Supervised fine-tuning; with a `delta`, from the Glorot mix."""

    def __init__(self, network: Conv4, learning_rate: float, beta2: float, delta: float | None = None, seed: int = 0):
        super().__init__(network, learning_rate, beta2)
        self.delta, self.seed = delta, seed

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        if self.delta is None:
            return parameters.clone()
        return mixed_start(self.network, parameters, self.delta, self.seed, names)
