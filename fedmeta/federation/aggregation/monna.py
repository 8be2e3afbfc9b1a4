"""MoNNA: the mean of the n - f updates nearest to a trusted one, itself among them (Farhadkhani, Guerraoui, Gupta,
Hoang, Pinot and Stephan 2023, "Robust Collaborative Learning with Linear Gradient Overhead", ICML), by byzfl.

In the paper there is no server: each honest user trusts its own vector. This server has none. It trusts the user that
`trusted` names or, if that user is not in the round, the update with the smallest sum of distances to the others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import Field
from scipy.spatial.distance import cdist
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import RobustOptions, robust, with_shares
from fedmeta.settings.fields import Count


class Options(RobustOptions):
    trusted: Count | None = Field(None, description="the user whose update the others are compared with; null: none")

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        yield from super().problems(own)
        if self.trusted is not None and self.trusted > own.federation.users:
            yield "trusted", f"there is no user {self.trusted}: give one from 1 to {own.federation.users}"


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the mean of n - f updates; the others are rejected."""
    from byzfl import MoNNA

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if options.trusted is not None and options.trusted in updates:
            place = sorted(updates).index(options.trusted)
        else:
            place = int(cdist(vectors, vectors).sum(axis=1).argmin())
        return with_shares(MoNNA(options.attackers, place), vectors)

    return robust(shared, updates, weights, options, rule)
