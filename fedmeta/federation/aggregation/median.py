"""The median of each coordinate (Yin, Chen, Ramchandran and Bartlett 2018, "Byzantine-Robust Distributed Learning:
Towards Optimal Statistical Rates", ICML), by byzfl.

An update's share is that of the coordinates at which it is the median, or one of the two in the middle.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import RobustOptions, middle_shares, robust


class Options(RobustOptions):
    pass


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the median of the updates."""
    from byzfl import Median

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(Median()(vectors)), middle_shares(vectors, (len(vectors) - 1) // 2)

    return robust(shared, updates, weights, options, rule)
