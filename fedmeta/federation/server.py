"""The server's part in a round: whom it selects, how it weights the updates, and how it aggregates them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from fedmeta import plugins
from fedmeta.draws import generator
from fedmeta.errors import FedmetaError
from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.secure import unmasked_sum
from fedmeta.settings.fields import MethodOptions

SUM = 0  # the only user that a method sees under secure aggregation: its update is the sum of all


@dataclass(frozen=True)
class Server:
    """The server in a stage.

    `weight`: alpha of all users, one number for each user, or None: 1 / M_min. `options`: those of its aggregation
    method. `seed` and `stage` name its draws. `secure`: whether users mask what they send.
    """

    weight: float | Sequence[float] | None
    options: MethodOptions
    seed: int
    stage: str
    secure: bool = False

    @cached_property
    def method(self) -> ModuleType:
        """The module of the aggregation."""
        return plugins.load("aggregation", self.options.method)

    def select(self, round_number: int, users: Sequence[int], count: int) -> list[int]:
        """Return the users that are selected in a round, `count` of `users`, in ascending order."""
        chosen = generator(self.seed, f"{self.stage}: selection", round_number).choice(len(users), count, replace=False)
        return sorted(users[k] for k in chosen)

    def weights(self, users: Collection[int]) -> dict[int, float]:
        """Return alpha_i of the users whose updates are awaited in a round (Sec. 2)."""
        if self.weight is None:
            return dict.fromkeys(users, 1 / len(users))
        if isinstance(self.weight, Sequence):
            return {user: self.weight[user - 1] for user in users}
        return dict.fromkeys(users, self.weight)

    def aggregate(
        self, shared: Tensor, updates: Mapping[int, Tensor], state: Mapping[str, Tensor], round_number: int
    ) -> Aggregate:
        """Return the new shared model, (P,), what was decided about each user, and the method's state.

        Raises FedmetaError if the method returns a wrong shape, numbers that are not finite, or not all decisions.
        """
        return self._aggregate(shared, updates, self.weights(updates), state, round_number)

    def aggregate_masked(
        self, shared: Tensor, sent: Mapping[int, np.ndarray], state: Mapping[str, Tensor], round_number: int
    ) -> Aggregate:
        """Return the same from masked updates. The method gets only their sum, so all users share one decision."""
        total = unmasked_sum(sent.values())
        made = self._aggregate(shared, {SUM: total.to(shared.dtype)}, {SUM: 1.0}, state, round_number)
        decisions = {user: weight * made.decisions[SUM] for user, weight in self.weights(sent).items()}
        return made._replace(decisions=decisions)

    def _aggregate(
        self,
        shared: Tensor,
        updates: Mapping[int, Tensor],
        weights: Mapping[int, float],
        state: Mapping[str, Tensor],
        round_number: int,
    ) -> Aggregate:
        random = generator(self.seed, f"{self.stage}: aggregation", round_number)
        made = self.method.aggregate(shared, updates, weights, state, self.options, random)
        what = f"aggregation {self.options.method}"
        if made.shared.shape != shared.shape or not bool(torch.isfinite(made.shared).all()):
            raise FedmetaError(
                f"{what} returned a model of the wrong shape or with NaN or infinity: check how it treats the updates"
            )
        if made.decisions.keys() != updates.keys():
            raise FedmetaError(
                f"{what} returned no decision about some user of the round: return a weight, or 0, for each"
            )
        return made
