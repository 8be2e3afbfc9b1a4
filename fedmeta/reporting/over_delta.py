"""Accuracy over delta, the share of the shared model in the Glorot mix: where the usable window of the defence lies."""

import os
from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from fedmeta.errors import FedmetaError
from fedmeta.reporting import panels
from fedmeta.reporting.captions import display, sample
from fedmeta.reporting.contents import PAPER_DELTA
from fedmeta.reporting.results import SUMMARY_KEY, summarise

TITLES = {"shared": "kernels as in the shared model", "fresh": "kernels at the norm of a fresh draw"}


def draw_over_delta(
    frame: pd.DataFrame,
    kernel_norms: pd.DataFrame,
    dataset: str,
    defences: Mapping[str, str],
    cases: Sequence[str],
    path_stem: str | os.PathLike,
    *,
    way: int,
) -> Figure:
    """Draw accuracy after the last iteration of the matching network's fine-tuning over delta.

    There is a row for each case and a column for each kind of Glorot mix: `defences` names the variant of the metrics
    for each of `contents.NORMS`. `kernel_norms` has the column `ratio` and says what the caption says of it. Lines,
    bands, floor, files and errors are as in `figures.figure_meta_training`.
    """
    rows = frame[(frame.dataset == dataset) & (frame.experiment == "matching") & frame.case.isin(cases)]
    rows = rows[rows.defence.isin(list(defences.values())) & (rows.step == rows.step.max())]
    by = [column for column in SUMMARY_KEY if column not in ("client", "step")]
    summary = summarise(rows, by).rename(columns={"delta": "step"})
    with style.context(["default", panels.STYLE]):
        figure, all_axes = panels.panels_in_rows(list(cases), [TITLES[norms] for norms in defences], "δ")
        shown = [(case, defence) for case in cases for defence in defences.values()]
        for (case, defence), axes in zip(shown, all_axes, strict=True):
            points = summary[(summary.case == case) & (summary.defence == defence)]
            if points.empty:
                raise FedmetaError(f"the metrics of {dataset} have no case {case} of '{defence}': evaluate it")
            axes.axvline(PAPER_DELTA, label=f"the paper's δ = {PAPER_DELTA:g}", **panels.ATTACK)
            panels.draw_panel(axes, points, way)
            axes.set_xlim(panels.with_margin(1))
        title = f"{display(dataset)}: the matching-network defence over the share δ of the shared model"
        low, high = kernel_norms.ratio.min(), kernel_norms.ratio.max()
        ratio = f"norms of the shared model's kernels: {low:.2f} to {high:.2f} times those of a fresh draw"
        panels.finish(figure, title, f"{sample(rows, summary)}\n{ratio}", path_stem)
    return figure
