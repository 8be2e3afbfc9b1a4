"""Krum: the one update that is nearest to its n - f - 2 nearest others, by the sum of squared distances (Blanchard,
El Mhamdi, Guerraoui and Stainer 2017, "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NIPS).

Libraries differ. The paper counts n - f - 2 others and requires n >= 2f + 3, as here. byzfl counts one more and
requires n >= 2f + 1, so its Krum for f + 1 attackers is the paper's for f, condition included. Flower counts as the
paper does, but accepts any n and f.
"""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import RobustOptions, robust, with_shares


class Options(RobustOptions):
    def least(self) -> tuple[int, str]:
        return 2 * self.attackers + 3, "n >= 2f + 3"


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times one of the updates; all others are rejected."""
    from byzfl import Krum

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return with_shares(Krum(options.attackers + 1), vectors)

    return robust(shared, updates, weights, options, rule)
