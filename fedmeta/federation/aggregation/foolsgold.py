"""FoolsGold: users whose updates resemble those of others over time count less, as sybils push in one direction
(Fung, Yoon and Beschastnikh 2020, "The Limitations of Federated Learning in Sybil Settings", RAID).

As in the authors' code, similarities below 0 count as 0, the largest weight is 0.99 before the logit, and only users
of one round are compared. All parameters count alike: the paper's weights of indicative features are left out. The
resulting weights scale alpha_i. If all histories are equal, all users look like sybils and are rejected.
"""

from collections.abc import Mapping

import numpy as np
from pydantic import Field
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import answer, stack
from fedmeta.settings.fields import Factor, MethodOptions


class Options(MethodOptions):
    confidence: Factor = Field(1, description="kappa, steepness of the logit that separates users")


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + sum_i alpha_i v_i delta_i, v_i in [0, 1] by the sums of each user's updates so far."""
    sums = {user: update + state.get(f"history-{user}", 0) for user, update in updates.items()}
    found = unlikeness(stack(sums), options.confidence)
    alphas = np.array([weights[user] for user in sorted(updates)]) * found
    moved = np.einsum("i,ip->p", alphas, stack(updates))
    history = {**state, **{f"history-{user}": total for user, total in sums.items()}}
    return answer(shared, updates, moved, alphas, history)


def unlikeness(histories: np.ndarray, confidence: float) -> np.ndarray:
    """Return how much each of n users counts, (n,), by its history, (n, P): from 0, like another, to 1."""
    unit = histories / np.maximum(np.linalg.norm(histories, axis=1, keepdims=True), np.finfo(float).tiny)
    similarity = np.maximum(np.einsum("ip,jp->ij", unit, unit), 0)
    np.fill_diagonal(similarity, 0)
    most = similarity.max(axis=1)
    # Pardoning: an honest user must not suffer for resembling a sybil, which resembles others even more.
    similarity *= np.minimum(1, most[:, None] / np.maximum(most, np.finfo(float).tiny))
    found = np.clip(1 - similarity.max(axis=1), 0, 1)
    found = np.minimum(found / max(found.max(), np.finfo(float).tiny), 0.99)
    with np.errstate(divide="ignore"):
        return np.clip(confidence * (np.log(found / (1 - found)) + 0.5), 0, 1)
