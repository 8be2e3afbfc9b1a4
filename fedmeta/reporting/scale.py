"""How much a run does, from its settings: what the paper's numbers and times must be held against.

`settings` are a data set's, section by section, as in the config.
"""

from collections.abc import Mapping


def scale(settings: Mapping) -> dict[str, int]:
    """Return the run's scale: episodes of pre-training (all users'), the attacker's inner steps, and so on.

    `rounds_after`: rounds of benign meta-training after the attacked one; `image_size` in pixels, of the side.
    """
    return {
        "pretraining_episodes": _pretraining_episodes(settings),
        "attack_inner_steps": _attack_inner_steps(settings),
        "rounds_after": settings["meta_train_after"]["rounds"] - 1,
        "filters": settings["model"]["filters"],
        "image_size": settings["data"]["size"],
    }


def work_of(rule: str, scope: str, settings: Mapping) -> int:
    """Return what one job of a rule does: how many of the units in `fedmeta.reporting.paper.WORK`.

    A job of `fine_tune` adapts two models, attacked and clean, in the cases of its scope and in meta-testing.
    """
    attack, rounds_after = settings["attack"], settings["meta_train_after"]["rounds"]
    evaluation, iterations = settings["evaluation"], settings["fine_tuning"]["iterations"]
    cases = set(evaluation["cases"]) & set("a" if scope == "excluded" else "bc")
    return {
        "pretrain": _pretraining_episodes(settings),
        "attack": attack["meta_steps"] * attack["meta_batch"] * attack["inner_epochs"],
        "fine_tune": max(iterations) * evaluation["episodes"] * (len(cases) + 1) * 2,
        "meta_train_after": episodes_after_attack(rounds_after, settings),
    }[rule]


def episodes_after_attack(last_round: int, settings: Mapping) -> int:
    """Return all users' episodes of benign meta-training from after the attacked round, 1, to the last."""
    return (last_round - 1) * _episodes_of_a_round(settings["meta_train_after"], settings)


def _episodes_of_a_round(training: Mapping, settings: Mapping) -> int:
    return training["meta_steps"] * settings["reptile"]["meta_batch"] * settings["federation"]["selected"]


def _pretraining_episodes(settings: Mapping) -> int:
    return settings["pretrain"]["rounds"] * _episodes_of_a_round(settings["pretrain"], settings)


def _attack_inner_steps(settings: Mapping) -> int:
    attack, reptile = settings["attack"], settings["reptile"]
    examples = reptile["way"] * reptile["shot"]
    steps = -int(-attack["inner_epochs"] * examples // reptile["inner_batch"])
    return attack["meta_steps"] * attack["meta_batch"] * steps
