"""Accuracy over iterations, a row of panels for each case and a column for each defence."""

import os
from collections.abc import Mapping

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from fedmeta.reporting.figures import captions, panels
from fedmeta.reporting.figures.rows import POOLED, select
from fedmeta.reporting.results import summary_table
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions


def draw_columns(
    metrics: pd.DataFrame,
    options: FigureOptions,
    about: About,
    path_stem: str | os.PathLike,
    titles: Mapping[str, str],
    title: str,
    first_line: str = "",
) -> Figure:
    """Draw a column for each defence of `titles`, with that title; clients are pooled.

    `first_line` goes before the rest of the caption. Lines, bands, files and errors are as in `over_rounds`.
    """
    rows = {defence: select(metrics, about.dataset, defence, options) for defence in titles}
    summaries = {defence: summary_table(own, POOLED) for defence, own in rows.items()}
    seeds = {defence: summary_table(own, [*POOLED, "seed"]) for defence, own in rows.items()}
    every = pd.concat(rows.values())
    cases = sorted(every.case.unique())
    with style.context(["default", panels.STYLE]):
        figure, all_axes = panels.panels_in_rows(cases, list(titles.values()), "iteration")
        places = [(case, defence) for case in cases for defence in titles]
        for (case, defence), axes in zip(places, all_axes, strict=True):
            own, of_seeds = (tables[defence][tables[defence].case == case] for tables in (summaries, seeds))
            panels.draw_panel(axes, own, of_seeds, about.way)
            panels.set_iterations(axes, every.step.max())
        lines = [first_line] if first_line else []
        lines += [captions.sample_of_lines(every, pd.concat(summaries.values())), captions.LIFT]
        panels.finish(figure, f"{captions.display(about.dataset)}: {title}", "\n".join(lines), path_stem)
    return figure
