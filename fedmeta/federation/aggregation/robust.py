"""What robust aggregations share: their options, what is done to the updates first, and the updates' shares.

The rules are those of byzfl on NumPy arrays in double precision: its distances in single precision are coarse, and
its median of tensors refuses large ones. Importing byzfl takes two seconds, so methods do it when they aggregate.

A rule gives a robust mean of the updates. The server multiplies it by sum_i alpha_i, so that equal updates have the
same effect as in the weighted sum.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import AfterValidator, Field
from scipy.spatial.distance import pdist
from torch import Tensor

from fedmeta.errors import FedmetaError
from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.settings.fields import MethodOptions, Number, Positive, distinct

Before = Annotated[
    tuple[Literal["nearest_neighbour_mixing", "clipping"], ...],
    Field(strict=False, json_schema_extra={"uniqueItems": True}),
    AfterValidator(distinct),
]
# A rule takes vectors (n, P) and returns their robust mean (P,) and the share of each in it, (n,).
Rule = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class RobustOptions(MethodOptions):
    attackers: Number = Field(1, description="f, malicious updates per round to withstand")
    before: Before = Field(
        (), description="first steps on the updates, in their order: nearest_neighbour_mixing, clipping"
    )
    bound: Positive | None = Field(
        None, description="largest norm of an update after clipping; null: the median norm of the round"
    )

    def least(self) -> tuple[int, str]:
        """Return how many updates a round must have, and the condition for n and f in words."""
        return 2 * self.attackers + 1, "n >= 2f + 1"

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        (least, condition), n = self.least(), own.federation.selected
        if n < least:
            what = f"f = {self.attackers} is too many for {self.method} with n = {n} updates (federation.selected)"
            yield "attackers", f"{what}; it needs {condition}: lower it, or raise federation.selected to {least}"


def robust(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    options: RobustOptions,
    rule: Rule,
) -> Aggregate:
    """Return theta_G + (sum_i alpha_i) times the robust mean of the updates.

    The decision about a user is sum_i alpha_i times its update's share in the mean, including its parts in others
    after nearest-neighbour mixing.
    """
    vectors, parts = prepare(stack(updates), options)
    mean, shares = rule(vectors)
    total = sum(weights[user] for user in sorted(updates))
    return answer(shared, updates, total * mean, total * shares @ parts)


def answer(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    move: np.ndarray,
    decisions: np.ndarray,
    state: Mapping[str, Tensor] | None = None,
) -> Aggregate:
    """Return the shared model moved by `move`, (P,), and a decision about each update, (n,) in the order of `stack`."""
    by_user = dict(zip(sorted(updates), decisions.tolist(), strict=True))
    return Aggregate(shared + torch.from_numpy(move).to(shared.dtype), by_user, dict(state or {}))


def stack(updates: Mapping[int, Tensor]) -> np.ndarray:
    """Return the updates in the order of their users, float64 (n, P). Among ties a rule takes the first.

    Raises FedmetaError if an update is not finite.
    """
    for user, update in updates.items():
        if not bool(torch.isfinite(update).all()):
            problem = f"the update of user {user} has NaN or infinity, because its training diverged"
            raise FedmetaError(f"{problem}: lower reptile.inner_learning_rate")
    return np.stack([updates[user].double().numpy() for user in sorted(updates)])


def prepare(vectors: np.ndarray, options: RobustOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors after the steps before the rule, (n, P), and the part of each old one in each new, (n, n).
    The given vectors may change.

    Nearest-neighbour mixing replaces each vector by the mean of the n - f nearest to it, itself among them
    (Allouah et al. 2023, "Fixing by Mixing", AISTATS).
    """
    parts = np.eye(len(vectors))
    if not options.before:
        return vectors, parts
    from byzfl import NNM, Clipping

    for step in options.before:
        if step == "clipping":
            norms = np.linalg.norm(vectors, axis=1)
            bound = float(options.bound or np.median(norms))
            vectors = np.asarray(Clipping(bound)(vectors))
            parts = clip_factors(norms, bound)[:, None] * parts
        else:
            vectors, mixed = with_shares(NNM(options.attackers), vectors)
            parts = mixed @ parts
    return vectors, parts


def clip_factors(norms: np.ndarray, bound: float) -> np.ndarray:
    """Return the factors, at most 1, that clip vectors of these norms to `bound`."""
    return np.minimum(1, bound / np.maximum(norms, np.finfo(float).tiny))


def with_shares(rule: Callable[[np.ndarray], Any], vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what a rule makes of vectors (n, P), and the share of each in it, (..., n).

    The rule chooses by distances alone and averages its choice, but does not report it. So each vector gets one extra
    coordinate of its own: this adds the same to all squared distances, and these coordinates of the mean are the
    shares. Their scale is that of the smallest distance, so that none is lost in rounding.
    """
    n, distances = len(vectors), pdist(vectors)
    scale = distances[distances > 0].min(initial=1)
    made = np.asarray(rule(np.hstack([vectors, scale * np.eye(n)])))
    return made[..., :-n], made[..., -n:] / scale


def middle_shares(vectors: np.ndarray, cut: int) -> np.ndarray:
    """Return the share of each of n vectors (n, P) in a mean without the `cut` least and greatest of each coordinate.

    Equal values have equal shares.
    """
    ordered = np.sort(vectors, axis=0)
    entered = (vectors >= ordered[cut]) & (vectors <= ordered[len(vectors) - 1 - cut])
    return (entered / entered.sum(axis=0)).mean(axis=1)
