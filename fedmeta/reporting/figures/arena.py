"""The arena: what each defence leaves of each attack under each server, in tables of cells.

A defence is only as good as its worst row, and a server as its worst cell: the attacker chooses. Cells with an x
are unsafe; those with a dash were not run. Look for columns without an x whose meta-testing accuracy is still high.
"""

import os
from typing import NamedTuple

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
from fedmeta.reporting.results import summarise, with_interval
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions, Name

ACROSS = True
SHADES = seaborn.light_palette("#c44e52", as_cmap=True)  # dark for a high lift, also in grey
DARK = 0.55  # share of the scale from which letters are white
ROW, TALL_ROW = 0.165, 0.32  # inches; a tall row has two lines
UNSAFE = "x\N{THIN SPACE}"
ROOMY = 10  # columns; where there are more, letters are smaller
MOST_IN_A_LINE = 7  # columns, so that both numbers of a cell have room


class Options(FigureOptions):
    columns: Name = Field("server", description="what the scenarios of a grid differ in: the columns' heading")


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw a table for each of `options.defences`: attacks as rows, servers as columns.

    If there is only one server, there is one table: defences as rows, attacks as columns.

    Rows and columns come from the names of scenarios: `ATTACK,server=NAME`, as `scenarios` and a `grid` give them. A
    cell has the lift left (see `fedmeta.reporting.judging.lifts`) and meta-testing accuracy, each with its 95%
    interval; an x marks what is unsafe, a dash what was not run. Files and errors are as in `over_rounds`.
    """
    names = some_defence(about.named(options.defences), options)
    rows = {name: select(metrics, about.dataset, name, options) for name in names}
    tables = tables_of(names, {name: place_of(name) for name in about.setups})
    every = pd.concat(rows.values())
    with style.context(["default", panels.STYLE, {"axes.grid": False}]):
        heights = [0.3 + (ROW if table.narrow else TALL_ROW) * len(table.rows) for table in tables]
        figure = Figure(figsize=(panels.WIDTH, sum(heights) + 1.15), layout="constrained")
        for table, axes in zip(tables, figure.subplots(len(tables), 1, squeeze=False)[:, 0], strict=True):
            _draw_table(axes, rows, table)
            axes.set_title(table.title, loc="left", fontweight="bold")
            # All tables have the same columns: their names are above the first one and below the last one.
            last = table is tables[-1]
            axes.tick_params("x", labeltop=table is tables[0] and not last, labelbottom=last)
        of_columns = f";  columns: {options.columns}" if tables[0].title else ""
        lines = [
            "each cell: lift that the attack keeps (points), meta-testing accuracy (%), ± 95% interval",
            "the lift is the larger of two: on keyed images of the attack's training, and on others",
            f"x: one of the two is above {100 * SAFE:.0f} points at the upper end of its interval{of_columns}",
            sample(every, summarise(every, ["scenario", "defence", "metric"]), "number", "±"),
        ]
        title = options.title or "attacks against servers and users"
        figure.suptitle(f"{display(about.dataset)}: {title}", fontsize=panels.STYLE["legend.title_fontsize"])
        panels.add_caption(figure, "\n".join(lines))
        panels.save(figure, path_stem)
    return figure


class Table(NamedTuple):
    """A table: its rows and columns by name, and in `cells`, by both, (defence, scenario)."""

    title: str
    rows: list[str]
    columns: list[str]
    cells: dict[tuple[str, str], tuple[str, str]]

    @property
    def narrow(self) -> bool:
        """Whether there are few columns, so that a cell has room for both numbers in one line."""
        return len(self.columns) <= MOST_IN_A_LINE


def tables_of(defences: list[str], places: dict[str, tuple[str, str]]) -> list[Table]:
    """Return the tables to draw; `places`: attack and server of each scenario."""
    attacks, servers = (list(dict.fromkeys(each)) for each in zip(*places.values(), strict=True))
    if len(servers) > 1:
        return [
            Table(name, attacks, servers, {place: (name, scenario) for scenario, place in places.items()})
            for name in defences
        ]
    cells = {(name, attack): (name, scenario) for name in defences for scenario, (attack, _) in places.items()}
    return [Table("", defences, attacks, cells)]


def place_of(scenario: str) -> tuple[str, str]:
    """Return the row and the column of a scenario: `boosted,method=krum` is (boosted, krum)."""
    attack, _, rest = scenario.partition(",")
    return attack.replace("_", " "), ", ".join(part.rpartition("=")[2] for part in rest.split(",")).replace("_", " ")


def _draw_table(axes: Axes, metrics: dict[str, pd.DataFrame], table: Table) -> None:
    """`metrics` by defence."""
    shown = {defence for defence, _ in table.cells.values()}
    judged = {name: (lifts(metrics[name]), accuracies(metrics[name])) for name in shown}
    shades = np.full((len(table.rows), len(table.columns)), np.nan)
    size = 6.2 if len(table.columns) <= ROOMY else 5.7
    for (row, column), (defence, scenario) in table.cells.items():
        place = table.rows.index(row), table.columns.index(column)
        left, accuracy = judged[defence]
        if scenario not in left.index:
            axes.text(place[1], place[0], "-", ha="center", va="center", fontsize=7)
            continue
        lift, meta = left.loc[scenario].to_dict(), accuracy.loc[scenario].to_dict()
        shades[place] = np.clip(lift["mean"], 0, 1)
        left_over = with_interval(lift["mean"], lift["half_width"], sign="+")
        numbers = (UNSAFE * lift["unsafe"] + left_over, with_interval(meta["mean"], meta["half_width"], 1))
        colour = "white" if shades[place] > DARK else "black"
        words = (" | " if table.narrow else "\n").join(numbers)
        axes.text(place[1], place[0], words, ha="center", va="center", fontsize=size, color=colour, linespacing=1)
    axes.imshow(shades, cmap=SHADES, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(table.columns)), labels=table.columns)
    if not table.narrow:
        axes.tick_params("x", labelrotation=40)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(table.rows)), labels=table.rows)
    axes.tick_params(length=0)
    for edge in range(1, len(table.rows)):
        axes.axhline(edge - 0.5, color="white", linewidth=1)
    for edge in range(1, len(table.columns)):
        axes.axvline(edge - 0.5, color="white", linewidth=1)
    axes.spines[:].set_visible(False)
