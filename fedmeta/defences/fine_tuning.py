"""Supervised fine-tuning by a benign user: Experiment 2, and from a Glorot mix of the shared model (App. A.2)."""

from collections.abc import Sequence

from pydantic import Field
from torch import Tensor

from fedmeta.defences.glorot_mix import Delta, GlorotMix, Norms
from fedmeta.defences.interface import Rates
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Supervised
from fedmeta.settings.fields import DefenceOptions, Number, Several


class Options(DefenceOptions):
    iterations: Several[Number] = Field(
        (0, 1, 2, 5, 10, 20, 50, 100, 200), description="at which accuracy is measured; training stops at the highest"
    )
    delta: Delta | None = Field(
        None,
        description="share of the shared model in the Glorot mix, or a list with one per module; null: no mix",
    )
    norms: Norms = Field(
        "shared",
        description="norms of mixed kernels: shared, as in the shared model (the paper); fresh, as in the fresh draw",
    )


class FineTuning(Supervised):
    """Supervised fine-tuning of the shared model or, with a `mix`, from its Glorot mix.

    Without a mix, the client keeps the Adam state of its meta-training; from a mix, Adam starts from zero, because its
    state belongs to the model before the mix.
    """

    def __init__(self, network: Conv4, rates: Rates, mix: GlorotMix | None = None):
        super().__init__(network, *rates)
        self.mix, self.keeps_adam = mix, mix is None

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        return self.mix.start(self.network, parameters, names) if self.mix else parameters.clone()


def learner(network: Conv4, options: Options, rates: Rates, seed: tuple[int, int]) -> FineTuning:
    mix = None if options.delta is None else GlorotMix(options.delta, options.norms, seed)
    return FineTuning(network, rates, mix)
