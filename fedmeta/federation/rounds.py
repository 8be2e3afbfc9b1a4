"""Rounds of federated meta-learning (Sec. 2): selection, local training, aggregation."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fedmeta.federation.secure import masked
from fedmeta.federation.server import Server
from fedmeta.learning.engine import Outcome, Start, Work
from fedmeta.learning.reptile import meta_step

AGGREGATION = "aggregation."  # prefix of the tensors that an aggregation keeps


def difference(shared: Tensor, local: Tensor) -> Tensor:
    """Return delta_i = theta_i - theta_G, the update that a benign user sends (Sec. 2)."""
    return local - shared


def nothing_private() -> Tensor:
    """Return what most users keep to themselves: nothing."""
    return torch.empty(0)


@dataclass(frozen=True)
class LocalTraining:
    """What a user does in a round: meta-steps on `meta_steps` meta-batches of `meta_batch` (B) episodes.

    `outer_learning_rate` is epsilon; `update(shared, local)` is what the user sends, given its local model, (P,);
    `private()` is the rest of its model, (H,), before it first trains.
    """

    sampler: str
    meta_steps: int
    meta_batch: int
    outer_learning_rate: float
    update: Callable[[Tensor, Tensor], Tensor] = difference
    private: Callable[[], Tensor] = nothing_private

    @property
    def episodes(self) -> int:
        """The paper's E."""
        return self.meta_steps * self.meta_batch


@dataclass
class Federation:
    """The whole state of a training: all that is needed to resume it.

    shared: theta_G, (P,); second_moments: Adam's, (P,) by user, after `taken` steps; round: the number of rounds
    aggregated in this stage; step: meta-steps taken in the current round; local: theta_i, (P,) by user of that
    round; aggregation: the state of the server's method, by name; decisions: what it decided in this stage, as
    (round from 0, user, weight or 0); private: by user, the part of its model that it keeps to itself, (H,), with an
    Adam state for the whole model, (P + H,); such users have none in `second_moments`.
    """

    shared: Tensor
    second_moments: dict[int, Tensor] = field(default_factory=dict)
    taken: dict[int, int] = field(default_factory=dict)
    round: int = 0
    step: int = 0
    local: dict[int, Tensor] = field(default_factory=dict)
    aggregation: dict[str, Tensor] = field(default_factory=dict)
    decisions: list[tuple[int, int, float]] = field(default_factory=list)
    private: dict[int, Start] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state as named tensors, for a file."""
        named = {"shared": self.shared, "progress": torch.tensor([self.round, self.step])}
        named["decisions"] = torch.tensor(self.decisions, dtype=torch.float64).reshape(-1, 3)
        named |= {f"{AGGREGATION}{name}": tensor for name, tensor in self.aggregation.items()}
        named |= self.adam_tensors() | self.private_tensors()
        return named | {f"user-{user}.local": parameters for user, parameters in self.local.items()}

    def adam_tensors(self) -> dict[str, Tensor]:
        """Return the users' Adam states by name."""
        named = {f"user-{user}.second_moment": moment for user, moment in self.second_moments.items()}
        return named | {f"user-{user}.taken": torch.tensor(taken) for user, taken in self.taken.items()}

    def private_tensors(self) -> dict[str, Tensor]:
        """Return what users keep to themselves by name."""
        return {
            f"user-{user}.private.{name}": torch.as_tensor(value)
            for user, own in self.private.items()
            for name, value in own._asdict().items()
        }

    @classmethod
    def from_tensors(cls, named: Mapping[str, Tensor]) -> "Federation":
        """Return the state that `tensors` gave."""
        by_user: dict[str, dict[int, Tensor]] = defaultdict(dict)
        for name, tensor in named.items():
            if name.startswith("user-"):
                user, what = name.removeprefix("user-").split(".", 1)
                by_user[what][int(user)] = tensor
        taken = {user: int(count) for user, count in by_user["taken"].items()}
        moments, counts = by_user["private.second_moment"], by_user["private.taken"]
        heads = by_user["private.parameters"].items()
        private = {user: Start(head, moments[user], int(counts[user])) for user, head in heads}
        number, step = named["progress"].tolist()
        own = {n.removeprefix(AGGREGATION): tensor for n, tensor in named.items() if n.startswith(AGGREGATION)}
        rows = named["decisions"].tolist() if "decisions" in named else []
        decisions = [(int(of_round), int(user), weight) for of_round, user, weight in rows]
        local = by_user["local"]
        return cls(named["shared"], by_user["second_moment"], taken, number, step, local, own, decisions, private)

    def start_of(self, user: int, parameters: Tensor) -> Start:
        """Return `parameters` with the user's Adam state; a user that never trained has a fresh one."""
        fresh = Start.fresh(parameters)
        return Start(parameters, self.second_moments.get(user, fresh.second_moment), self.taken.get(user, 0))

    def start_of_training(self, user: int, plan: LocalTraining) -> Start:
        """Return the user's local model, followed by what it keeps to itself, and its Adam state."""
        local, own = self.local[user], self.private.get(user)
        beyond = own.parameters if own else plan.private()
        if not len(beyond):
            return self.start_of(user, local)
        whole = torch.cat([local, beyond])
        return Start(whole, own.second_moment, own.taken) if own else Start.fresh(whole)

    def moved(self, user: int, after: Start) -> None:
        """Note a user's state after a meta-step: its model, (P + H,), the first P of them local, and Adam's state.

        A fresh Adam state is not kept.
        """
        size = len(self.shared)
        self.local[user] = after.parameters[:size].clone()
        if len(after.parameters) > size:
            self.private[user] = after._replace(parameters=after.parameters[size:].clone())
        elif after.taken:
            self.second_moments[user], self.taken[user] = after.second_moment, after.taken


