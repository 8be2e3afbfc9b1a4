"""The stages of training in which attackers may take part: the attacked round, and the rounds after it (Sec. 3)."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from fedmeta import plugins
from fedmeta.attacks.interface import Attack, AttackData
from fedmeta.checkpoints import Unfinished
from fedmeta.data.bank import ImageBank
from fedmeta.errors import FedmetaError
from fedmeta.federation.models import to_named
from fedmeta.federation.pretraining import train_to_the_end
from fedmeta.federation.rounds import Federation, LocalTraining
from fedmeta.federation.training import Programme, Stage

OF_ROUND = "round-"  # prefix of the tensors of a further round


def attacked_round(stage: Stage, keyed: ImageBank, before: Federation, unfinished: Unfinished) -> Federation:
    """Return the federation after round 1, in which attackers may take part; `keyed`: their training set."""
    attack = open_attack(stage, keyed)
    replacement = attack.replacement(before)
    if replacement is not None:
        return replacement
    return train_to_the_end(stage, before, with_attack(stage, attack, [1]), unfinished)


def meta_train_after(
    stage: Stage, keyed: ImageBank, before: Federation, unfinished: Unfinished
) -> tuple[dict[str, Tensor], Federation]:
    """Return the shared model after each round from 2 on, its tensors named `round-2/...`, and the federation."""
    programme = with_attack(stage, open_attack(stage, keyed), range(2, stage.settings.meta_train_after.rounds + 1))
    kept = unfinished.load() or {}
    models = {name: tensor for name, tensor in kept.items() if name.startswith(OF_ROUND)}
    state = {name: tensor for name, tensor in kept.items() if name not in models}
    federation = Federation.from_tensors(state) if kept else before

    def save() -> None:
        unfinished.save_if_due(lambda: {**models, **federation.tensors()})

    for _ in stage.train(federation, programme, save):
        models.update(to_named(stage.network, federation, f"{OF_ROUND}{federation.round + 1}/"))
    return models, federation


def open_attack(stage: Stage, keyed: ImageBank) -> Attack:
    """Return the attack of the settings, with its data."""
    options = stage.settings.attack
    data = AttackData(
        stage.bank, stage.split, keyed, stage.network, stage.attackers, stage.settings, stage.seed, stage.name
    )
    return plugins.load("attack", options.method).Attack(options, data)


def with_attack(stage: Stage, attack: Attack, numbers: Sequence[int]) -> Programme:
    """Return the rounds with these numbers: the attackers that take part, and benign users in the other places."""
    benign, rounds, attackers = stage.settings.meta_train_after, [], set()
    for number in numbers:
        taking_part = tuple(attack.attackers(number))
        check_attackers(stage, taking_part, number)
        plans = {
            user: LocalTraining(
                f"attacker {user}", *attack.training(user, number), partial(checked_update, attack, user, number)
            )
            for user in taking_part
        }
        plans |= stage.benign(number, benign.meta_steps, benign.outer_learning_rate, len(taking_part))
        rounds.append(plans)
        attackers |= set(taking_part)
    samplers = {f"attacker {user}": attack.episodes(user) for user in sorted(attackers)}
    own = {f"attacker {user}": attack.learner(user) for user in sorted(attackers)}
    learners = {sampler: learner for sampler, learner in own.items() if learner is not None}
    return Programme(rounds, {**samplers, **stage.benign_samplers}, learners)


def check_attackers(stage: Stage, users: Sequence[int], number: int) -> None:
    """Raise FedmetaError unless the users that attack in a round are attackers, each once, and few enough."""
    method = stage.settings.attack.method
    if len(set(users)) < len(users) or not set(users) <= set(stage.attackers):
        known = ", ".join(map(str, stage.attackers))
        problem = f"users {users} attack in round {number}, but the attackers are {known}"
        raise FedmetaError(f"attack {method}: {problem}: return only these, each once")
    selected = stage.settings.federation.selected
    if len(users) > selected:
        problem = f"{len(users)} attackers in round {number}, but {selected} users are selected"
        raise FedmetaError(f"attack {method}: {problem}: raise federation.selected")


def checked_update(attack: Attack, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
    """Return what an attacker sends; raise FedmetaError if it has a wrong shape or is not finite."""
    update = attack.update(user, number, shared, local)
    if update.shape != shared.shape or not bool(torch.isfinite(update).all()):
        method = attack.options.method
        what = f"attack {method}: the update of user {user} in round {number}"
        raise FedmetaError(f"{what} is not a vector of finite numbers: check its code")
    return update
