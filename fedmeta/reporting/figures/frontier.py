"""The frontier: the benefit of the federation that each defence keeps, against the lift under its worst attack.

Good defences are at the upper left: much benefit kept, little lift under the worst attack. No defence beats those
on the line in both. A defence near benefit 0 is no better than a network that never saw the federation.
"""

import os

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pydantic import Field

from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.arena import place_of
from fedmeta.reporting.figures.captions import display, sample
from fedmeta.reporting.figures.rows import select, some_defence
from fedmeta.reporting.judging import SAFE, benefit_kept, lifts
from fedmeta.reporting.results import each_row, summarise
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions, Name

ACROSS = True
BARS = {"linestyle": "none", "color": "0.6", "elinewidth": 0.8, "zorder": 1.8}
NO_BENEFIT = "the undefended accuracy is not above that from scratch:\nthere is no benefit to keep"
POINT = {"color": "#0b62a8", "marker": "o", "markersize": 4, "linestyle": "none", "zorder": 2.2}
LINK = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.5, "shrinkA": 0, "shrinkB": 2}
NUMBER = {"fontsize": 7, "ha": "center", "va": "center", "color": "#0b62a8", "fontweight": "bold", "arrowprops": LINK}
LINE = 0.19  # height of a line of the legend in inches
ROOM = 0.035  # share of an axis that a number takes
LEAST, MOST = -60.0, 160.0  # percent of the benefit: the ends of the axis
SET = {"color": "#d0455f", "linewidth": 1.0, "linestyle": (0, (5, 2)), "zorder": 1.5}


class Options(FigureOptions):
    scratch: Name = Field("fresh-network", description="the entry of a defence on a fresh network: benefit 0")
    undefended: Name = Field(description="the entry that keeps the shared model as it is: benefit 1")


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw a point for each of `options.defences`, which must include `scratch` and `undefended`.

    x: the largest lift over all scenarios, with its interval; y: `fedmeta.reporting.judging.benefit_kept`. The defences
    that no other beats in both are joined. Files and errors are as in `over_rounds`.
    """
    names = some_defence(about.named(options.defences), options)
    rows = {name: select(metrics, about.dataset, name, options) for name in names}
    for name in (options.scratch, options.undefended):
        rows.setdefault(name, select(metrics, about.dataset, name, options))
    points = pd.DataFrame([_point(name, rows, options) for name in rows]).set_index("name")
    every = pd.concat(rows.values())
    with style.context(["default", panels.STYLE, {"axes.grid.axis": "both"}]):
        figure = Figure(figsize=(panels.WIDTH, max(4.2, 1.1 + LINE * len(points))), layout="constrained")
        axes = figure.subplots()
        entries = _draw_points(axes, points)
        if points.benefit.isna().all():
            axes.text(0.5, 0.5, NO_BENEFIT, transform=axes.transAxes, ha="center", va="center", color="0.4")
        axes.axvline(100 * SAFE, label=f"{100 * SAFE:.0f} points of lift", **panels.CHANCE)
        title = "defence (the attack that fares best against it)"
        legend = figure.legend(handles=entries, title=title, loc="outside right center", frameon=False, fontsize=6.5)
        legend.get_title().set_fontsize(6.5)
        for entry in entries:
            entry.set_label("")
        axes.set_xlabel("lift under the attack that fares best (points)")
        axes.set_ylabel("benefit of the federation kept (%)")
        title = options.title or "what defences leave of the attack, and of the federation"
        caption = sample(every, summarise(every, ["scenario", "defence", "metric"]), "point", "bar")
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def _draw_points(axes: Axes, points: pd.DataFrame) -> list[Line2D]:
    """Draw the points and their numbers, and join the best; return the entries of the legend.

    Points below `LEAST` are drawn at the lower edge, and the legend gives their benefit.
    """
    shown = points.benefit.clip(lower=LEAST)
    axes.errorbar(points.lift, shown, xerr=points.lift_half, yerr=points.benefit_half, **BARS)
    best = pareto(points.lift.to_numpy(), points.benefit.to_numpy())
    joined = points.iloc[best].sort_values("lift")
    axes.plot(joined.lift, joined.benefit, label="no other defence is better in both", **SET)
    entries = []
    for number, (row, height) in enumerate(zip(each_row(points), shown, strict=True), 1):
        beyond = f", {row.benefit:.0f}%" if row.benefit < LEAST else ""
        (entry,) = axes.plot(row.lift, height, label=f"{number}  {row.Index} ({row.worst}{beyond})", **POINT)
        entries.append(entry)
    heights = [0, 100, *(shown + points.benefit_half.fillna(0)).dropna(), *shown.dropna()]
    axes.set_ylim(min(heights) - 15, min(max(heights), MOST) + 10)
    left, right = axes.get_xlim()
    axes.set_xlim(min(left, -5), max(right, 15))
    for number, place in enumerate(apart(points.lift.to_numpy(), shown.to_numpy(), axes), 1):
        axes.annotate(str(number), (points.lift.iloc[number - 1], shown.iloc[number - 1]), place, **NUMBER)
    return entries


def apart(x: np.ndarray, y: np.ndarray, axes: Axes) -> list[tuple[float, float]]:
    """Return where to write the number of each point, so that no two overlap, from the highest point down."""
    width, height = (ROOM * np.ptp(limits) for limits in (axes.get_xlim(), axes.get_ylim()))
    taken: list[tuple[float, float]] = []
    places: dict[int, tuple[float, float]] = {}
    for k in np.argsort(-np.nan_to_num(y), kind="stable"):
        steps = ((dx, dy) for reach in range(1, 30) for dx in (reach, -reach) for dy in (0, reach, -reach))
        tried = ((float(x[k] + dx * width), float(y[k] + dy * height)) for dx, dy in steps)
        free = (p for p in tried if all(abs(p[0] - q[0]) >= width or abs(p[1] - q[1]) >= height for q in taken))
        places[k] = next(free, (float(x[k] + width), float(y[k])))
        taken.append(places[k])
    return [places[k] for k in range(len(x))]


def _point(name: str, rows: dict[str, pd.DataFrame], options: Options) -> dict:
    left = lifts(rows[name])
    place = int(left["mean"].to_numpy().argmax())
    lift, half_width = left[["mean", "half_width"]].to_numpy(float)[place]
    benefit, half = benefit_kept(rows[name], rows[options.scratch], rows[options.undefended])
    return {
        "name": name,
        "worst": ", ".join(filter(None, place_of(str(left.index[place])))),
        "lift": 100 * lift,
        "lift_half": 100 * half_width,
        "benefit": 100 * benefit,
        "benefit_half": 100 * half,
    }


def pareto(costs: np.ndarray, benefits: np.ndarray) -> list[int]:
    """Return the places that no other beats: none has as low a cost and as high a benefit, and one of them better."""
    return [
        place
        for place, (cost, benefit) in enumerate(zip(costs, benefits, strict=True))
        if not np.any((costs <= cost) & (benefits >= benefit) & ((costs < cost) | (benefits > benefit)))
    ]
