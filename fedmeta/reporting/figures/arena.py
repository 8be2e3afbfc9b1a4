"""The arena: what each defence leaves of each attack under each server, a table of cells for each defence.

A defence is only as good as its worst row, and a server as its worst cell: an attacker chooses. Cells with an x are
unsafe; a dash was not run. Look for columns without an x whose meta-testing accuracy is still high.
"""

import math
import os

import numpy as np
import pandas as pd
import seaborn
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import display, sample
from fedmeta.reporting.figures.rows import select, some_defence
from fedmeta.reporting.judging import SAFE, accuracies, lifts
from fedmeta.reporting.results import summarise
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions, Name

ACROSS = True
SHADES = seaborn.light_palette("#c44e52", as_cmap=True)  # dark for a high lift, also in grey
DARK = 0.55  # the share of the scale from which letters are white
CELL = 0.2  # inches, of the height


class Options(FigureOptions):
    columns: Name = Field("server", description="what the scenarios of a grid differ in, as the columns are called")


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw a table for each of `options.defences`: a row an attack, a column a server.

    Rows and columns come from the names of scenarios: `ATTACK,server=NAME`, as `scenarios` and a `grid` give them. A
    cell has the lift that is left (see `fedmeta.reporting.judging.lifts`) and meta-testing accuracy, each with its 95%
    interval; an x marks what is unsafe, a dash what was not run. Files and errors are as in `over_rounds`.
    """
    names = some_defence(about.named(options.defences), options)
    rows = {name: select(metrics, about.dataset, name, options) for name in names}
    places = {name: place_of(name) for name in about.setups}
    attacks, servers = (list(dict.fromkeys(each)) for each in zip(*places.values(), strict=True))
    every = pd.concat(rows.values())
    with style.context(["default", panels.STYLE, {"axes.grid": False}]):
        height = len(names) * (0.55 + CELL * len(attacks)) + 0.9
        figure = Figure(figsize=(panels.WIDTH, height), layout="constrained")
        for name, axes in zip(names, figure.subplots(len(names), 1, squeeze=False)[:, 0], strict=True):
            _draw_table(axes, rows[name], places, attacks, servers)
            axes.set_title(name, loc="left", fontweight="bold")
        lines = [
            "each cell: lift that the attack keeps (points) | meta-testing accuracy (%), ± 95% interval",
            f"x : above {100 * SAFE:.0f} points at the upper end of the interval;  columns: {options.columns}",
            sample(every, summarise(every, ["scenario", "defence", "metric"]), "number", "±"),
        ]
        title = options.title or "attacks against servers and users"
        figure.suptitle(f"{display(about.dataset)}: {title}\n" + "\n".join(lines), fontsize=8)
        panels.save(figure, path_stem)
    return figure


def place_of(scenario: str) -> tuple[str, str]:
    """Return the row and the column of a scenario: `boosted,method=krum` is (boosted, krum)."""
    attack, _, rest = scenario.partition(",")
    return attack.replace("_", " "), ", ".join(part.rpartition("=")[2] for part in rest.split(",")).replace("_", " ")


def _draw_table(axes: Axes, rows: pd.DataFrame, places: dict, attacks: list[str], servers: list[str]) -> None:
    left, accuracy = lifts(rows), accuracies(rows)
    shades = np.full((len(attacks), len(servers)), np.nan)
    for scenario, (attack, server) in places.items():
        place = attacks.index(attack), servers.index(server)
        if scenario not in left.index:
            axes.text(place[1], place[0], "-", ha="center", va="center", fontsize=7)
            continue
        lift, meta = left.loc[scenario], accuracy.loc[scenario]
        shades[place] = np.clip(lift["mean"], 0, 1)
        mark = "x " if lift["unsafe"] else ""
        words = f"{mark}{_number(lift, '+.0f')} | {_number(meta, '.1f')}"
        colour = "white" if shades[place] > DARK else "black"
        axes.text(place[1], place[0], words, ha="center", va="center", fontsize=6.2, color=colour)
    axes.imshow(shades, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(servers)), labels=servers)
    axes.set_yticks(range(len(attacks)), labels=attacks)
    axes.tick_params(length=0)
    for edge in range(1, len(attacks)):
        axes.axhline(edge - 0.5, color="white", linewidth=1)
    for edge in range(1, len(servers)):
        axes.axvline(edge - 0.5, color="white", linewidth=1)
    axes.spines[:].set_visible(False)


def _number(row: pd.Series, form: str) -> str:
    """Return a mean with its interval in percent."""
    half = "" if math.isnan(row["half_width"]) else f"±{100 * row['half_width']:.0f}"
    return f"{100 * row['mean']:{form}}{half}"
