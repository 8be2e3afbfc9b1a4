"""Accuracy over delta, the share of the shared model in the Glorot mix: where the usable window of the defence lies.

A delta is usable where both rows are shaded: accuracy is nearly that of the whole shared model, and hardly any lift is
left. If no delta is, removing the attack costs accuracy. At delta 0, the model has nothing of the federation: its
accuracy is what a client reaches alone.
"""

import os
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fedmeta.errors import FedmetaError
from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import display, sample_of_lines
from fedmeta.reporting.figures.rows import POOLED, select, some_defence
from fedmeta.reporting.results import ATTACK_METRICS, summary_table
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions

MODELS = True
PAPER_DELTA = 0.3

TITLES = {"shared": "kernels as in the shared model", "fresh": "kernels at the norm of a fresh draw"}
# A usable delta leaves little of the attack, and meta-testing nearly as it is without a mix.
MOST_LIFT = 0.05
LEAST_META_TESTING = 0.95
ROUNDING = 1e-9
RULE = (
    f"shaded above: meta-testing ≥ {100 * LEAST_META_TESTING:.0f}% of that at δ = 1; "
    f"below: both lifts ≤ {100 * MOST_LIFT:.0f} points; usable δ: both (means)"
)
SHADE = {"color": "#e69f00", "alpha": 0.22, "linewidth": 0, "zorder": 0.5}
LIMIT = {"color": "#e69f00", "linewidth": 0.9, "linestyle": (0, (3, 2)), "zorder": 1.5}
OVERHANG = 0.012  # of a shade beyond its outermost deltas, so that a single one is visible
HEIGHTS = (1.9, 1.2)  # inches, of accuracy and of lift


