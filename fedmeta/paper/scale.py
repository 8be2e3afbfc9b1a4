"""How much a run does, from its settings: what the paper's numbers and times must be compared with.

`setup` and `settings` are those of a run: of one scenario, for one data set.
"""

from typing import Any

from fedmeta.evaluation.columns import SCOPES
from fedmeta.reporting.setup import Setup


def scale(settings: Any) -> dict[str, int | None]:
    """Return the run's scale: episodes of pre-training (all users'), the attacker's inner steps, and so on.

    `rounds_after`: rounds of benign meta-training after the attacked one; `image_size`: side in pixels. What an attack
    without training lacks is None.
    """
    return {
        "pretraining_episodes": _pretraining_episodes(settings),
        "attack_inner_steps": _attack_inner_steps(settings),
        "rounds_after": settings.meta_train_after.rounds - 1,
        "filters": settings.model.filters,
        "image_size": settings.data.size,
    }


def work_of(rule: str, scope: str, setup: Setup, defence: str = "") -> int:
    """Return how much one job of a rule does, in the units of `fedmeta.paper.numbers.WORK`.

    A job of `adapt` adapts one model in the cases of its scope and in meta-testing, under the defence of that name.
    """
    settings = setup.settings
    if rule == "pretrain":
        return _pretraining_episodes(settings)
    if rule == "attack":
        return _attack_inner_epochs(settings)
    if rule == "meta_train_after":
        return episodes_after_attack(settings.meta_train_after.rounds, settings)
    cases = set(settings.evaluation.cases) & set(SCOPES[scope])
    return max(setup.option(defence, "iterations")) * settings.evaluation.episodes * (len(cases) + 1)


def episodes_after_attack(last_round: int, settings: Any) -> int:
    """Return all users' episodes of benign meta-training after the attacked round, 1, up to the last one."""
    return (last_round - 1) * _episodes_of_a_round(settings.meta_train_after, settings)


def _episodes_of_a_round(training: Any, settings: Any) -> int:
    return training.meta_steps * settings.reptile.meta_batch * settings.federation.selected


def _pretraining_episodes(settings: Any) -> int:
    return settings.pretrain.rounds * _episodes_of_a_round(settings.pretrain, settings)


def _attack_inner_epochs(settings: Any) -> int:
    """Return the attacker's inner epochs, 0 for an attack without training."""
    attack = settings.attack
    return attack.meta_steps * attack.meta_batch * attack.inner_epochs if hasattr(attack, "meta_steps") else 0


def _attack_inner_steps(settings: Any) -> int | None:
    attack, reptile = settings.attack, settings.reptile
    if not hasattr(attack, "meta_steps"):
        return None
    examples = reptile.way * reptile.shot
    steps = -int(-attack.inner_epochs * examples // reptile.inner_batch)
    return attack.meta_steps * attack.meta_batch * steps
