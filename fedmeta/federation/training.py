"""Training in a stage: who trains on what in which round, by the settings of a run."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import Sampler
from fedmeta.data.splits import Pool, Split
from fedmeta.federation.rounds import Federation, LocalTraining, run_round
from fedmeta.federation.server import Server
from fedmeta.learning.choice import choose_engine
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Outcome
from fedmeta.learning.meta.interface import MetaTraining, open_meta_training
from fedmeta.learning.reptile import Learner, Supervised
from fedmeta.progress import Progress
from fedmeta.settings import Settings
from fedmeta.settings.together import attackers

Plans = dict[int, LocalTraining]  # what each user of a round does


class Programme(NamedTuple):
    """The rounds of a stage; the episodes that they name; learners of attackers by sampler, if not `Supervised`."""

    rounds: Sequence[Plans]
    samplers: Mapping[str, Sampler]
    learners: Mapping[str, Learner]


@dataclass(frozen=True)
class Stage:
    """A training stage: its data, the settings it reads, and the name under which it draws random numbers.

    `included`: whether benign users have the backdoor and target classes, correctly labelled, among theirs
    (cases (b) and (c)) or not (case (a)). `first_round` is the number of its first round.
    """

    name: str
    bank: ImageBank
    split: Split
    seed: int
    included: bool
    settings: Settings
    threads: int
    first_round: int = 1

    @property
    def network(self) -> Conv4:
        """The network that is trained."""
        return network_of(self.bank, self.settings)

    @property
    def server(self) -> Server:
        """The server, which selects users and aggregates."""
        federation = self.settings.federation
        secure = federation.secure_aggregation
        return Server(federation.weight, federation.aggregation, self.seed, self.name, secure)

    @property
    def attackers(self) -> tuple[int, ...]:
        """The users that attack."""
        return attackers(self.settings)

    @property
    def benign_users(self) -> list[int]:
        """All users but the attackers."""
        return [user for user in range(1, self.settings.federation.users + 1) if user not in self.attackers]

    @cached_property
    def meta_training(self) -> MetaTraining:
        """How benign users train."""
        return open_meta_training(self.settings.reptile, self.network)

    @cached_property
    def pools(self) -> dict[int, Pool]:
        """The images of each benign user."""
        return {user: self.split.benign(user, self.included) for user in self.benign_users}

    @property
    def benign_samplers(self) -> dict[str, Sampler]:
        """The episodes of each benign user, by `sampler_of(user)`."""
        return {
            sampler_of(user): self.meta_training.episodes(self.bank, pool, self.seed, self.name)
            for user, pool in self.pools.items()
        }

    @property
    def benign_learners(self) -> dict[str, Learner]:
        """How each benign user adapts to them, by the same names."""
        return {sampler_of(user): self.meta_training.learner(pool) for user, pool in self.pools.items()}

    def benign(self, number: int, meta_steps: int, outer_learning_rate: float, beside: int = 0) -> Plans:
        """Return what the benign users selected in round `number` do; `beside` attackers take the other places."""
        count = self.settings.federation.selected - beside
        users = self.server.select(number - self.first_round, self.benign_users, count)
        return {
            user: benign_plan(
                self.meta_training, sampler_of(user), self.pools[user], self.seed, user, meta_steps, outer_learning_rate
            )
            for user in users
        }

    def train(self, federation: Federation, programme: Programme, save: Callable[[], None]) -> Iterator[None]:
        """Train `federation` in place through the rounds that are left; yield after each round.

        `save` is called after each meta-step, when `federation` can be resumed.
        """
        reptile, (rounds, samplers, learners) = self.settings.reptile, programme
        poisoned = Supervised(self.network, reptile.inner_learning_rate, reptile.beta2)
        learners = {**dict.fromkeys(samplers, poisoned), **self.benign_learners, **learners}
        progress = Progress(self.name, *episodes_in(rounds, federation))

        def after_step(outcomes: list[Outcome], episodes: int) -> None:
            save()
            progress.advance(episodes, f"loss {np.mean([outcome.loss for outcome in outcomes]):.3f}")

        users = max(map(len, rounds))
        works = max(sum(plan.meta_batch for plan in plans.values()) for plans in rounds)
        server = self.server
        with choose_engine(self.settings.engine, learners, samplers, self.threads, users, works) as engine:
            for plans in rounds[federation.round :]:
                run_round(engine, federation, plans, server, reptile.adam, after_step)
                yield


def benign_plan(
    meta_training: MetaTraining, sampler: str, pool: Pool, seed: int, user: int, meta_steps: int, rate: float
) -> LocalTraining:
    """Return what a benign user with the images `pool` does; `rate` is epsilon."""
    private = partial(meta_training.private, pool, seed, user)
    return LocalTraining(sampler, meta_steps, meta_training.meta_batch, rate, private=private)


def sampler_of(user: int) -> str:
    """Return the name of a benign user's sampler."""
    return f"user {user}"


def network_of(bank: ImageBank, settings: Settings) -> Conv4:
    """Return the network for the bank's images."""
    _, height, _, channels = bank.images.shape
    return Conv4(channels, height, settings.reptile.way, settings.model.filters, settings.model.batch_norm)


def episodes_in(rounds: Sequence[Plans], federation: Federation) -> tuple[int, int]:
    """Return the number of episodes in all `rounds`, and how many of them `federation` has done."""
    each = [sum(plan.episodes for plan in plans.values()) for plans in rounds]
    done = sum(each[: federation.round])
    if federation.step:
        under_way = rounds[federation.round].values()
        done += sum(min(federation.step, plan.meta_steps) * plan.meta_batch for plan in under_way)
    return sum(each), done
