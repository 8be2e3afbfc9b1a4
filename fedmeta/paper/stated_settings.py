"""What the paper states about its settings, to compare a run's with: its scale, and what a run does otherwise."""

from typing import Any

from fedmeta.paper import numbers as paper
from fedmeta.paper.numbers import ATTACK, Quantity
from fedmeta.reporting.setup import Setup

# In the terms of `fedmeta.paper.scale`: Table B; 50 (1) inner epochs of 5 x 10 (5 x 15) images in batches of 10.
SCALE = {
    "omniglot": {"pretraining_episodes": 100_000, "attack_inner_steps": 50_000 * 250, "rounds_after": 50},
    "mini-imagenet": {"pretraining_episodes": 100_000, "attack_inner_steps": 150_000 * 8, "rounds_after": 100},
}
SCALE["omniglot"] |= {"filters": 64, "image_size": 28}
SCALE["mini-imagenet"] |= {"filters": 64, "image_size": 84}
# Of benign meta-training after the attack: E = 1000 (100) for each of three users per round.
BENIGN_EPISODES = {"omniglot": 50 * 1000 * 3, "mini-imagenet": 100 * 100 * 3}
EPISODES = 40

# What Sections 3 and 4 state, by key of the settings; each matters to some rows only, see `departures`.
LEARNING = {"reptile.inner_learning_rate": 0.001}
PRETRAINING = {"pretrain.outer_learning_rate": (0.1, 0.1)}
ATTACKER = {
    "attack.method": "one_shot",
    "attack.rounds": (1,),
    "attack.outer_learning_rate": 0.1,
    "attack.meta_batch": 5,
}
SERVER = {"federation.aggregation.method": "weighted_sum"}
# By option, for the entries of `figures.yaml` and those that they are like.
FINE_TUNING: dict[str, Any] = {"method": "fine_tuning", "delta": None, "repair": None}
MATCHING: dict[str, Any] = {"method": "matching", "norms": "shared", "gates": True, "scales": True, "repair": None}
NOISY_START = {**FINE_TUNING, "delta": 0.3, "norms": "shared"}
DEFENCES = {
    paper.UNDEFENDED: {},
    paper.SUPERVISED: FINE_TUNING,
    paper.NOISY_START: NOISY_START,
    paper.LOCAL_100: {**NOISY_START, "repair": ("local_meta_training", 100)},
    paper.LOCAL_1000: {**NOISY_START, "repair": ("local_meta_training", 1000)},
    paper.MATCHING: {**MATCHING, "delta": 0.3},
    **{f"matching-{delta:g}": {**MATCHING, "delta": delta} for delta in (0.2, 0.4, 0.6)},
    paper.MATCHING_100: {**MATCHING, "delta": 0.3, "repair": ("local_meta_training", 100)},
    paper.MATCHING_1000: {**MATCHING, "delta": 0.3, "repair": ("local_meta_training", 1000)},
}


def departures(asked: Quantity, setup: Setup) -> list[str]:
    """Return, in words, which settings that these measurements depend on are not those that the paper states.

    All depend on the inner learning rate eta. Accuracies on ordinary images also depend on the outer rate epsilon of
    pre-training. Attack accuracies, and all right after the attack, depend on the attack, the attacker's epsilon and
    meta-batch B, and the server's aggregation. Those of a defence depend on its entry.
    """
    stated: dict[str, Any] = dict(LEARNING)
    if not set(asked.metrics) <= set(ATTACK):
        stated |= PRETRAINING
    if set(asked.metrics) & set(ATTACK) or any(
        term.moment.unit == "round" and term.moment.least for term in asked.terms
    ):
        stated |= ATTACKER | SERVER
    ours = {key: _setting(setup.settings, key) for key in stated}
    for defence in dict.fromkeys(term.defence for term in asked.terms):
        for option, value in DEFENCES[defence].items():
            key = f"defences.{defence}.{option}"
            stated[key], ours[key] = value, _option(setup, defence, option)
    return [
        f"{key} {_in_words(value)} for {_in_words(stated[key])}" for key, value in ours.items() if value != stated[key]
    ]


def _setting(settings: Any, key: str) -> Any:
    """Return the setting of that key; None if another method has no such option."""
    value = settings
    for name in key.split("."):
        value = getattr(value, name, None)
    return value


def _option(setup: Setup, defence: str, option: str) -> Any:
    """Return an option of a defence: for a repair, its method and number of episodes; for several, the methods."""
    value = setup.option(defence, option)
    if option != "repair" or not value:
        return value
    several = isinstance(value, tuple)
    return ", then ".join(each["method"] for each in value) if several else (value["method"], value.get("episodes"))


def _in_words(value: object) -> str:
    """Return a setting as it is written in a config."""
    if value is None:
        return "null"
    if isinstance(value, tuple | list):
        words = [_in_words(each) for each in value]
        return " to ".join(words) if len(words) == 2 else f"[{', '.join(words)}]"
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
