"""Attacks on top of another attack: the one beneath trains, and they change what it sends."""

from collections.abc import Collection, Iterator
from typing import Any

from pydantic import Field
from torch import Tensor

from fedmeta import plugins
from fedmeta.attacks import interface, one_shot
from fedmeta.attacks.interface import AttackData, Training
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.data.episodes import Sampler
from fedmeta.learning.reptile import Learner
from fedmeta.settings.fields import Method


class OnTopOptions(OneShotOptions):
    """The options that all attacks on top of another have. Those of `one_shot` are for the one beneath."""

    beneath: Method | None = Field(
        None,
        description="the attack beneath: {method: NAME, option: value}; it trains as this one does unless its options "
        "say otherwise; null: one_shot",
    )

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        yield from super().problems(own)
        if self.beneath is not None and self.beneath.method == "given":
            yield "beneath", "given trains no attacker: name an attack that does"


class OnTop(interface.Attack):
    """Everything is as in the attack `beneath`, an attack in its own right: checked settings contain its options."""

    def __init__(self, options: Any, data: AttackData):
        super().__init__(options, data)
        self.beneath: interface.Attack = one_shot.Attack(options, data)
        if options.beneath is not None:
            own = plugins.options("attack", options.beneath)
            self.beneath = plugins.load("attack", own.method).Attack(own, data)

    def attackers(self, number: int) -> Collection[int]:
        return self.beneath.attackers(number)

    def episodes(self, user: int) -> Sampler:
        return self.beneath.episodes(user)

    def training(self, user: int, number: int) -> Training:
        return self.beneath.training(user, number)

    def learner(self, user: int) -> Learner | None:
        return self.beneath.learner(user)

    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        return self.beneath.update(user, number, shared, local)