def works_of(federation: Federation, plans: Mapping[int, LocalTraining], step: int, adam: str) -> list[Work]:
    """Return the works of a meta-step of this round: the users' episodes, each with the number of its user's model."""
    works = []
    for slot, (user, plan) in enumerate(plans.items()):
        first = step * plan.meta_batch
        names = [(federation.round, user, first + j) for j in range(plan.meta_batch)]
        chains = [tuple(names)] if adam == "persist" else [(name,) for name in names]
        works += [Work(slot, plan.sampler, chain) for chain in chains]
    return works


def meta_batch(engine, federation: Federation, plans: Mapping[int, LocalTraining], adam: str) -> list[Outcome]:
    """Take the next meta-step of each user of `plans` side by side, in place; return the outcomes."""
    starts = [federation.start_of_training(user, plan) for user, plan in plans.items()]
    if adam == "reset":
        starts = [Start.fresh(start.parameters) for start in starts]
    works = works_of(federation, plans, federation.step, adam)
    later = {user: plan for user, plan in plans.items() if federation.step + 1 < plan.meta_steps}
    engine.foresee(works_of(federation, later, federation.step + 1, adam))
    outcomes = list(engine.run(starts, works))
    for slot, (user, plan) in enumerate(plans.items()):
        own = [outcome.adapted for outcome, work in zip(outcomes, works, strict=True) if work.start == slot]
        adapted = torch.stack([each.parameters for each in own])
        model = meta_step(starts[slot].parameters, adapted, plan.outer_learning_rate)
        if adam == "reset":
            federation.moved(user, Start.fresh(model))
        else:
            second_moment = torch.stack([each.second_moment for each in own]).mean(0)
            federation.moved(user, Start(model, second_moment, own[0].taken))
    federation.step += 1
    return outcomes


def run_round(
    engine,
    federation: Federation,
    plans: Mapping[int, LocalTraining],
    server: Server,
    adam: str,
    after_step: Callable[[list[Outcome], int], None] = lambda outcomes, episodes: None,
) -> None:
    """Run, or finish, a round in place: every user of `plans` trains, then the server aggregates.

    `after_step(outcomes, episodes)` is called after every meta-step, when `federation` can be saved and resumed.
    """
    if federation.step == 0:
        federation.local = {user: federation.shared.clone() for user in plans}
    engine.share(federation.shared)
    while any(federation.step < plan.meta_steps for plan in plans.values()):
        active = {user: plan for user, plan in plans.items() if federation.step < plan.meta_steps}
        outcomes = meta_batch(engine, federation, active, adam)
        after_step(outcomes, sum(plan.meta_batch for plan in active.values()))
    updates = {user: plan.update(federation.shared, federation.local[user]) for user, plan in plans.items()}
    if server.secure:
        sent = masked(updates, server.weights(plans), server.seed, server.stage, federation.round)
        made = server.aggregate_masked(federation.shared, sent, federation.aggregation, federation.round)
    else:
        made = server.aggregate(federation.shared, updates, federation.aggregation, federation.round)
    federation.shared, federation.aggregation = made.shared, made.state
    federation.decisions += [(federation.round, user, float(made.decisions[user])) for user in plans]
    federation.round, federation.step, federation.local = federation.round + 1, 0, {}
