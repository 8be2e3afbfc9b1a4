"""Supervised fine-tuning by a benign user: Experiment 2, and from a Glorot mix of the shared model (App. A.2)."""

from collections.abc import Sequence

from torch import Tensor

from fedmeta.defences.glorot_mix import GlorotMix
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Supervised


class FineTuning(Supervised):
    """Supervised fine-tuning of the shared model or, with a `mix`, from its Glorot mix."""

    def __init__(self, network: Conv4, learning_rate: float, beta2: float, mix: GlorotMix | None = None):
        super().__init__(network, learning_rate, beta2)
        self.mix = mix

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        return self.mix.start(self.network, parameters, names) if self.mix else parameters.clone()
