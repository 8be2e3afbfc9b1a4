"""Centred clipping: the mean of the updates, each pulled to within tau of the previous round's mean (Karimireddy, He
and Jaggi 2021, "Learning from History for Byzantine Robust Optimization", ICML), by byzfl.

The paper clips the users' momentum; here, what they send is clipped, without momentum. An update's share is its
factor over n, and the previous mean has the rest: the shares add up to less than 1, and nobody is rejected.
"""

from collections.abc import Mapping

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import RobustOptions, clip_factors, robust
from fedmeta.settings.fields import Count, Positive


class Options(RobustOptions):
    radius: Positive | None = Field(
        None, description="tau, largest distance from the centre; null: the median distance of the round"
    )
    steps: Count = Field(1, description="steps of clipping, each around the mean of the previous one")


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the clipped mean of the updates, which is the next round's centre."""
    from byzfl import CenteredClipping

    centre = state["centre"].numpy() if "centre" in state else np.zeros(len(shared))

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nonlocal centre
        radius = options.radius or np.median(np.linalg.norm(vectors - centre, axis=1))
        clipping, shares = CenteredClipping(tau=max(float(radius), np.finfo(float).tiny)), np.zeros(len(vectors))
        for _ in range(options.steps):
            factors = clip_factors(np.linalg.norm(vectors - centre, axis=1), clipping.tau)
            shares = (1 - factors.mean()) * shares + factors / len(vectors)
            clipping.m = centre  # its constructor takes none
            with np.errstate(divide="ignore"):  # an update at the centre stays there
                centre = np.asarray(clipping(vectors))
        return centre, shares

    made = robust(shared, updates, weights, options, rule)
    return made._replace(state={"centre": torch.from_numpy(centre)})
