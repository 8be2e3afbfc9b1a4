"""Matching-aware attack: poisoned episodes under the loss of the defence that the victim will use.

The victim adapts as a matching network (Sec. 4; `fedmeta.defences.matching`). The attacker trains the embedding with
that loss, leave-one-out attention over the episode's support, and leaves the classifier, which the victim does not use,
as it is. An adaptive attack on the paper's defence; we know of no publication of it.
"""

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from fedmeta import plugins
from fedmeta.attacks import one_shot
from fedmeta.attacks.interface import AttackData
from fedmeta.attacks.learning import AttackLearner, embedding_length
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.defences.glorot_mix import GlorotMix
from fedmeta.defences.interface import Rates
from fedmeta.defences.matching import Matching
from fedmeta.settings.fields import Factor


class Options(OneShotOptions):
    scale: Factor = Field(10.0, description="beta_l of the victim's attention; its gates alpha_l are assumed to be one")


class MatchingAware(AttackLearner):
    """The victim's loss at its start: gates at one, scales at `scale`. A step embeds the whole support."""

    def __init__(self, data: AttackData, scale: float):
        super().__init__(data, embedding_length(data.network))
        rates = Rates(self.trainer.learning_rate, self.trainer.beta2)
        options: Any = plugins.options("defence", {"method": "matching"})
        self.victim = Matching(data.network, rates, GlorotMix(1, "shared", data.seed), options)
        self.gates = torch.ones(data.network.ways, data.network.embedding_size)
        self.scales = torch.full((data.network.ways,), scale)

    def embedded(self, rows: Tensor, count: int) -> Tensor:
        return torch.arange(count, device=rows.device)

    def objective(self, features, kernel, bias, labels, rows):
        gates, scales = self.gates.to(features.device), self.scales.to(features.device)
        return self.victim.leave_one_out(features, gates, scales, labels, rows)


class Attack(one_shot.Attack):
    def learner(self, user: int) -> MatchingAware:
        return MatchingAware(self.data, self.options.scale)
