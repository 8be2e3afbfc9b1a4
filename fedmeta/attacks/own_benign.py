"""What an attacker can know of benign updates: its own, from benign training on its own classes."""

from typing import Any

from torch import Tensor

from fedmeta.attacks.interface import AttackData
from fedmeta.attacks.on_top import OnTop
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.data.requirements import require_classes
from fedmeta.federation.rounds import Federation, LocalTraining, difference, meta_batch
from fedmeta.learning.engine import Serial
from fedmeta.learning.reptile import Supervised

NAME = "benign training of attackers"  # under which it draws


def benign_episodes(data: AttackData, user: int) -> BenignEpisodes:
    """Return the benign episodes of an attacker. Raises FedmetaError if it has too few classes of its own for them."""
    reptile, pool = data.settings.reptile, data.split.training(user)
    require_classes(pool, reptile.way, f"attack {data.settings.attack.method}: benign training of attacker {user}")
    shape = EpisodeShape(reptile.way, reptile.shot, reptile.inner_steps, reptile.inner_batch)
    return BenignEpisodes(data.bank, pool, shape, data.seed, f"{data.stage}: {NAME}")


def benign_update(data: AttackData, user: int, number: int, shared: Tensor) -> Tensor:
    """Return the update, (P,), that an attacker would send in round `number` if it trained as a benign user.

    `shared` is theta_G, (P,). Adam begins anew: the state that an attacker has is that of its poisoned training.
    """
    after, reptile = data.settings.meta_train_after, data.settings.reptile
    plan = LocalTraining("own", after.meta_steps, reptile.meta_batch, after.outer_learning_rate)
    state = Federation(shared, round=number, local={user: shared.clone()})
    learner = Supervised(data.network, reptile.inner_learning_rate, reptile.beta2)
    engine = Serial(learner, {plan.sampler: benign_episodes(data, user)})
    while state.step < plan.meta_steps:
        meta_batch(engine, state, {user: plan}, reptile.adam)
    return difference(shared, state.local[user])


class KnowingBenign(OnTop):
    """An attack on top of another whose attackers train as benign users, too, to measure what they send by that."""

    def __init__(self, options: Any, data: AttackData):
        super().__init__(options, data)
        for user in data.attackers:
            benign_episodes(data, user)  # too few classes are an error before any training
