"""The ablation of the defence that the paper mentions and does not show (Sec. 4, Experiment 3)."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fedmeta.errors import FedmetaError
from fedmeta.reporting import panels
from fedmeta.reporting.captions import count, display, sample
from fedmeta.reporting.contents import ABLATIONS, PAPER_DELTA
from fedmeta.reporting.figures import select
from fedmeta.reporting.results import ATTACK_METRICS, lift, summarise

LABELS = [ablation.label for ablation in ABLATIONS]
APART = 0.17  # half the distance of a variant's two metrics; variants are 1 apart
COLUMNS = ("attack accuracy (%)", "attack lift (points)", "main task, meta-testing (%)")
FLOOR = {"marker": "|", "markersize": 8, "markeredgewidth": 1.6, "linestyle": "none", "zorder": 1.9}


def draw_ablation(
    frame: pd.DataFrame,
    dataset: str,
    cases: Sequence[str],
    path_stem: str | os.PathLike,
    *,
    way: int,
    learning_rate: float,
) -> Figure:
    """Draw accuracies and lift under the defence, whole and without each of its parts; a row of panels for each case.

    Points are means over the episodes of all clients after the last iteration of fine-tuning (or before the first,
    see `contents.ABLATIONS`), bars their 95% intervals; ticks are the floor, the attack accuracy of the model before
    the attack after the same adaptation. The caption tells how far gates and scales can have moved by then, at Adam's
    `learning_rate`: as long as they have hardly moved, the defence without them hardly differs. Files and errors are as
    in `figures.figure_meta_training`.
    """
    rows = variants(frame, dataset, cases)
    lifts = pd.concat([lift(own).assign(variant=label) for label, own in rows.groupby("variant")])
    summary = summarise(pd.concat([rows, lifts]), ["variant", "case", "model", "metric"])
    with style.context(["default", panels.STYLE, {"axes.grid.axis": "x"}]):
        figure, strips = panels.strips(cases, COLUMNS, [0.6 + 0.27 * len(ABLATIONS)] * len(cases))
        for case, (attack, lifted, benign) in zip(cases, strips, strict=True):
            own = summary[summary.case == case]
            draw_points(attack, own, ATTACK_METRICS)
            draw_points(lifted, own, ATTACK_METRICS, suffix="_lift")
            draw_points(benign, own, ("main_task", "meta_testing"))
            for axes in (attack, benign):
                axes.axvline(100 / way, label=f"chance (1/{way})", **panels.CHANCE)
                axes.set_xlim(panels.with_margin(100))
            lifted.axvline(0, color="0.45", linewidth=0.8)
            label_variants(attack, lifted, benign)
        align([lifted for _, lifted, _ in strips])
        title = f"{display(dataset)}: the matching-network defence without each of its parts, δ = {PAPER_DELTA:g}"
        length = rows.step.max()
        moved = (
            f"after {count(length, 'iteration')}, in which Adam at rate {learning_rate:g} moves a gate (from 1) "
            f"or a scale by about {length * learning_rate:.2g} at most"
        )
        panels.finish(figure, title, f"{sample(rows, summary, 'point', 'bar')}\n{moved}", path_stem)
    return figure


def variants(frame: pd.DataFrame, dataset: str, cases: Sequence[str]) -> pd.DataFrame:
    """Return the rows that the figure shows, with their label in `contents.ABLATIONS` as a further column `variant`."""
    parts = []
    for label, content, trained in ABLATIONS:
        own = select(frame, dataset, content)
        shown = own[own.case.isin(cases) & (own.step == (own.step.max() if trained else 0))]
        if missing := sorted(set(cases) - set(shown.case)):
            at = "" if trained else " at iteration 0"
            raise FedmetaError(f"the metrics of {dataset} have no case {missing[0]} for '{label}'{at}: evaluate it")
        parts.append(shown.assign(variant=label))
    return pd.concat(parts, ignore_index=True)


def draw_points(axes: Axes, summary: pd.DataFrame, metrics: Sequence[str], suffix: str = "") -> None:
    """Draw two metrics of every variant, with intervals, and the floor where the panel has attack accuracies."""
    lines = {(line.model, line.metric): line for line in panels.LINES}
    for metric, offset in zip(metrics, (-APART, APART), strict=True):
        for model in ("attacked", "clean"):
            points = summary[(summary.model == model) & (summary.metric == metric + suffix)].set_index("variant")
            line = lines.get((model, metric))
            if points.empty or line is None:
                continue
            points = points.reindex(LABELS)
            heights = np.arange(len(LABELS)) + offset
            mean, half = 100 * points["mean"], 100 * points.half_width
            if model == "clean":
                axes.plot(mean, heights, label=line.label, color=line.look["color"], **FLOOR)
                continue
            low, high = (0, 100) if not suffix else (-100, 100)
            bars = [mean - np.clip(mean - half, low, high), np.clip(mean + half, low, high) - mean]
            look = {**line.look, "linestyle": "none", "markersize": 4.2}
            axes.errorbar(mean, heights, xerr=bars, label=line.label, elinewidth=1.3, **look)


def label_variants(*row: Axes) -> None:
    """Name the variants on the left of a row of panels, the full defence on top."""
    for axes in row:
        axes.set_ylim(len(LABELS) - 0.5, -0.5)
        axes.set_yticks(range(len(LABELS)), labels=LABELS if axes is row[0] else [])
        axes.tick_params(axis="y", length=0)
        for place in range(1, len(LABELS), 2):
            axes.axhspan(place - 0.5, place + 0.5, color="0.97", zorder=0)


def align(lifted: Sequence[Axes]) -> None:
    """Give the panels of lift the same limits, with -20 to 20 points always in view."""
    limits = [axes.get_xlim() for axes in lifted]
    shared = min(-25, *(low for low, _ in limits)), max(25, *(high for _, high in limits))
    for axes in lifted:
        axes.set_xlim(shared)
