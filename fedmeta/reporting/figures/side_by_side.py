"""Defences side by side at the end of fine-tuning: such as one defence, whole and without each of its parts.

A good defence has attack accuracy at its tick, the floor, so a lift about zero, and high accuracy on the main task and
in meta-testing. A part that can be left out without a difference beyond the bars has not been shown to matter.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field

from fedmeta.errors import FedmetaError
from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import count, display, sample, share
from fedmeta.reporting.figures.rows import select, some_defence
from fedmeta.reporting.results import ATTACK_METRICS, lift, summarise
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions, Name

APART = 0.17  # half the distance of a variant's two metrics; variants are 1 apart
COLUMNS = ("attack accuracy (%)", "attack lift (points)", "main task, meta-testing (%)")
FLOOR = {"marker": "|", "markersize": 8, "markeredgewidth": 1.6, "linestyle": "none", "zorder": 1.9}


class Options(FigureOptions):
    labels: dict[Name, Name] = Field({}, description="what a defence is called in the figure, by its name")
    untrained: dict[Name, Name] = Field(
        {}, description="defences also shown before fine-tuning, and what they are called then"
    )

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        for name in self.untrained:
            if name in own.defences and 0 not in own.defences[name].iterations:
                yield "untrained", f"{name} is not measured before fine-tuning: add 0 to defences.{name}.iterations"


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw accuracies and lift under each of the defences; a row of panels for each case.

    Points are means over the episodes of all clients after the last iteration of fine-tuning (or before the first, of
    those that are `untrained`), bars their 95% intervals; ticks are the floor, the attack accuracy of the model before
    the attack after the same adaptation. Of matching networks, the caption tells how far gates and scales can have
    moved by then, at Adam's learning rate: as long as they have hardly moved, the defence without them hardly differs.
    Files and errors are as in `over_rounds`.
    """
    defences = some_defence(about.named(options.defences), options)
    rows = _variants(metrics, options, about.dataset, defences)
    names, cases = list(dict.fromkeys(rows.variant)), sorted(rows.case.unique())
    lifts = pd.concat([lift(own).assign(variant=label) for label, own in rows.groupby("variant")])
    summary = summarise(pd.concat([rows, lifts]), ["variant", "case", "model", "metric"])
    with style.context(["default", panels.STYLE, {"axes.grid.axis": "x"}]):
        figure, strips = panels.strips(cases, COLUMNS, [0.6 + 0.27 * len(names)] * len(cases))
        for case, (attack, lifted, benign) in zip(cases, strips, strict=True):
            own = summary[summary.case == case]
            _draw_points(attack, own, names, ATTACK_METRICS)
            _draw_points(lifted, own, names, ATTACK_METRICS, suffix="_lift")
            _draw_points(benign, own, names, ("main_task", "meta_testing"))
            for axes in (attack, benign):
                axes.axvline(100 / about.way, label=f"chance (1/{about.way})", **panels.CHANCE)
                axes.set_xlim(panels.with_margin(100))
            lifted.axvline(0, color="0.45", linewidth=0.8)
            _label_variants(names, attack, lifted, benign)
        _same_limits([lifted for _, lifted, _ in strips])
        title, caption = options.title or "defences side by side", sample(rows, summary, "point", "bar")
        if all(about.setup.method(name) == "matching" for name in defences):
            title += f", δ = {share(about.setup.option(defences[0], 'delta'))}"
            caption += f"\n{_moved(rows.step.max(), about.setup.settings.reptile.inner_learning_rate)}"
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def _moved(length: int, rate: float) -> str:
    return (
        f"after {count(length, 'iteration')}, in which Adam at rate {rate:g} moves a gate (from 1) "
        f"or a scale by about {length * rate:.2g} at most"
    )


def _variants(metrics: pd.DataFrame, options: Options, dataset: str, defences: Sequence[str]) -> pd.DataFrame:
    """Return the rows that the figure shows, with their label as a further column `variant`."""
    parts = []
    for label, name, trained in (
        *((options.labels.get(name, name), name, True) for name in defences),
        *((label, name, False) for name, label in options.untrained.items()),
    ):
        own = select(metrics, dataset, name, options)
        shown = own[own.step == (own.step.max() if trained else 0)]
        if shown.empty:
            raise FedmetaError(f"the metrics of {dataset} have no iteration 0 of '{name}': add it to its iterations")
        parts.append(shown.assign(variant=label))
    return pd.concat(parts, ignore_index=True)


def _draw_points(
    axes: Axes, summary: pd.DataFrame, names: Sequence[str], metrics: Sequence[str], suffix: str = ""
) -> None:
    """Draw two metrics of every variant, with intervals, and the floor where the panel has attack accuracies."""
    lines = {(line.model, line.metric): line for line in panels.LINES}
    for metric, offset in zip(metrics, (-APART, APART), strict=True):
        for model in ("attacked", "clean"):
            points = summary[(summary.model == model) & (summary.metric == metric + suffix)].set_index("variant")
            line = lines.get((model, metric))
            if points.empty or line is None:
                continue
            points = points.reindex(list(names))
            heights = np.arange(len(names)) + offset
            mean, half = 100 * points["mean"], 100 * points.half_width
            if model == "clean":
                axes.plot(mean, heights, label=line.label, color=line.look["color"], **FLOOR)
                continue
            low, high = (0, 100) if not suffix else (-100, 100)
            bars = [mean - np.clip(mean - half, low, high), np.clip(mean + half, low, high) - mean]
            look = {**line.look, "linestyle": "none", "markersize": 4.2}
            axes.errorbar(mean, heights, xerr=bars, label=line.label, elinewidth=1.3, **look)


def _label_variants(names: Sequence[str], *row: Axes) -> None:
    """Name the variants on the left of a row of panels, the first on top."""
    for axes in row:
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_yticks(range(len(names)), labels=names if axes is row[0] else [])
        axes.tick_params(axis="y", length=0)
        for place in range(1, len(names), 2):
            axes.axhspan(place - 0.5, place + 0.5, color="0.97", zorder=0)


def _same_limits(lifted: Sequence[Axes]) -> None:
    """Give the panels of lift the same limits, with -20 to 20 points always in view."""
    limits = [axes.get_xlim() for axes in lifted]
    shared = min(-25, *(low for low, _ in limits)), max(25, *(high for _, high in limits))
    for axes in lifted:
        axes.set_xlim(shared)
