"""Scenarios side by side: accuracies after round 1 (the attack), after the last round, and at the end of each defence.

Scenarios differ if their bars do not overlap. Attack accuracy counts from its tick, the floor: a scenario with a
higher accuracy need not have the stronger attack. Compare meta-testing, too: a scenario may resist
because it learned less.
"""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedmeta.errors import FedmetaError
from fedmeta.reporting.comparison import last_steps
from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import display, sample
from fedmeta.reporting.figures.rows import UNDEFENDED, select
from fedmeta.reporting.results import ATTACK_METRICS, METRICS, summarise
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions

ACROSS = True
ROUNDS = True
TITLES = {name: name.replace("meta_", "meta-").replace("_", "\n") for name in METRICS}  # two lines: panels are narrow
COLOURS = seaborn.color_palette("colorblind").as_hex()
MARKERS = "osD^vP*Xd<>"
SPREAD = 0.76  # share of the distance between scenarios over which the points of one are spread
FLOOR = {"marker": "|", "markersize": 8, "markeredgewidth": 1.4, "linestyle": "none", "zorder": 1.9}
LEGEND = "ticks: the floor, attack accuracy of the model before the attack under the same defence"


class Options(FigureOptions):
    pass


class Series(NamedTuple):
    """What one colour shows: a row for each scenario, case, model and metric of `summary`, means with intervals."""

    label: str
    summary: pd.DataFrame


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw a panel for each metric and case, scenario by scenario.

    Points are means over the episodes of all clients, bars their 95% intervals: without a defence after round 1 (the
    attack) and after the last evaluated round, and under each of `options.defences` after the last iteration. Ticks are
    the floor. Files and errors are as in `over_rounds`.
    """
    names = list(about.setups)
    rows = _shown(metrics, options, about)
    by = ["scenario", "case", "model", "metric"]
    series = [Series(label, summarise(own, by)) for label, own in rows.items()]
    every = pd.concat(rows.values())
    cases = sorted(every.case.unique())
    with style.context(["default", panels.STYLE, {"axes.grid.axis": "x"}]):
        heights = [0.6 + len(names) * max(0.3, 0.09 * len(series))] * len(cases)
        figure, strips = panels.strips(cases, list(TITLES.values()), heights)
        for case, row in zip(cases, strips, strict=True):
            for metric, axes in zip(TITLES, row, strict=True):
                _draw_metric(axes, series, names, case, metric)
                axes.axvline(100 / about.way, label=f"chance (1/{about.way})", **panels.CHANCE)
                axes.set_xlim(panels.with_margin(100))
                label_rows(axes, names if axes is row[0] else [""] * len(names))
        for axes in strips[-1]:
            axes.set_xlabel("accuracy (%)")
        title = options.title or "scenarios side by side"
        caption = f"{sample(every, series[0].summary, 'point', 'bar')}\n{LEGEND}"
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def _shown(metrics: pd.DataFrame, options: Options, about: About) -> dict[str, pd.DataFrame]:
    """Return the rows that are shown, by their label."""
    rounds = select(metrics, about.dataset, UNDEFENDED, options)
    shown = {"after round 1": rounds[rounds.step == 1], "after the last round": last_steps(rounds)}
    for name in about.named(options.defences):
        shown[name] = last_steps(select(metrics, about.dataset, name, options))
    for name in about.setups:
        if not any((own.scenario == name).any() for own in shown.values()):
            raise FedmetaError(f"the metrics of {about.dataset} have no rows of scenario '{name}': evaluate it")
    return {label: rows for label, rows in shown.items() if len(rows)}


def _draw_metric(axes: Axes, series: Sequence[Series], names: Sequence[str], case: str, metric: str) -> None:
    """Draw means, intervals and, for attack accuracies, floors; a scenario that lacks something has a gap there."""
    for place, (label, summary) in enumerate(series):
        offset = SPREAD * ((place + 0.5) / len(series) - 0.5)
        heights, colour = np.arange(len(names)) + offset, COLOURS[place % len(COLOURS)]
        of_metric = summary[(summary.case == case) & (summary.metric == metric)]
        attacked, clean = (
            of_metric[of_metric.model == model].set_index("scenario").reindex(list(names))
            for model in ("attacked", "clean")
        )
        mean, half = 100 * attacked["mean"], 100 * attacked.half_width
        bars = [mean - np.clip(mean - half, 0, 100), np.clip(mean + half, 0, 100) - mean]
        look = {"color": colour, "marker": MARKERS[place % len(MARKERS)], "markersize": 4, "linestyle": "none"}
        axes.errorbar(mean, heights, xerr=bars, label=label, elinewidth=1.2, zorder=2.2, **look)
        if metric in ATTACK_METRICS:
            axes.plot(100 * clean["mean"], heights, color=colour, **FLOOR)


def label_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Give the axis a row for each label, from the top, every other one shaded."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    axes.set_yticks(range(len(labels)), labels=labels)
    axes.tick_params(axis="y", length=0)
    for place in range(1, len(labels), 2):
        axes.axhspan(place - 0.5, place + 0.5, color="0.97", zorder=0)
