"""The undefended attack, with the victim's target class where the attacker expects it and where the victim puts it."""

import itertools
import os
from collections.abc import Mapping

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from fedmeta.reporting import panels
from fedmeta.reporting.captions import display, sample
from fedmeta.reporting.contents import Content
from fedmeta.reporting.figures import LIFT, select
from fedmeta.reporting.results import SUMMARY_KEY, summary_table

TITLES = {"last": "target at the last output", "random": "classes in random order"}
TRAINED = {
    "last": "The attacker trained with the target at the last output: on the left it knows the victim's order.",
    "random": "The attacker trained with its classes in random order, too.",
}


def draw_over_orders(
    frame: pd.DataFrame,
    dataset: str,
    defences: Mapping[str, str],
    trained: str,
    path_stem: str | os.PathLike,
    *,
    way: int,
) -> Figure:
    """Draw accuracy over supervised fine-tuning for both orders of the victim's classes, a row for each case.

    `defences` names the rows of each order ("last", "random") in the column `defence`; `trained` is the order in which
    the attacker trained (`attack.target_output`). Lines, bands, files and errors are as in
    `fedmeta.reporting.figures.figure_fine_tuning`; clients are pooled.
    """
    rows = {order: select(frame, dataset, Content("fine_tuning", defence)) for order, defence in defences.items()}
    by = [column for column in SUMMARY_KEY if column != "client"]
    summaries = {order: summary_table(own, by) for order, own in rows.items()}
    every = pd.concat(rows.values())
    cases = sorted(every.case.unique())
    with style.context(["default", panels.STYLE]):
        figure, all_axes = panels.panels_in_rows(cases, [TITLES[order] for order in defences], "iteration")
        for (case, order), axes in zip(itertools.product(cases, defences), all_axes, strict=True):
            panels.draw_panel(axes, summaries[order][summaries[order].case == case], way)
            panels.set_iterations(axes, every.step.max())
        title = f"{display(dataset)}: does the attack depend on the order of the victim's classes?"
        subtitle = sample(every, pd.concat(summaries.values()))
        panels.finish(figure, title, f"{TRAINED[trained]}\n{subtitle}\n{LIFT}", path_stem)
    return figure
