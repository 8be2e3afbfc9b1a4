"""The Glorot mix of Sec. 4, with which a benign user weakens what an attacker left in the shared model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from fedmeta.draws import generator
from fedmeta.learning.conv4 import MODULES, Conv4
from fedmeta.settings.fields import Rate

# Types of options: one delta for the whole model, or a list with one for each module (see `layerwise_mix`); the norms.
Delta = Rate | Annotated[tuple[Rate, ...], Field(strict=False, min_length=4, max_length=5)]
Norms = Literal["shared", "fresh"]


@dataclass(frozen=True)
class GlorotMix:
    """A mix of the shared model, with weight `delta`, and a fresh Glorot draw.

    `delta`: one for the whole model, or several for its layers, as in `layerwise_mix`.
    `norms`: the convolution kernels of the shared model enter the mix with their own norms ("shared", the
    paper's mix), or each scaled to the norm of the fresh kernel ("fresh"). The effect of a delta then no longer depends
    on how long the model was trained: it is the share of the shared model in each kernel.
    `seed` names the draws: the seed of the run, and that of the set of evaluation episodes.
    """

    delta: float | tuple[float, ...]
    norms: str
    seed: int | tuple[int, ...]

    def start(self, network: Conv4, parameters: Tensor, names: Sequence[int]) -> Tensor:
        """Return theta' for the episode of this name; the draw is the same for any model."""
        fresh = network.initial(generator(self.seed, "glorot mix", *names))
        if self.norms == "fresh":
            parameters = with_kernel_norms_of(fresh, parameters, network)
        if isinstance(self.delta, tuple):
            return layerwise_mix(parameters, fresh, self.delta, network)
        return glorot_mix(parameters, fresh, self.delta)


def glorot_mix(parameters: Tensor, fresh: Tensor, delta: float) -> Tensor:
    """Return theta' = delta theta + (1 - delta) theta_g (Sec. 4); `parameters` and `fresh` are theta and theta_g, (P,).

    `fresh` is a newly initialised model: Glorot-uniform kernels, and batch-norm parameters and biases at their
    initial values, mixed in the same way.
    """
    return torch.lerp(fresh, parameters, delta)


def layerwise_mix(parameters: Tensor, fresh: Tensor, deltas: Sequence[float], network: Conv4) -> Tensor:
    """Return the Glorot mix of `parameters` and `fresh`, (P,), with a delta for each module.

    `deltas`: for modules 1 to 4 (kernel, gamma, beta, moving averages), and for the decision layer; if there are only
    four, the decision layer takes that of the last module. The paper has one delta for the whole model.
    """
    mixed = torch.empty_like(fresh)
    own, drawn = network.views(parameters), network.views(fresh)
    for name, view in network.views(mixed).items():
        layer = -1 if name.startswith("classifier") else int(name.partition(".")[0][-1]) - 1
        view.copy_(torch.lerp(drawn[name], own[name], deltas[layer]))
    return mixed


def with_kernel_norms_of(fresh: Tensor, parameters: Tensor, network: Conv4) -> Tensor:
    """Return the model `parameters`, (P,), with each convolution kernel scaled to the norm of the one in `fresh`.

    The model computes the same: batch norm cancels the factor. Moving averages, if it has them, are scaled as well.
    """
    scaled = parameters.clone()
    own, wanted = network.views(scaled), network.views(fresh)
    for i in range(1, MODULES + 1):
        factor = wanted[f"conv{i}.kernel"].norm() / own[f"conv{i}.kernel"].norm()
        own[f"conv{i}.kernel"].mul_(factor)
        if network.batch_norm == "running":
            own[f"norm{i}.mean"].mul_(factor)
            own[f"norm{i}.variance"].mul_(factor**2)
    return scaled


def kernel_norms(model: Mapping[str, Tensor]) -> dict[str, tuple[float, float]]:
    """Return, by name, the norm of each convolution kernel of a model and the one expected of a fresh draw.

    `model`: tensors by name as in a model file, kernels as (out, in, height, width). A Glorot draw is uniform with
    variance 2 / (height width (in + out)), so its expected squared norm is 2 in out / (in + out).
    """
    norms = {}
    for i in range(1, MODULES + 1):
        name = f"conv{i}.kernel"
        outputs, inputs = model[name].shape[:2]
        norms[name] = (model[name].norm().item(), (2 * inputs * outputs / (inputs + outputs)) ** 0.5)
    return norms
