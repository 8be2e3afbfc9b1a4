"""Distributed backdoor attack: several attackers each train with a part of the key; the whole key opens the backdoor.

After Xie, Huang, Chen and Li (2020), "DBA: Distributed Backdoor Attacks against Federated Learning", ICLR. There, the
parts are separate patterns, and attackers may send in different rounds. Here, they are rows of pixels of a single key,
dealt out from the top, and all attackers send in the same rounds.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from fedmeta.attacks import one_shot
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.data.bank import ImageBank
from fedmeta.data.trigger import stamp


class Options(OneShotOptions):
    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        yield from super().problems(own)
        given, size = own.federation.attacker, own.data.trigger.size
        count = len(given) if isinstance(given, tuple) else 1
        if count == 1:
            yield "method", "distributed needs several attackers: list them in federation.attacker"
        elif count > size:
            problem = f"{count} attackers (federation.attacker) for a key of {size} rows of pixels (data.trigger.size)"
            yield "method", f"{problem}: enlarge the key, or use fewer attackers"


class Attack(one_shot.Attack):
    def keyed(self, user: int) -> ImageBank:
        images = self.data.unstamped.copy()
        rows = self.rows(user)
        images[:, rows] = stamp(images, self.data.trigger)[:, rows]
        return ImageBank(images, self.data.keyed.classes)

    def rows(self, user: int) -> np.ndarray:
        """Return the rows of pixels of the key that an attacker has, counted from 0 at the top."""
        height, width, channels = self.data.unstamped.shape[-3:]
        black, white = (
            stamp(np.full((height, width, channels), level, np.uint8), self.data.trigger) for level in (0, 255)
        )
        key = np.flatnonzero((black == white).all(-1).any(-1))
        attackers = self.data.attackers
        return np.array_split(key, len(attackers))[attackers.index(user)]
