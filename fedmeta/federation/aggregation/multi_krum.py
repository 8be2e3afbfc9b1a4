"""Multi-Krum: the mean of the m updates with the best scores of Krum (Blanchard, El Mhamdi, Guerraoui and Stainer 2017,
"Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent", NIPS).

The scores are the paper's: sums of squared distances to the n - f - 2 nearest others, for n >= 2f + 3. They are
computed here, since byzfl counts one more neighbour and ties m to the same f (see krum.py). The paper leaves m open;
the default is n - f, as in byzfl.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import Field
from scipy.spatial.distance import cdist
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import RobustOptions, robust
from fedmeta.settings.fields import Count


class Options(RobustOptions):
    kept: Count | None = Field(None, description="m, updates that are averaged; null: n - f")

    def least(self) -> tuple[int, str]:
        return 2 * self.attackers + 3, "n >= 2f + 3"

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        yield from super().problems(own)
        if self.kept is not None and self.kept > own.federation.selected:
            yield "kept", f"a round has only {own.federation.selected} updates (federation.selected): lower it"


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the mean of the kept updates; all others are rejected."""

    def rule(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        n, f = len(vectors), options.attackers
        squared = np.sort(cdist(vectors, vectors, "sqeuclidean"), axis=1)  # the first is that to itself
        scores = squared[:, 1 : n - f - 1].sum(axis=1)
        kept = np.argsort(scores, kind="stable")[: options.kept or n - f]
        return vectors[kept].mean(axis=0), np.isin(np.arange(n), kept) / len(kept)

    return robust(shared, updates, weights, options, rule)
