"""What an attack is: in which rounds its attackers take part, on what and how they train, and what they send.

A method is a file with a class `Options`, derived from `MethodOptions`, and a class `Attack`, derived from the one
here or from another method's. Rounds count from 1, the first one after pre-training.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import Sampler
from fedmeta.data.splits import Split
from fedmeta.federation.rounds import Federation, difference
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Learner
from fedmeta.settings import Settings
from fedmeta.settings.sections import Trigger


@dataclass(frozen=True)
class AttackData:
    """What the attackers have.

    bank, split: all images, and who has which; keyed: the attack's training set, which is backdoor images with the key,
    class by class; attackers: the users' numbers; settings: engine, model, federation, reptile, attack,
    data.trigger, and meta_steps and outer_learning_rate of meta_train_after; seed, stage: name the draws.
    """

    bank: ImageBank
    split: Split
    keyed: ImageBank
    network: Conv4
    attackers: tuple[int, ...]
    settings: Settings
    seed: int
    stage: str

    @property
    def trigger(self) -> Trigger:
        """The key, which `fedmeta.data.trigger.stamp` stamps on images."""
        return self.settings.data.trigger

    @cached_property
    def unstamped(self) -> np.ndarray:
        """The images of `keyed` without the key, one for one: uint8 (image, height, width, channels)."""
        return self.bank.images[np.concatenate(self.split.backdoor("attack_training"))]


class Training(NamedTuple):
    """How much an attacker trains in a round: `meta_steps` meta-batches of `meta_batch` (B) episodes; epsilon."""

    meta_steps: int
    meta_batch: int
    outer_learning_rate: float


class Attack:
    """An attack with its options and data. A method that is not overridden does what a benign user of Reptile does.

    An attacker's outer step is Reptile's, whatever the benign users' learner: it sends a model that it has trained.
    """

    def __init__(self, options: Any, data: AttackData):
        self.options, self.data = options, data

    def attackers(self, number: int) -> Collection[int]:
        """Return which of `data.attackers` take part in round `number`; benign users take the other places."""
        raise NotImplementedError

    def episodes(self, user: int) -> Sampler:
        """Return what an attacker trains on."""
        raise NotImplementedError

    def training(self, user: int, number: int) -> Training:
        """Return how much an attacker trains in round `number`."""
        raise NotImplementedError

    def learner(self, user: int) -> Learner | None:
        """Return how an attacker adapts to an episode; None: supervised, as in Reptile.

        In training, `learner.shared` is the shared model of the round, (P,): a loss may depend on it.
        """
        return None

    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        """Return what an attacker sends in round `number`, (P,): `shared` is theta_G, `local` its own model theta_i.

        `data.network.views(update)` are the layers of an update.
        """
        return difference(shared, local)

    def replacement(self, before: Federation) -> Federation | None:
        """Return the state after round 1 if it needs no training, else None; `before`: the state before round 1."""
        return None
