"""Minimum-diameter averaging (MDA): the mean of the n - f updates whose two farthest apart are nearest to each
other (El Mhamdi, Guerraoui, Guirguis, Hoang and Rouault 2020, "Genuinely Distributed Byzantine Machine Learning",
PODC), by byzfl. It tries all sets of n - f, so their number is limited.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import RobustOptions, robust, with_shares

MOST = 10_000


class Options(RobustOptions):
    def least(self) -> tuple[int, str]:
        return max(2, 2 * self.attackers + 1), "n >= 2f + 1 and n >= 2"

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        from math import comb  # here: options are read without the imports of their file

        yield from super().problems(own)
        n, f = own.federation.selected, self.attackers
        if f < n and comb(n, f) > MOST:
            yield "attackers", f"{n} choose {f} is more than {MOST} sets to try: lower it or federation.selected"


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the mean of n - f updates; the others are rejected."""
    from byzfl import MDA

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return with_shares(MDA(options.attackers), vectors)

    return robust(shared, updates, weights, options, rule)