class Options(FigureOptions):
    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        for name in self.defences:
            for point in (each for each in own.defences if each == name or each.startswith(f"{name},")):
                if not isinstance(getattr(own.defences[point], "delta", None), int | float):
                    yield "defences", f"{point} has no single delta: show it in a figure of another kind"


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw accuracy and attack lift after the last iteration of the matching network's fine-tuning over delta.

    There are two rows for each case, accuracy and lift, and a column for each kind of Glorot mix (the option `norms` of
    the defences, which differ in it and in `delta`). The caption gives the range of `about.kernel_norms`. The deltas
    of `windows` are shaded. Lines, bands, floor, files and errors are as in `over_rounds`.
    """
    defences = some_defence(about.named(options.defences), options)
    norms = {name: about.setup.option(name, "norms") for name in defences}
    deltas = {name: about.setup.option(name, "delta") for name in defences}
    if wrong := [name for name in defences if norms[name] not in TITLES or not isinstance(deltas[name], int | float)]:
        raise FedmetaError(
            f"figures of the kind over_delta need Glorot mixes with a single delta: leave out '{wrong[0]}'"
        )
    rows = pd.concat([select(metrics, about.dataset, name, options).assign(norms=norms[name]) for name in defences])
    rows, cases = rows[rows.step == rows.step.max()], sorted(rows.case.unique())
    by = [column for column in POOLED if column not in ("defence", "step")]
    summaries, seeds = (
        {norm: summary_table(own, key).rename(columns={"delta": "step"}) for norm, own in rows.groupby("norms")}
        for key in (by, [*by, "seed"])
    )
    columns = [norm for norm in TITLES if norm in norms.values()]
    with style.context(["default", panels.STYLE]):
        titles = [TITLES[norm] for norm in columns]
        figure, all_axes = panels.strips(cases, titles, [0.35 + sum(HEIGHTS)] * len(cases), HEIGHTS)
        for place, case in enumerate(cases):
            for column, norm in enumerate(columns):
                points, of_seeds = (tables[norm][tables[norm].case == case] for tables in (summaries, seeds))
                accuracy, lifted = all_axes[2 * place : 2 * place + 2, column]
                draw_column(accuracy, lifted, points, of_seeds, about.way)
        label_outer(all_axes)
        title = options.title or "the matching-network defence over the share δ of the shared model"
        assert about.kernel_norms is not None, "MODELS asks for them"
        low, high = about.kernel_norms.ratio.min(), about.kernel_norms.ratio.max()
        ratio = f"norms of the shared model's kernels: {low:.2f} to {high:.2f} times those of a fresh draw"
        caption = f"{sample_of_lines(rows, pd.concat(summaries.values()))}\n{ratio}\n{RULE}"
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem)
    return figure


def windows(points: pd.DataFrame) -> list[list[list[float]]] | None:
    """Return the deltas that keep meta-testing, those that remove the attack, and the usable ones, which do both.

    Each is a list of runs of adjacent evaluated deltas; None if delta 1 was not evaluated. `points` are means of one
    case and mix, with delta as `step`. By the rule in the caption, which uses only means, a delta keeps meta-testing if
    its accuracy is at least 95% of that at delta 1, which is the matching network on the shared model as it is, and
    removes the attack if the lift of both attack accuracies is at most 5 points.
    """
    means = points[points.model == "attacked"].pivot(index="step", columns="metric", values="mean")
    if means.empty or means.index[-1] != 1:
        return None
    kept = means.meta_testing >= LEAST_META_TESTING * means.meta_testing.iloc[-1] - ROUNDING
    removed = (means[[f"{metric}_lift" for metric in ATTACK_METRICS]] <= MOST_LIFT + ROUNDING).all(axis=1)
    return [
        [list(deltas) for good, deltas in groupby(means.index, holds.get) if good]
        for holds in (kept, removed, kept & removed)
    ]


def draw_column(accuracy: Axes, lifted: Axes, points: pd.DataFrame, seeds: pd.DataFrame, way: int) -> None:
    """Draw accuracy above and lift below, of one case and mix, each shaded where it is good."""
    kept, removed, usable = windows(points) or (None, None, None)
    for axes, good in ((accuracy, kept), (lifted, removed)):
        axes.axvline(PAPER_DELTA, label=f"the paper's δ = {PAPER_DELTA:g}", **panels.ATTACK)
        for window in good or []:
            axes.axvspan(window[0] - OVERHANG, window[-1] + OVERHANG, **SHADE)
        axes.set_xlim(panels.with_margin(1))
    panels.draw_panel(accuracy, points, seeds, way)
    accuracy.set_title("", loc="right")  # the lift at the last step, which here is delta 1
    lifted.set_title(usable_in_words(usable), loc="right", fontsize=8, color="0.3", pad=3)
    accuracy.tick_params(labelbottom=False)
    lifted.axhline(0, color="0.45", linewidth=0.8)
    lifted.axhline(100 * MOST_LIFT, **LIMIT)
    for line in panels.LINES:
        own, of_seeds = (table[table.metric == f"{line.metric}_lift"].sort_values("step") for table in (points, seeds))
        if line.model == "attacked" and line.metric in ATTACK_METRICS:
            lifted.plot(
                own.step, 100 * own["mean"], label=line.label, zorder=2.2 - 0.01 * line.look["linewidth"], **line.look
            )
            panels.draw_spread(lifted, own, of_seeds, line.look["color"], -100)


def usable_in_words(usable: list[list[float]] | None) -> str:
    """Return which deltas are usable."""
    if usable is None:
        return "usable δ: unknown without δ = 1"
    spans = [" to ".join(f"{delta:g}" for delta in dict.fromkeys((run[0], run[-1]))) for run in usable]
    return f"usable δ: {', '.join(spans) or 'none'}"


def label_outer(all_axes: np.ndarray) -> None:
    """Label the outer panels and give those of lift the same limits, with -20 to 20 points always in view."""
    low, high = np.array([axes.get_ylim() for axes in all_axes[1::2].flat]).T
    for row, axes in np.ndenumerate(all_axes):
        axes.tick_params(labelleft=row[1] == 0)
        if row[0] % 2:
            axes.set_ylim(min(-22, low.min()), max(22, high.max()))
            axes.yaxis.set_major_locator(MaxNLocator(5))
    for axes, label in zip(all_axes[:, 0], ["accuracy (%)", "lift (points)"] * (len(all_axes) // 2), strict=True):
        axes.set_ylabel(label)
    for axes in all_axes[1:-1:2].flat:
        axes.tick_params(labelbottom=False)
    for axes in all_axes[-1]:
        axes.set_xlabel("δ")
