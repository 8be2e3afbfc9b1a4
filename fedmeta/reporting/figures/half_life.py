"""How long the attack lasts: what is left of its lift over episodes of benign training, and when half of it is gone.

The remaining lift is in percent of that right after the attack. A line that never falls to half has no half-life
within this run: the attack outlives it. A lift below ten points right after the attack is too small to follow.
"""

import math
import os
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.arena import place_of
from fedmeta.reporting.figures.captions import display, sample
from fedmeta.reporting.figures.rows import UNDEFENDED, select
from fedmeta.reporting.figures.scenarios import COLOURS, MARKERS, label_rows
from fedmeta.reporting.judging import crossing, share_left
from fedmeta.reporting.results import lift, summarise
from fedmeta.reporting.setup import About, Setup
from fedmeta.settings.fields import FigureOptions

ACROSS = True
ROUNDS = True
ATTACK_ROUND = 1
HALF = 0.5
LEAST = 0.1  # lift right after the attack, in accuracy, below which its share says nothing
TOO_SMALL = f"lift below {100 * LEAST:.0f}"
MOST_LINES = 6  # with more scenarios, lines and words would lie on one another
MARKS = ("point", "bar")
CENSORED = "black line: the end of the run; a triangle there: half or more of the lift is left"


class Options(FigureOptions):
    pass


class HalfLife(NamedTuple):
    """Benign episodes until half the lift is gone, and the ends of the 95% interval; infinity: not within the run."""

    episodes: float
    lowest: float
    highest: float


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw what is left of the lift, in percent of that right after the attack: panels are cases, lines scenarios.

    x: the episodes that benign users have trained since, on a logarithmic scale that starts at 0. Bands are 95%
    intervals; a half-life is where the line reaches half, its interval where the ends of the band do. Of more than
    `MOST_LINES` scenarios only the half-lives are drawn, a row for each. The victim adapts without a defence. Files and
    errors are as in `over_rounds`.
    """
    rows = select(metrics, about.dataset, UNDEFENDED, options)
    cases = sorted(rows.case.unique())
    many = len(about.setups) > MOST_LINES
    with style.context(["default", panels.STYLE, {"axes.grid.axis": "x" if many else "y"}]):
        if many or len(cases) == 1:
            figure, all_axes = panels.panels_in_a_row(cases, "", letters=66 if many else 90)  # labels narrow them
        else:
            figure, all_axes = panels.panels_in_rows(cases, [""], "")
        for case, axes in zip(cases, all_axes, strict=True):
            left = {
                name: remaining(rows[(rows.case == case) & (rows.scenario == name)], setup)
                for name, setup in about.setups.items()
            }
            if many:
                _draw_rows(axes, left, labelled=axes is all_axes[0])
            else:
                _draw_lines(axes, left)
            ends = (int(share.index[-1]) for share in left.values() if isinstance(share, pd.DataFrame))
            panels.set_iterations(axes, max(ends, default=1))
        all_axes[len(cases) // 2 if many else -1].set_xlabel("benign episodes since the attack")
        if many:
            figure.set_figheight(1.4 + 0.2 * len(about.setups))
        title = options.title or "how long the attack lasts"
        summary = summarise(rows, ["scenario", "step", "metric"])
        lines = [
            sample(rows, summary, *MARKS if many else ()),
            "lift: mean of training and validation; half-life in episodes",
        ]
        caption = "\n".join(lines + [CENSORED] * many)
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def remaining(rows: pd.DataFrame, setup: Setup) -> pd.DataFrame | str:
    """Return `share_left` of a scenario's rows of one case by the benign episodes since the attack.

    Instead, in words: if the attack was not evaluated right after it, or its lift was below `LEAST`.
    """
    first = rows[rows.step == ATTACK_ROUND]
    if first.empty:
        return "not evaluated"
    if lift(first)["value"].mean() < LEAST:
        return TOO_SMALL
    left = share_left(rows, ATTACK_ROUND)
    return left.set_axis((left.index.to_numpy() - ATTACK_ROUND) * episodes_of_a_round(setup))


def episodes_of_a_round(setup: Setup) -> int:
    """Return how many episodes the benign users train in a round after the attack."""
    own = setup.settings
    return own.federation.selected * own.meta_train_after.meta_steps * own.reptile.meta_batch


def half_life(left: pd.DataFrame) -> HalfLife:
    """Return when half the lift is gone; `left` as from `remaining`.

    Between steps the line is straight on the logarithm of 1 + episodes.
    """
    places, mean, half = np.log1p(left.index.to_numpy()), left["mean"], left.half_width.fillna(0)
    ends = (crossing(places, heights.to_numpy(), HALF) for heights in (mean, mean - half, mean + half))
    return HalfLife(*(float(np.expm1(place)) for place in ends))


def in_words(found: HalfLife, last: int) -> str:
    """Return a half-life with its interval, censored at the `last` episode."""
    shown = [f"{round(each):,}" if math.isfinite(each) else f"> {last:,}" for each in found]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"


def _label(name: str) -> str:
    return ", ".join(filter(None, place_of(name)))


def _draw_lines(axes: Axes, shares: Mapping[str, pd.DataFrame | str]) -> None:
    """Draw a line for each scenario, and its half-life in words."""
    words, lowest = [], 0.0
    for place, (name, left) in enumerate(shares.items()):
        label, colour = _label(name), COLOURS[place % len(COLOURS)]
        if isinstance(left, str):
            words.append(f"{label}: {left}")
            continue
        episodes, mean, half = left.index.to_numpy(), 100 * left["mean"], 100 * left.half_width
        axes.plot(episodes, mean, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=4, label=label)
        axes.fill_between(episodes, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
        lowest = min(lowest, mean.min())
        words.append(f"{label}: {in_words(half_life(left), int(episodes[-1]))}")
    below, above = panels.with_margin(120)
    axes.set_ylim(lowest + below, above)
    axes.axhline(100 * HALF, label="half of it", **panels.CHANCE)
    ground = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}
    axes.text(0.03, 0.04, "\n".join(words), transform=axes.transAxes, fontsize=7, va="bottom", bbox=ground)
    axes.set_ylabel("lift left (%)")


def _draw_rows(axes: Axes, shares: Mapping[str, pd.DataFrame | str], labelled: bool) -> None:
    """Draw the half-life of each scenario as a point with its interval, censored at the last episode of its run."""
    label_rows(axes, [_label(name) if labelled else "" for name in shares])
    axes.set_ylabel("")
    for row, left in enumerate(shares.values()):
        if isinstance(left, str):
            axes.text(0.03, row, left, transform=axes.get_yaxis_transform(), fontsize=7, va="center", color="0.4")
            continue
        last = left.index[-1]
        found = half_life(left)
        middle, lowest, highest = np.minimum(found, last)
        marker = "o" if math.isfinite(found.episodes) else ">"
        bars = [[middle - lowest], [highest - middle]]
        axes.errorbar(middle, row, xerr=bars, color=COLOURS[0], marker=marker, markersize=4, elinewidth=1.2)
        axes.plot([last, last], [row - 0.4, row + 0.4], color="black", linewidth=0.8)
