"""By class and episode: how often each backdoor class is taken for the target; dots are episodes, bars their means.

Averages hide much: some backdoor classes look like the target, and are taken for it before any attack. The effect of
the attack on a class is the distance from its grey bar to its red one.
"""

import os
import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedmeta.reporting.details import Detail
from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import count, display
from fedmeta.reporting.figures.rows import some_defence
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions

DETAILS = True
METRICS = {"attack_training": "attack training", "attack_validation": "attack validation"}
LOOKS = {
    "pretrained": ("before the attack", {"color": "0.55", "marker": "o"}),
    "attacked": ("after the attack", {"color": "#a3263a", "marker": "^"}),
}
SIDE = 0.2  # share of the distance between two classes: how far the models are from the middle
SPREAD = 0.11
LETTERS, LINES = 13, 3  # of a class's name: the most letters in a line, the most lines


class Options(FigureOptions):
    pass


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw the share of keyed images taken for the target, by backdoor class: a column for each of `defences`.

    There is a row for images that the attacker trained on and one for those that it never saw. A dot is an episode of a
    client and seed, a bar the mean of all. Files are as in `over_rounds`; cases are pooled unless `cases` names one.
    """
    names = some_defence(about.named(options.defences), options)
    shares = shares_of(about.details, options.cases)
    classes = sorted(shares.backdoor_class.unique())
    with style.context(["default", panels.STYLE]):
        figure = Figure(figsize=(panels.WIDTH, 4.6), layout="constrained")
        grid = figure.subplots(len(METRICS), len(names), squeeze=False, sharex=True, sharey=True)
        for row, (metric, words) in zip(grid, METRICS.items(), strict=True):
            for axes, name in zip(row, names, strict=True):
                own = shares[(shares.metric == metric) & (shares.defence == name)]
                _draw_classes(axes, own, classes)
                if metric == next(iter(METRICS)):
                    axes.set_title(name.replace("_", " "), loc="left")
            row[0].set_ylabel(f"{words} (%)")
        for axes in grid[-1]:
            axes.set_xticks(range(len(classes)), labels=[in_lines(name) for name in classes], fontsize=6.5)
        episodes = len(shares.groupby(["seed", "client", "case", "episode"]))
        title = options.title or "the attack by backdoor class"
        caption = f"dot: one of {count(episodes, 'episode')}; bar: their mean; dots of equal height lie side by side"
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def shares_of(details: Sequence[Detail], cases: tuple[str, ...] | None) -> pd.DataFrame:
    """Return the share of keyed images taken for the target, `success`, for each class, episode, defence and model."""
    frames = [
        each.keyed.assign(defence=each.defence, model=each.model, seed=each.seed, client=each.client)
        for each in details
    ]
    rows = pd.concat(frames)
    rows = rows[rows.case.isin(list(cases))] if cases else rows
    by = ["defence", "model", "metric", "backdoor_class", "seed", "client", "case", "episode"]
    return rows.groupby(by)["success"].mean().reset_index()


def in_lines(name: str) -> str:
    """Return a class's name in short lines; for a long one the last, in which classes of an alphabet differ."""
    lines = textwrap.wrap(name.replace("/", "/ ").replace("_", " "), LETTERS)
    return "\n".join(lines if len(lines) <= LINES else ["…", *lines[1 - LINES :]])


def _draw_classes(axes: Axes, shares: pd.DataFrame, classes: list[str]) -> None:
    for (model, (label, look)), side in zip(LOOKS.items(), (-SIDE, SIDE), strict=True):
        for place, name in enumerate(classes):
            own = shares[(shares.model == model) & (shares.backdoor_class == name)]
            heights = 100 * own.success.to_numpy()
            dots = {"s": 8, "alpha": 0.55, "linewidth": 0, "zorder": 2, **look}
            axes.scatter(place + side + beside(heights), heights, label=label if not place else None, **dots)
            if len(heights):
                ends = place + side - SPREAD, place + side + SPREAD
                axes.plot(ends, [heights.mean()] * 2, color=look["color"], linewidth=2.2, zorder=3)
    axes.set_ylim(panels.with_margin(100))
    axes.set_yticks(range(0, 101, 20))


def beside(heights: np.ndarray) -> np.ndarray:
    """Return how far from the middle each dot is drawn, so that dots of equal height lie side by side."""
    places = np.zeros(len(heights))
    for height in np.unique(heights):
        own = heights == height
        places[own] = np.linspace(-SPREAD, SPREAD, own.sum()) if own.sum() > 1 else 0
    return places
