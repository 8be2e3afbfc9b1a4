"""How long the attack lasts: what is left of its lift over episodes of benign training, and when half of it is gone.

The remaining lift is in percent of that right after the attack. A line that never falls to half has no half-life
within this run: the attack outlives it. If the lift was small from the start, its share is rough: see the intervals.
"""

import math
import os
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
from fedmeta.reporting.figures.scenarios import COLOURS, MARKERS
from fedmeta.reporting.judging import crossing, share_left
from fedmeta.reporting.results import summarise
from fedmeta.reporting.setup import About, Setup
from fedmeta.settings.fields import FigureOptions

ACROSS = True
ROUNDS = True
ATTACK_ROUND = 1
HALF = 0.5


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
    intervals; a half-life is where the line reaches half, its interval where the ends of the band do. The victim adapts
    without a defence. Files and errors are as in `over_rounds`.
    """
    rows = select(metrics, about.dataset, UNDEFENDED, options)
    cases = sorted(rows.case.unique())
    with style.context(["default", panels.STYLE]):
        figure, all_axes = panels.panels_in_a_row(cases, "episodes of benign training after the attack")
        for case, axes in zip(cases, all_axes, strict=True):
            words = [
                _draw_line(axes, rows[(rows.case == case) & (rows.scenario == name)], name, setup, place)
                for place, (name, setup) in enumerate(about.setups.items())
            ]
            axes.axhline(100 * HALF, label="half of it", **panels.CHANCE)
            axes.text(0.03, 0.04, "\n".join(words), transform=axes.transAxes, fontsize=7, va="bottom")
            axes.set_ylabel("lift left (%)" if axes is all_axes[0] else "")
        summary = summarise(rows, ["scenario", "step", "metric"])
        title = options.title or "how long the attack lasts"
        caption = f"{sample(rows, summary)}\nlift: mean of training and validation; half-life in episodes"
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def episodes_of_a_round(setup: Setup) -> int:
    """Return how many episodes the benign users train in a round after the attack."""
    own = setup.settings
    return own.federation.selected * own.meta_train_after.meta_steps * own.reptile.meta_batch


def half_life(left: pd.DataFrame, episodes: np.ndarray) -> HalfLife:
    """Return when half the lift is gone; `left` as from `share_left`, `episodes` (step,) at its steps.

    Between steps the line is straight on the logarithm of 1 + episodes.
    """
    places, mean, half = np.log1p(episodes), left["mean"], left.half_width.fillna(0)
    ends = (crossing(places, heights.to_numpy(), HALF) for heights in (mean, mean - half, mean + half))
    return HalfLife(*(float(np.expm1(place)) for place in ends))


def _draw_line(axes: Axes, rows: pd.DataFrame, name: str, setup: Setup, place: int) -> str:
    """Draw a scenario's line; return its half-life in words."""
    label = ", ".join(filter(None, place_of(name)))
    left = share_left(rows, ATTACK_ROUND)
    if left["mean"].isna().all():
        return f"{label}: no lift"
    episodes = (left.index.to_numpy() - ATTACK_ROUND) * episodes_of_a_round(setup)
    colour, mean, half = COLOURS[place % len(COLOURS)], 100 * left["mean"], 100 * left.half_width
    axes.plot(episodes, mean, color=colour, marker=MARKERS[place % len(MARKERS)], markersize=4, label=label)
    axes.fill_between(episodes, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)
    panels.set_iterations(axes, int(episodes[-1]))
    axes.set_ylim(panels.with_margin(120))
    return f"{label}: {in_words(half_life(left, episodes), int(episodes[-1]))}"


def in_words(found: HalfLife, last: int) -> str:
    """Return a half-life with its interval, censored at the `last` episode."""
    shown = [f"{round(each):,}" if math.isfinite(each) else f"> {last:,}" for each in found]
    return f"{shown[0]} ({shown[1]} to {shown[2]})"
