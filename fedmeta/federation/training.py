"""Stages of training: who trains on what in which round, as the settings of a run say."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape, Sampler
from fedmeta.data.splits import Pool, Split
from fedmeta.federation.rounds import Federation, LocalTraining, run_round, select
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.choice import choose_engine
from fedmeta.learning.engine import Outcome
from fedmeta.learning.reptile import Supervised
from fedmeta.progress import Progress


@dataclass(frozen=True)
class Stage:
    """A training stage: its data, the settings it reads, and the name under which it draws random numbers.

    `included`: whether benign users have the backdoor and target classes, correctly labelled, among theirs
    (cases (b) and (c)) or not (case (a)).
    """

    name: str
    bank: ImageBank
    split: Split
    seed: int
    included: bool
    settings: Mapping
    threads: int

    @property
    def network(self) -> Conv4:
        """The network that is trained."""
        return network_of(self.bank, self.settings)

    @property
    def benign_users(self) -> list[int]:
        """All users but the attacker."""
        users, attacker = self.settings["federation"]["users"], self.settings["federation"]["attacker"]
        return [user for user in range(1, users + 1) if user != attacker]

    @property
    def episode_shape(self) -> EpisodeShape:
        """Shape of a benign user's meta-training episode."""
        reptile = self.settings["reptile"]
        return EpisodeShape(reptile["way"], reptile["shot"], reptile["inner_steps"], reptile["inner_batch"])

    def pool(self, user: int) -> Pool:
        """Return the classes that a benign user trains on."""
        pool = self.split.training(user)
        if self.included:
            pool = [*pool, *self.split.backdoor_benign(user), self.split.target_benign(user)]
        return pool

    def benign_samplers(self) -> dict[str, Sampler]:
        """Return the meta-training episodes of each benign user, by `sampler_of(user)`."""
        shape = self.episode_shape
        return {
            sampler_of(user): BenignEpisodes(self.bank, self.pool(user), shape, self.seed, self.name)
            for user in self.benign_users
        }

    def benign(self, user: int, meta_steps: int, outer_learning_rate: float) -> LocalTraining:
        """Return what a benign user does in a round."""
        return LocalTraining(sampler_of(user), meta_steps, self.settings["reptile"]["meta_batch"], outer_learning_rate)

    def weights(self, users: Collection[int]) -> dict[int, float]:
        """Return alpha_i of the users whose updates are awaited in a round (Sec. 2)."""
        weight = self.settings["federation"]["weight"]
        if weight is None:
            return dict.fromkeys(users, 1 / len(users))
        return {user: weight[user - 1] if isinstance(weight, list) else weight for user in users}

    def select(self, round_number: int, count: int) -> list[int]:
        """Return `count` benign users that the server selects in a round."""
        return select(self.seed, self.name, round_number, self.benign_users, count)

    def train(
        self,
        federation: Federation,
        rounds: Sequence[Mapping[int, LocalTraining]],
        samplers: Mapping[str, Sampler],
        save: Callable[[], None],
    ) -> Iterator[None]:
        """Train `federation` in place through `rounds` from wherever it stands; yield after each round.

        `save` is called after each meta-step, when `federation` can be gone on from.
        """
        reptile = self.settings["reptile"]
        learner = Supervised(self.network, reptile["inner_learning_rate"], reptile["beta2"])
        progress = Progress(self.name, *episodes_in(rounds, federation))

        def after_step(outcomes: list[Outcome], episodes: int) -> None:
            save()
            progress.advance(episodes, f"loss {np.mean([outcome.loss for outcome in outcomes]):.3f}")

        users = max(map(len, rounds))
        works = max(sum(plan.meta_batch for plan in plans.values()) for plans in rounds)
        with choose_engine(self.settings["engine"], learner, samplers, self.threads, users, works) as engine:
            for plans in rounds[federation.round :]:
                run_round(engine, federation, plans, self.weights(plans), reptile["adam"], after_step)
                yield


def sampler_of(user: int) -> str:
    """Return the name of a benign user's sampler."""
    return f"user {user}"


def network_of(bank: ImageBank, settings: Mapping) -> Conv4:
    """Return the network for the bank's images."""
    _, height, _, channels = bank.images.shape
    model = settings["model"]
    return Conv4(channels, height, settings["reptile"]["way"], model["filters"], model["batch_norm"])


def episodes_in(rounds: Sequence[Mapping[int, LocalTraining]], federation: Federation) -> tuple[int, int]:
    """Return the episodes of all `rounds`, and how many of them `federation` has behind it."""
    each = [sum(plan.episodes for plan in plans.values()) for plans in rounds]
    done = sum(each[: federation.round])
    if federation.step:
        under_way = rounds[federation.round].values()
        done += sum(min(federation.step, plan.meta_steps) * plan.meta_batch for plan in under_way)
    return sum(each), done
