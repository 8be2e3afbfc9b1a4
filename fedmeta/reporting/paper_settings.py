"""What the paper states about its settings, for a run's to be held against: its scale, and what is done otherwise."""

from collections.abc import Mapping

from fedmeta.reporting.paper import ATTACK, Quantity

# In the terms of `fedmeta.reporting.scale`: Table B; 50 (1) inner epochs of 5 x 10 (5 x 15) images in batches of 10.
SCALE = {
    "omniglot": {"pretraining_episodes": 100_000, "attack_inner_steps": 50_000 * 250, "rounds_after": 50},
    "mini-imagenet": {"pretraining_episodes": 100_000, "attack_inner_steps": 150_000 * 8, "rounds_after": 100},
}
SCALE["omniglot"] |= {"filters": 64, "image_size": 28}
SCALE["mini-imagenet"] |= {"filters": 64, "image_size": 84}
# Of benign meta-training after the attack: E = 1000 (100) of each of three users a round.
BENIGN_EPISODES = {"omniglot": 50 * 1000 * 3, "mini-imagenet": 100 * 100 * 3}
EPISODES = 40

# By section and key of the settings, what Sections 3 and 4 state; each matters to some rows only, see `departures`.
LEARNING = {("reptile", "inner_learning_rate"): 0.001}
PRETRAINING = {("pretrain", "outer_learning_rate"): [0.1, 0.1]}
ATTACKER = {("attack", "outer_learning_rate"): 0.1, ("attack", "meta_batch"): 5}
MIX = {("glorot_mix", "norms"): "shared"}
NETWORK = {("matching", "gates"): True, ("matching", "scales"): True}


def departures(asked: Quantity, settings: Mapping[str, Mapping]) -> list[str]:
    """Return in words which settings that these measurements hang on are not those that the paper states.

    All hang on the inner learning rate eta; accuracies on ordinary images on the outer rate epsilon of pre-training;
    attack accuracies, and all right after the attack, on the attacker's epsilon and meta-batch B; those of a defence
    on its mix and its matching network.
    """
    stated = dict(LEARNING)
    if not set(asked.metrics) <= set(ATTACK):
        stated |= PRETRAINING
    if set(asked.metrics) & set(ATTACK) or any(
        term.moment.unit == "round" and term.moment.least for term in asked.terms
    ):
        stated |= ATTACKER
    for content in (term.content for term in asked.terms):
        stated |= (MIX if content.delta is not None else {}) | (NETWORK if content.experiment == "matching" else {})
    ours = {(section, key): settings[section][key] for section, key in stated}
    return [
        f"{'.'.join(name)} {_in_words(value)} for {_in_words(stated[name])}"
        for name, value in ours.items()
        if value != stated[name]
    ]


def _in_words(value: object) -> str:
    """Return a setting as it is written in a config."""
    return " to ".join(map(str, value)) if isinstance(value, list) else str(value).lower()
