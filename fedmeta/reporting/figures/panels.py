"""What the paper's figures have in common: their look, their panels, and files whose bytes are always the same."""

import math
import os
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import seaborn
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedmeta.files import atomic_path
from fedmeta.reporting.results import with_interval
from fedmeta.reporting.seeds import are_few

CASES = {
    "a": "(a) backdoor classes not used by benign users",
    "b": "(b) backdoor classes used in benign meta-training",
    "c": "(c) backdoor classes also used in benign fine-tuning",
}


class Line(NamedTuple):
    """Which accuracy a line shows, and how."""

    model: str
    metric: str
    label: str
    look: dict


def _solid(color: str, width: float, marker: str, size: float) -> dict:
    return {"color": color, "linewidth": width, "marker": marker, "markersize": size, "markeredgewidth": 0.4}


# The colours are the paper's, the floors lighter. Accuracies often coincide, above all at 100%: of lines that do, each
# is narrower than the one beneath it, with smaller markers, and the dashes of one floor lie in the gaps of the other.
# Markers and dashes repeat what colours say, for those who see them alike.
LINES = (
    Line("attacked", "main_task", "main task", _solid("#ac76cc", 4.0, "D", 5.4)),
    Line("attacked", "meta_testing", "meta-testing", _solid("#000000", 1.6, "o", 3.6)),
    Line("attacked", "attack_training", "attack training", _solid("#0b62a8", 2.8, "^", 5.6)),
    Line("attacked", "attack_validation", "attack validation", _solid("#168a4a", 0.8, "s", 2.6)),
    Line("clean", "attack_training", "training, before attack", {"color": "#5ea5dc", "linestyle": (0, (4, 2.5))}),
    Line("clean", "attack_validation", "validation, before attack", {"color": "#5cbd84", "linestyle": (2.5, (2.5, 4))}),
)
CHANCE = {"color": "0.45", "linestyle": (0, (1, 1.5)), "linewidth": 1.0}
CONTROL = {"color": "#d0455f", "linewidth": 0.9, "linestyle": (0, (5, 2.5, 1, 2.5))}
FRESH = "meta-testing, fresh network"
ATTACK = {"color": "0.65", "linewidth": 0.8}
MARKERS_ON_A_LINE = 10

# Letters of 8 to 9 points at WIDTH remain readable where the page is 5.5 inches wide.
STYLE = {
    **seaborn.axes_style("ticks"),
    **seaborn.plotting_context("paper", font_scale=0.94),
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "0.92",
    # Equal figures are equal files: one font, that which matplotlib brings, and no random salt in the names of an SVG.
    "font.sans-serif": ["DejaVu Sans"],
    "svg.hashsalt": "fedmeta",
}
WIDTH = 7.0
CAPTION = 7.5  # points
RESOLUTION = 200


def panels_in_a_row(cases: list[str], steps: str, letters: int = 90) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel for each case side by side, and the panels; `steps` names the x axis.

    `letters` is how many a line of all titles has room for.
    """
    figure = Figure(figsize=(WIDTH, 3.4), layout="constrained")
    panels = figure.subplots(1, len(cases), squeeze=False)
    for case, axes in zip(cases, panels[0], strict=True):
        # The line below is that of the lift.
        axes.set_title(textwrap.fill(CASES[case], letters // len(cases)) + "\n", loc="left")
    return figure, _label_outer(panels, steps)


def panels_in_rows(cases: Sequence[str], columns: Sequence[str], steps: str) -> tuple[Figure, list[Axes]]:
    """Return a figure with a row for each case, of a panel for each column's title, and the panels row by row."""
    height = 1.8 if len(cases) > 1 else 2.4
    figure, panels = strips(cases, columns, [*[height] * (len(cases) - 1), height + 0.35])
    return figure, _label_outer(panels, steps)


def strips(
    cases: Sequence[str], columns: Sequence[str], heights: list[float], rows: Sequence[float] = (1,)
) -> tuple[Figure, np.ndarray]:
    """Return a figure with a titled strip for each case, `heights` in inches, and its panels, (case x row, column).

    `rows` are the rows of panels in a strip, by their shares of its height; columns are titled above the first.
    """
    figure = Figure(figsize=(WIDTH, 0.8 + sum(heights)), layout="constrained")
    strips = figure.subfigures(len(cases), 1, squeeze=False, height_ratios=heights)[:, 0]
    size = (len(rows), len(columns))
    panels = np.concatenate([strip.subplots(*size, squeeze=False, height_ratios=rows) for strip in strips])
    for case, strip in zip(cases, strips, strict=True):
        strip.suptitle(CASES[case], x=0.01, ha="left", fontsize=STYLE["axes.titlesize"], fontweight="bold")
    for title, axes in zip([*columns] * len(cases), panels[:: len(rows)].flat, strict=True):
        axes.set_title(title, loc="left")
    return figure, panels


def _label_outer(panels: np.ndarray, steps: str) -> list[Axes]:
    """Label the accuracy on the left column and the steps on the bottom row alone; return the panels row by row."""
    for axes in panels[:, 0]:
        axes.set_ylabel("accuracy (%)")
    for axes in panels[-1]:
        axes.set_xlabel(steps)
    for axes in panels[:, 1:].flat:
        axes.tick_params(labelleft=False)
    for axes in panels[:-1].flat:
        axes.tick_params(labelbottom=False)
    return list(panels.flat)


