"""Lift and accuracy over a key of the training, such as the factor of kernel inflation: a line for each defence.

Under a defence that holds, the lift stays near zero at every value. If the lift grows while meta-testing stays, the
attacker gains unnoticed; if both fall, a stronger attack destroys the model instead.
"""

import os
from functools import reduce

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from fedmeta.errors import FedmetaError
from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import display, sample
from fedmeta.reporting.figures.rows import select, some_defence
from fedmeta.reporting.figures.scenarios import COLOURS, MARKERS
from fedmeta.reporting.judging import SAFE, accuracies, lifts
from fedmeta.reporting.results import summarise
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions, Name

ACROSS = True
BESIDE = 1.04  # factor between the same value of two lines, so that their bars do not hide each other
LABELS = ("lift (points)", "meta-testing accuracy (%)")


class Options(FigureOptions):
    option: Name = Field(
        "attack.factor", description="key of the training in which the scenarios differ: a number above 0"
    )


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw the lift left, and meta-testing accuracy, over the key `options.option`, scenario by scenario.

    Lines are `options.defences`; bars are 95% intervals, see `fedmeta.reporting.judging`. Files and errors are as in
    `over_rounds`; it is also an error if a scenario has no number there or two scenarios have the same one.
    """
    names = some_defence(about.named(options.defences), options)
    values = values_of(about, options.option)
    rows = {name: select(metrics, about.dataset, name, options) for name in names}
    every = pd.concat(rows.values())
    with style.context(["default", panels.STYLE, {"axes.grid.axis": "both"}]):
        figure = Figure(figsize=(panels.WIDTH, 3.4), layout="constrained")
        both = figure.subplots(1, 2)
        for place, (name, own) in enumerate(rows.items()):
            beside = BESIDE ** (place - (len(rows) - 1) / 2)
            for axes, table in zip(both, (lifts(own), accuracies(own)), strict=True):
                _draw_line(axes, table, {scenario: beside * value for scenario, value in values.items()}, name, place)
        both[0].axhline(100 * SAFE, label=f"{100 * SAFE:.0f} points", **panels.CHANCE)
        for axes, label in zip(both, LABELS, strict=True):
            axes.set_ylabel(label)
            axes.set_xlabel(options.option)
            axes.set_xscale("log")
            axes.set_xticks(sorted(values.values()), labels=[f"{value:g}" for value in sorted(values.values())])
            axes.set_xticks([], minor=True)
        title = options.title or f"what defences leave over {options.option}"
        caption = sample(every, summarise(every, ["scenario", "defence", "metric"]), "point", "bar")
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def values_of(about: About, key: str) -> dict[str, float]:
    """Return the value of a key in each scenario, above 0, in ascending order; `key`: such as attack.factor."""
    values: dict[str, float] = {}
    for name, setup in about.setups.items():
        value = reduce(lambda part, each: getattr(part, each, None), key.split("."), setup.settings)
        if not isinstance(value, int | float) or value <= 0:
            problem = f"scenario '{name}' has no number above 0 at {key}"
            raise FedmetaError(f"{problem}: give it one, or draw over a key of the training such as attack.factor")
        values[name] = value
    if len(set(values.values())) < len(values):
        raise FedmetaError(f"two scenarios have the same {key}: leave one out of the figure's scenarios")
    return dict(sorted(values.items(), key=lambda each: each[1]))


def _draw_line(axes: Axes, table: pd.DataFrame, values: dict[str, float], name: str, place: int) -> None:
    own = table.reindex([scenario for scenario in values if scenario in table.index])
    look = {"color": COLOURS[place % len(COLOURS)], "marker": MARKERS[place % len(MARKERS)], "markersize": 4}
    mean, half = (100 * own[column].to_numpy(float) for column in ("mean", "half_width"))
    bars = [half, np.clip(mean + half, None, 100) - mean]
    axes.errorbar([values[scenario] for scenario in own.index], mean, bars, label=name, elinewidth=0.9, **look)
