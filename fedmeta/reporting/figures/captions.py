"""What the figures say about themselves."""

from collections.abc import Sequence

import pandas as pd

from fedmeta.reporting.seeds import are_few
from fedmeta.reporting.setup import Setup

DATASETS = {"omniglot": "Omniglot", "mini_imagenet": "mini-ImageNet", "glyphs": "Glyphs"}
LIFT = "lift: attack accuracy above that before the attack, at the last step, training / validation, in points"
CONTROL = "fresh network: the same defence with δ = 0, without anything of the federation's model"
ORDERS = {
    "last": "the victim has the target class at its last output; figure order shows classes in random order, too",
    "random": "the victim has its classes in random order",
}


def display(dataset: str) -> str:
    """Return the name of a data set as it is written."""
    return DATASETS.get(dataset, dataset)


def attack(setup: Setup) -> str:
    """Return the attack in words."""
    own = setup.settings.attack
    return "a one-shot attack" if own.method == "one_shot" and own.rounds == (1,) else f"the attack {own.method}"


def defence_title(setup: Setup, name: str) -> str:
    """Return what is fine-tuned and how; what the entry changes beside its method is on a second line."""
    method, delta = setup.method(name), setup.option(name, "delta")
    kinds = {"matching": "benign matching-network fine-tuning", "fine_tuning": "benign supervised fine-tuning"}
    start = ""
    if delta is not None:
        start = f", δ = {share(delta)}" if method == "matching" else f", Glorot mix with δ = {share(delta)}"
    repairs = ", then ".join(map(_repair, setup.defences[name].repairs.values()))
    changes = [f"after {repairs}"] if repairs else []
    if "episode_seed" in setup.defences[name].evaluation:
        changes.append("another set of evaluation episodes")
    words = kinds.get(method, f"benign fine-tuning by the defence {name}")
    return f"{words} after {attack(setup)}{start}" + (f"\n{', '.join(changes)}" if changes else "")


def share(delta: float | Sequence[float]) -> str:
    """Return the share of the shared model in a mix: 0.3, or (1, 1, 0, 0) of one for each module."""
    return f"{delta:g}" if isinstance(delta, int | float) else f"({', '.join(f'{each:g}' for each in delta)})"


def _repair(repair: dict) -> str:
    if repair["method"] == "local_meta_training" and "episodes" in repair:
        return f"{count(repair['episodes'], 'episode')} of local benign meta-training"
    if repair["method"] == "mix" and "delta" in repair:
        return f"a Glorot mix with δ = {share(repair['delta'])}"
    return f"repair by {repair['method']}"


def sample(rows: pd.DataFrame, summary: pd.DataFrame, mean: str = "line", interval: str = "band") -> str:
    """Return what a mean is taken over, and what its interval is; how the figure shows them is `mean`, `interval`."""
    fewest, most = summary.n_episodes.min(), summary.n_episodes.max()
    episodes = f"{fewest} to {most} episodes" if fewest < most else count(most, "episode")
    clients, seeds = rows.client.dropna().unique(), rows.seed.nunique()
    if len(clients) == 1:
        episodes += f" of client {clients[0]}"
    elif len(clients) > 1:
        episodes += " per client" if "client" in summary else f" of {len(clients)} clients"
    if summary.half_width.isna().all():
        shown = "no interval"
    else:
        shown = f"{interval}: 95% confidence interval over {'seeds' if seeds > 1 else 'episodes'}"
    return f"{mean}: mean of {episodes}, {count(seeds, 'seed')}; {shown}"


def sample_of_lines(rows: pd.DataFrame, summary: pd.DataFrame) -> str:
    """Return `sample` for panels, which show a few seeds one by one."""
    return sample(rows, summary) + ("; thin lines: single seeds" if are_few(rows.seed) else "")


def count(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural where it must be."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
