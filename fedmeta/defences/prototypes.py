"""Nearest class mean, without any training: the null model of the defences.

The class of an image is the one whose mean embedding over the support set is nearest, as in prototypical networks
(Snell, Swersky & Zemel 2017, NeurIPS), which use the Euclidean distance and are trained for it. Here, the embedding
is as the client received it, or its Glorot mix. By default, the distance is the cosine, as in the paper's matching
network. The decision layer is not used.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fedmeta.defences.glorot_mix import Delta, GlorotMix, Norms
from fedmeta.defences.interface import Rates
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Learner
from fedmeta.settings.fields import DefenceOptions, Number, Several


class Options(DefenceOptions):
    iterations: Several[Number] = Field((0,), description="[0]: nothing is trained")
    delta: Delta | None = Field(
        None,
        description="share of the shared model in the Glorot mix, or a list with one per module; null: no mix",
    )
    norms: Norms = Field(
        "shared",
        description="norms of mixed kernels: shared, as in the shared model (the paper); fresh, as in the fresh draw",
    )
    distance: Literal["cosine", "euclidean"] = Field(
        "cosine", description="distance to a class mean: cosine or euclidean"
    )

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        if self.iterations != (0,):
            yield "iterations", "nothing is trained: write [0]"


class Prototypes(Learner):
    """Nearest class mean in the embedding of the shared model or, with a `mix`, of its Glorot mix."""

    def __init__(self, network: Conv4, rates: Rates, mix: GlorotMix | None, distance: str):
        super().__init__(network, *rates)
        self.mix, self.distance = mix, distance

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        return self.mix.start(self.network, parameters, names) if self.mix else parameters.clone()

    def predict(self, variables, support, labels, queries):
        parameters = self.network.views(variables)
        statistics = self.network.test_statistics(parameters, support)
        references = self.network.features(parameters, support, statistics)[0]
        features = self.network.features(parameters, queries, statistics)[0]
        member = (labels == torch.arange(self.network.ways, device=labels.device)[:, None]).to(references.dtype)
        means = member @ references / member.sum(-1, keepdim=True)
        if self.distance == "cosine":
            return (features @ F.normalize(means, dim=-1).T).argmax(-1)
        # |f - m|^2 is least where f m - |m|^2 / 2 is largest.
        return (features @ means.T - means.square().sum(-1) / 2).argmax(-1)


def learner(network: Conv4, options: Options, rates: Rates, seed: tuple[int, int]) -> Prototypes:
    mix = None if options.delta is None else GlorotMix(options.delta, options.norms, seed)
    return Prototypes(network, rates, mix, options.distance)
