"""What a run found, in words: for each scenario, whether the attack works, and whether it is gone under a defence."""

import math
from collections.abc import Collection

import pandas as pd

from fedmeta.reporting.comparison import last_steps
from fedmeta.reporting.figures.captions import count, display
from fedmeta.reporting.judging import SAFE
from fedmeta.reporting.results import lift, summarise, with_interval

RUN = ["scenario", "dataset", "defence"]
BENIGN = ("meta_testing", "main_task")
LIFTS = ("attack_training_lift", "attack_validation_lift")
HEADINGS: tuple[str, ...] = ("scenario", "data set", "defence", "attack lift (points)", "meta-testing", "in words")


def outcomes(metrics: pd.DataFrame, left_out: Collection[str] = ()) -> pd.DataFrame:
    """Return what was measured at the end, in the first case: a row for each scenario, data set and defence.

    `metrics` as from `read_metrics`, without the defences in `left_out`; all clients are pooled. For each accuracy of
    the attacked model and each lift there are the mean and, with `_half_width`, half the 95% interval, as fractions.
    `control` marks a fresh network, delta 0; `words` says what it means. The rows without a defence, measured after the
    last round, come first; their `defence` is "".
    """
    rows = last_steps(_shown(metrics, left_out))
    asked = pd.concat([rows[(rows.model == "attacked") & rows.metric.isin(BENIGN)], lift(rows)])
    summary = summarise(asked, [*RUN, "metric"])
    table = summary.pivot(index=RUN, columns="metric", values=["mean", "half_width"])
    table.columns = [metric if what == "mean" else f"{metric}_{what}" for what, metric in table.columns]
    table = table.join((rows.delta == 0).groupby([rows[name] for name in RUN]).all().rename("control")).reset_index()
    table["words"] = [conclusion(row) for row in table.to_dict("records")]
    return table


def _shown(metrics: pd.DataFrame, left_out: Collection[str]) -> pd.DataFrame:
    return metrics[(metrics.case == metrics.case.min()) & ~metrics.defence.isin(left_out)]


def sample_of(metrics: pd.DataFrame, left_out: Collection[str] = ()) -> str:
    """Return what the means of `outcomes` are taken over: case (a), client 2, 1 seed, 8 episodes of each kind.

    "" if nothing is left to show.
    """
    rows = _shown(metrics, left_out)
    if rows.empty:
        return ""
    clients = rows.client.dropna().unique()
    whose = f"client {clients[0]}" if len(clients) == 1 else count(len(clients), "client")
    seeds = rows.seed.nunique()
    episodes = count(int(rows.groupby(["seed", "defence"]).episode.nunique().max()), "episode")
    share = "of each kind a seed" if seeds > 1 else "of each kind"
    return f"case ({rows.case.min()}), {whose}, {count(seeds, 'seed')}, {episodes} {share}"


def conclusion(row: dict) -> str:
    """Return whether the attack works: the interval of one of its lifts is above `SAFE`, or those of both below."""
    halves = [row[f"{metric}_half_width"] for metric in LIFTS]
    if row["control"]:
        return "control: nothing of the model is left"
    if any(map(math.isnan, halves)):
        return "one episode: too few to tell"
    means = [row[metric] for metric in LIFTS]
    low, mean, high = (max(m + share * h for m, h in zip(means, halves, strict=True)) for share in (-1, 0, 1))
    defended = bool(row["defence"])
    if low > SAFE:
        return "the attack survives" if defended else "the attack works"
    if high <= SAFE:
        return "the attack is gone" if defended else "the attack does not work"
    # From the numbers as the table shows them, so that a reader can check the sums.
    rounded = [(round(100 * m), round(100 * h)) for m, h in zip(means, halves, strict=True)]
    low, high = (max(m + share * h for m, h in rounded) for share in (-1, 1))
    if mean <= SAFE:
        return f"no attack seen; up to {high:+} points are possible"
    return f"unclear, {low:+} to {high:+} points: evaluate more episodes or seeds"


def as_text(table: pd.DataFrame, most: int) -> str:
    """Return the first `most` outcomes as aligned lines; a single scenario or data set goes without its column."""
    cells = [HEADINGS]
    for row in table.head(most).to_dict("records"):
        whose = (row["scenario"], display(row["dataset"]), row["defence"] or "none")
        cells.append((*whose, lifts_of(row), f"{measured(row, 'meta_testing')}%", row["words"]))
    alike = [k for k, name in enumerate(RUN[:2]) if table[name].nunique() == 1]
    rows = [[cell for k, cell in enumerate(row) if k not in alike] for row in cells]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(table) > most:
        lines.append(f"... and {len(table) - most} more: results/tables/comparison.csv")
    return "\n".join(lines)


def lifts_of(row: dict) -> str:
    """Return the lift on images that the attacker trained on, and on others: +84±9 / +85±12."""
    return " / ".join(measured(row, metric, "+") for metric in LIFTS)


def measured(row: dict, metric: str, sign: str = "") -> str:
    """Return a metric's mean with half of its interval, in percent or points."""
    return with_interval(row[metric], row[f"{metric}_half_width"], sign=sign)