def draw_panel(axes: Axes, summary: pd.DataFrame, seeds: pd.DataFrame, way: int) -> None:
    """Draw lines, bands and chance level.

    `summary` has one row for each model, metric and step of the panel; `seeds` has one for each seed of it, too.
    """
    axes.axhline(100 / way, label=f"chance (1/{way})", **CHANCE)
    for order, line in enumerate(LINES):
        points, of_seeds = (
            own[(own.model == line.model) & (own.metric == line.metric)].sort_values("step") for own in (summary, seeds)
        )
        if points.empty:
            continue
        steps, mean = points.step.to_numpy(), 100 * points["mean"].to_numpy()
        # Lines that coincide show their markers by turns.
        every = math.ceil(len(steps) / MARKERS_ON_A_LINE)
        # The floor lies under what is measured against it, a wide line under a narrow one.
        above = 0.2 - 0.01 * line.look["linewidth"] if line.model == "attacked" else 0.0
        axes.plot(steps, mean, label=line.label, markevery=(order % every, every), zorder=2 + above, **line.look)
        if line.model == "attacked":
            draw_spread(axes, points, of_seeds, line.look["color"], 0)
    axes.set_title(lift_in_words(summary), loc="right", fontsize=8, color="0.3")
    if summary.empty:
        axes.text(0.5, 0.5, "not evaluated", transform=axes.transAxes, ha="center", va="center", color="0.4")
    axes.set_ylim(with_margin(100))
    axes.set_yticks(range(0, 101, 20))


def draw_spread(axes: Axes, points: pd.DataFrame, seeds: pd.DataFrame, color: str, lowest: float) -> None:
    """Draw what lies behind the means `points`: their intervals as a band and, of a few `seeds`, a thin line for each.

    Over so few seeds an interval is wide even where they agree. The band is cut off at `lowest` and 100.
    """
    mean, half = 100 * points["mean"], 100 * points.half_width
    band = np.clip([mean - half, mean + half], lowest, 100)
    axes.fill_between(points.step, *band, color=color, alpha=0.15, linewidth=0, zorder=1.9)
    if are_few(seeds.seed):
        for _, own in seeds.groupby("seed"):
            axes.plot(own.step, 100 * own["mean"], color=color, linewidth=0.5, alpha=0.7, zorder=1.95)


def draw_control(axes: Axes, summary: pd.DataFrame, label: str = FRESH) -> None:
    """Draw what the control, such as a fresh network, reaches; `summary` has one row for each step, or none."""
    if len(summary):
        points = summary.sort_values("step")
        # On top: where it coincides with meta-testing, that wider line shows in its gaps.
        axes.plot(points.step, 100 * points["mean"], label=label, zorder=2.3, **CONTROL)


def lift_in_words(summary: pd.DataFrame) -> str:
    """Return the lift of attack training / validation at the last step in points, with its interval."""
    words = []
    for metric in ("attack_training_lift", "attack_validation_lift"):
        for row in summary[summary.metric == metric].sort_values("step").tail(1).to_dict("records"):
            words.append(with_interval(row["mean"], row["half_width"], sign="+"))
    return f"lift {' / '.join(words)}" if words else ""


def set_rounds(axes: Axes, last: int) -> None:
    """Give the axis a linear scale from 0 to the last round."""
    axes.set_xlim(with_margin(last))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def set_iterations(axes: Axes, last: int) -> None:
    """Give the axis a logarithmic scale that begins at 0, with ticks at powers of ten and at the last iteration."""
    axes.set_xscale("symlog", linthresh=1, linscale=0.6)
    ticks = sorted({0, last, *(power for power in (1, 10, 100, 1000) if 3 * power <= last)})
    axes.set_xticks(ticks, labels=[str(tick) for tick in ticks])
    axes.set_xticks([], minor=True)
    # To the right, room for half of the last label: it would push the bottom row's panels out of line.
    axes.set_xlim(-0.15, 1.8 * max(last, 1))


def with_margin(last: float) -> tuple[float, float]:
    """Return limits within which lines and markers at 0 and at `last` are seen whole."""
    margin = 0.035 * max(last, 1)
    return -margin, last + margin


def finish(figure: Figure, title: str, caption: str, path_stem: str | os.PathLike, columns: int = 4) -> None:
    """Add the title and a legend of so many columns above the panels, the caption below; write PNG and SVG."""
    entries = {}
    for axes in figure.axes:
        entries |= {label: artist for artist, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    order = [line.label for line in LINES]
    labels = sorted(entries, key=lambda label: order.index(label) if label in order else len(order))
    # As the legend's own title, the title takes part in the layout: a figure's title and legend would overlap.
    legend = figure.legend(
        [entries[label] for label in labels],
        labels,
        title=title,
        loc="outside upper center",
        ncols=columns,
        frameon=False,
        columnspacing=1.2,
        handlelength=2.4,
    )
    legend.get_title().set_multialignment("center")
    add_caption(figure, caption)
    save(figure, path_stem)


def add_caption(figure: Figure, caption: str) -> None:
    """Write the caption below the panels, in small type."""
    figure.supxlabel(caption, x=0.01, ha="left", fontsize=CAPTION, color="0.25", linespacing=1.3)


def save(figure: Figure, path_stem: str | os.PathLike) -> None:
    """Write `{path_stem}.png` and `{path_stem}.svg` atomically.

    The files hold no date and no version of a program, so that equal figures are equal files.
    """
    for suffix, metadata in ((".png", {"Software": None}), (".svg", {"Date": None, "Creator": None})):
        with atomic_path(f"{path_stem}{suffix}") as temporary, rc_context({"svg.hashsalt": STYLE["svg.hashsalt"]}):
            figure.savefig(temporary, dpi=RESOLUTION, metadata=metadata)
