"""What the figures say about themselves."""

import re

import pandas as pd

DATASETS = {"omniglot": "Omniglot", "mini_imagenet": "mini-ImageNet", "glyphs": "Glyphs"}


def display(dataset: str) -> str:
    """Return the name of a data set as it is written."""
    return DATASETS.get(dataset, dataset)


def fine_tuning_title(dataset: str, experiment: str, defence: str, delta: float | None) -> str:
    """Return what is fine-tuned and how; a variant that the figure's kind does not imply is named on a second line."""
    kind = "matching-network" if experiment == "matching" else "supervised"
    start = ""
    if delta is not None:
        start = f", δ = {delta:g}" if experiment == "matching" else f", Glorot mix with δ = {delta:g}"
    variant = ""
    if local := re.search(r"_local_(\d+)$", defence):
        variant = f"\nafter {count(int(local[1]), 'episode')} of local benign meta-training"
    elif defence == "matching_other_episodes":
        variant = "\nanother set of evaluation episodes"
    return f"{display(dataset)}: benign {kind} fine-tuning after a one-shot attack{start}{variant}"


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


def count(number: int, noun: str) -> str:
    """Return the number with its noun, in the plural where it must be."""
    return f"{number} {noun}" + ("" if number == 1 else "s")
