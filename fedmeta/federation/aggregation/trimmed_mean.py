"""The mean of each coordinate without its f least and f greatest values (Yin, Chen, Ramchandran and Bartlett 2018,
"Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates", ICML), by byzfl.

The paper trims a share of the values; here, it is f of n. An update's share is its share of the values kept.
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
    """Return theta_G + (sum_i alpha_i) times the trimmed mean of the updates."""
    from byzfl import TrMean

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return TrMean(options.attackers)(vectors), middle_shares(vectors, options.attackers)

    return robust(shared, updates, weights, options, rule)
