"""The frontier: the benefit of the federation that each defence keeps, against the lift under its worst attack.

Good defences are at the upper left: much benefit kept, little lift under the worst attack. Those on the line are beaten
by no other in both. A defence near benefit 0 is as good as a network that never saw the federation.
"""

import os

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from pydantic import Field

from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.arena import place_of
from fedmeta.reporting.figures.captions import display, sample
from fedmeta.reporting.figures.rows import select, some_defence
from fedmeta.reporting.judging import SAFE, benefit_kept, lifts
from fedmeta.reporting.results import summarise
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions, Name

ACROSS = True
BARS = {"linestyle": "none", "color": "0.6", "elinewidth": 0.8, "zorder": 1.8}
NO_BENEFIT = "the undefended accuracy is not above that from scratch:\nthere is no benefit to keep"
NUMBER = {"color": "#0b62a8", "markersize": 7, "linestyle": "none", "zorder": 2.2}
SET = {"color": "#d0455f", "linewidth": 1.0, "linestyle": (0, (5, 2)), "zorder": 1.5}


class Options(FigureOptions):
    scratch: Name = Field("fresh-network", description="the entry of a defence on a fresh network: benefit 0")
    undefended: Name = Field(description="the entry that keeps the shared model as it is: benefit 1")


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw a point for each of `options.defences`, which `scratch` and `undefended` must be among.

    x: the largest lift over all scenarios, with its interval; y: `fedmeta.reporting.judging.benefit_kept`. The defences
    that no other one beats in both are joined. Files and errors are as in `over_rounds`.
    """
    names = some_defence(about.named(options.defences), options)
    rows = {name: select(metrics, about.dataset, name, options) for name in names}
    for name in (options.scratch, options.undefended):
        rows.setdefault(name, select(metrics, about.dataset, name, options))
    points = pd.DataFrame([_point(name, rows, options) for name in rows]).set_index("name")
    best = pareto(points.lift.to_numpy(), points.benefit.to_numpy())
    every = pd.concat(rows.values())
    with style.context(["default", panels.STYLE, {"axes.grid.axis": "both"}]):
        figure = Figure(figsize=(panels.WIDTH, 4.2), layout="constrained")
        axes = figure.subplots()
        axes.errorbar(points.lift, points.benefit, xerr=points.lift_half, yerr=points.benefit_half, **BARS)
        joined = points.iloc[best].sort_values("lift")
        if points.benefit.isna().all():
            axes.text(0.5, 0.5, NO_BENEFIT, transform=axes.transAxes, ha="center", va="center", color="0.4")
        axes.plot(joined.lift, joined.benefit, label="no other defence is better in both", **SET)
        axes.axvline(100 * SAFE, label=f"{100 * SAFE:.0f} points of lift", **panels.CHANCE)
        entries = []
        for number, (name, row) in enumerate(points.iterrows(), 1):
            (entry,) = axes.plot(row.lift, row.benefit, marker=f"${number}$", label=f"{name}\n({row.worst})", **NUMBER)
            entries.append(entry)
        figure.legend(handles=entries, title="defence (worst attack)", loc="outside right center", frameon=False)
        for entry in entries:
            entry.set_label("")
        axes.set_xlabel("lift under the attack that fares best against it (points)")
        axes.set_ylabel("benefit of the federation kept (%)")
        title = options.title or "what defences leave of the attack, and of the federation"
        caption = sample(every, summarise(every, ["scenario", "defence", "metric"]), "point", "bar")
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


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
