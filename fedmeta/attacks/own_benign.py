"""What an attacker can know about benign updates: its own, from benign training on its own classes."""

from typing import Any

from torch import Tensor

from fedmeta.attacks.interface import AttackData
from fedmeta.attacks.on_top import OnTop
from fedmeta.data.episodes import Sampler
from fedmeta.data.requirements import require_classes
from fedmeta.federation.rounds import Federation, difference, meta_batch
from fedmeta.federation.training import benign_plan
from fedmeta.learning.engine import Serial
from fedmeta.learning.meta.interface import open_meta_training

NAME = "benign training of attackers"  # of its draws


def benign_episodes(data: AttackData, user: int) -> Sampler:
    """Return the benign episodes of an attacker. Raises FedmetaError if it has too few classes of its own for them."""
    reptile, pool = data.settings.reptile, data.split.training(user)
    require_classes(pool, reptile.way, f"attack {data.settings.attack.method}: benign training of attacker {user}")
    meta_training = open_meta_training(reptile, data.network)
    return meta_training.episodes(data.bank, pool, data.seed, f"{data.stage}: {NAME}")


def benign_update(data: AttackData, user: int, number: int, shared: Tensor) -> Tensor:
    """Return the update, (P,), that an attacker would send in round `number` if it trained as a benign user.

    `shared` is theta_G, (P,). Adam starts from zero, because an attacker's state is that of its poisoned training. What
    a learner has users keep to themselves starts afresh, too.
    """
    after, reptile = data.settings.meta_train_after, data.settings.reptile
    meta_training, pool = open_meta_training(reptile, data.network), data.split.training(user)
    plan = benign_plan(meta_training, "own", pool, data.seed, user, after.meta_steps, after.outer_learning_rate)
    state = Federation(shared, round=number, local={user: shared.clone()})
    engine = Serial(meta_training.learner(pool), {plan.sampler: benign_episodes(data, user)})
    while state.step < plan.meta_steps:
        meta_batch(engine, state, {user: plan}, reptile.adam)
    return difference(shared, state.local[user])


class KnowingBenign(OnTop):
    """An attack on top of another whose attackers also train as benign users do, as a measure for what they send."""

    def __init__(self, options: Any, data: AttackData):
        super().__init__(options, data)
        for user in data.attackers:
            benign_episodes(data, user)  # raises an error for too few classes before any training
