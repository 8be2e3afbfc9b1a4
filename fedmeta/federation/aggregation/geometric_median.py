"""The point with the smallest sum of distances to the updates, by the smoothed Weiszfeld algorithm of Pillutla, Kakade
and Harchaoui 2022, "Robust Aggregation for Federated Learning", IEEE Transactions on Signal Processing, by byzfl.

It starts at 0, the shared model, and all updates count alike: alpha_i does not weight their distances. byzfl smooths
distances below 0.1, which is longer than many updates here; our default is far lower. An update's share is its weight
in the last step.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import Field
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import RobustOptions, robust
from fedmeta.settings.fields import Count, Positive


class Options(RobustOptions):
    steps: Count = Field(3, description="steps of the Weiszfeld algorithm")
    smoothing: Positive = Field(1e-6, description="nu: smaller distances count as this")


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the geometric median of the updates."""
    from byzfl import GeometricMedian

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        before = GeometricMedian(options.smoothing, options.steps - 1)(vectors)
        closeness = 1 / np.maximum(np.linalg.norm(vectors - before, axis=1), options.smoothing)
        median = GeometricMedian(options.smoothing, options.steps)(vectors)
        return np.asarray(median), np.asarray(closeness / closeness.sum())

    return robust(shared, updates, weights, options, rule)
