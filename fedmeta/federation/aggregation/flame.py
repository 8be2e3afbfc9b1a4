"""FLAME: clustering, clipping and noise (Nguyen et al. 2022, "FLAME: Taming Backdoors in Federated Learning", USENIX
Security Symposium).

HDBSCAN on the cosine distances of the users' models, with clusters of more than half of them, finds the one cluster
that is accepted. Updates in it are clipped to the median norm of all updates, their mean is taken, and the new model
gets normal noise of lambda times that median. The paper's mean is not weighted; here it is multiplied by sum_i alpha_i,
as in other robust aggregations. scikit-learn's `min_samples` counts the point itself, so the paper's 1 is 2 here. If
there is no cluster, as among equal models, all are accepted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pydantic import Field
from scipy.spatial.distance import cdist
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import answer, clip_factors, stack
from fedmeta.settings.fields import MethodOptions, Rate


class Options(MethodOptions):
    noise: Rate = Field(0.001, description="lambda: standard deviation of the noise divided by the median norm")

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        if own.federation.selected < 2:
            yield "method", "flame compares updates with one another: raise federation.selected to 2"


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the mean of the accepted, clipped updates + noise."""
    vectors = stack(updates)
    norms = np.linalg.norm(vectors, axis=1)
    median = float(np.median(norms))
    accepted = majority(shared.double().numpy() + vectors)
    total = sum(weights[user] for user in sorted(updates))
    shares = total * accepted / accepted.sum() * clip_factors(norms, median)
    moved = np.einsum("i,ip->p", shares, vectors) + random.normal(0, options.noise * median, len(shared))
    return answer(shared, updates, moved, shares)


def majority(models: np.ndarray) -> np.ndarray:
    """Return which of n models (n, P) are in the cluster of more than half of them, as booleans (n,)."""
    from sklearn.cluster import HDBSCAN

    n = len(models)
    distances = np.maximum(cdist(models, models, "cosine"), 0)
    options: dict[str, Any] = {"metric": "precomputed", "allow_single_cluster": True, "copy": True}
    clustering = HDBSCAN(min_cluster_size=n // 2 + 1, min_samples=2, **options)
    accepted = clustering.fit_predict(distances) >= 0
    return accepted if accepted.any() else np.ones(n, bool)
