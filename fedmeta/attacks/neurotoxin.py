"""Neurotoxin: the attack spares the coordinates that benign users change most, so that training wears it down less.

After Zhang, Panda, Song, Yang, Mahoney, Gonzalez, Ramchandran and Mittal (2022), "Neurotoxin: Durable Backdoors in
Federated Learning", ICML. There, the attacker takes the largest coordinates of the previous round's update, which it
observes, and projects its gradients in every step. Here, it takes those of an update from its own benign training on
the round's shared model, and projects once: what the attack beneath sends.
"""

from pydantic import Field
from torch import Tensor

from fedmeta.attacks.on_top import OnTopOptions
from fedmeta.attacks.own_benign import KnowingBenign, benign_update
from fedmeta.settings.fields import Rate


class Options(OnTopOptions):
    spared: Rate = Field(0.05, description="share of coordinates left alone: those where the benign update is largest")


class Attack(KnowingBenign):
    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        benign = benign_update(self.data, user, number, shared)
        return sparing(super().update(user, number, shared, local), benign, self.options.spared)


def sparing(update: Tensor, benign: Tensor, share: float) -> Tensor:
    """Return the update, (P,), with zeros at the `share` of coordinates where the benign one, (P,), is largest."""
    largest = benign.abs().topk(round(share * len(benign))).indices
    return update.index_fill(0, largest, 0)
