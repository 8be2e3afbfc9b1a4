"""Accuracy over the iterations by which a client adapts the model (Experiments 2 and 3, Figures 5 to 8 and A1 to A11).

A defence removes the attack where attack accuracy falls to its dashed line, the same model before the attack under the
same defence: the lift above the panels is then about zero. Its price is what meta-testing loses. Where a thin line
shows a fresh network under the same defence, a defence that is not above it removes the attack by removing the model.
"""

import os

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from fedmeta.reporting.figures import captions, columns, panels
from fedmeta.reporting.figures.rows import select, some_defence
from fedmeta.reporting.results import SUMMARY_KEY, summarise, summary_table
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions


class Options(FigureOptions):
    pass


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw accuracy over the iterations of one defence, or of several side by side.

    Of one defence, there is a row for each case and a column for each client; with a single client, one row with a
    panel for each case. Of several, there is a row for each case and a column for each defence; clients are pooled.
    Lines, bands, files and errors are as in `over_rounds`; the floor is the model before the attack after the same
    iterations. The axis of iterations is logarithmic (and linear from 0 to 1): a defence acts within its first tens
    of iterations, which the paper's linear axis to 500 presses into the margin. Of one defence, each panel also has
    meta-testing accuracy of the control, such as a fresh network under the same defence.
    """
    defences = some_defence(about.named(options.defences), options)
    if len(defences) > 1:
        title = options.title or f"benign fine-tuning after {captions.attack(about.setup)}"
        return columns.draw_columns(
            metrics, options, about, path_stem, dict(zip(defences, defences, strict=True)), title
        )
    (defence,) = defences
    rows = select(metrics, about.dataset, defence, options)
    summary, seeds = summary_table(rows), summary_table(rows, [*SUMMARY_KEY, "seed"])
    control = _control(metrics, options, about.dataset)
    cases, clients = sorted(rows.case.unique()), sorted(rows.client.unique())
    with style.context(["default", panels.STYLE]):
        if len(clients) > 1:
            figure, all_axes = panels.panels_in_rows(cases, [f"client {client}" for client in clients], "iteration")
        else:
            figure, all_axes = panels.panels_in_a_row(cases, "iteration")
        places = [(case, client) for case in cases for client in clients]
        for (case, client), axes in zip(places, all_axes, strict=True):
            own, of_seeds, fresh = (
                table[(table.case == case) & (table.client == client)] for table in (summary, seeds, control)
            )
            panels.draw_panel(axes, own, of_seeds, about.way)
            panels.draw_control(axes, fresh, _control_label(options, about))
            panels.set_iterations(axes, rows.step.max())
        title = options.title or captions.defence_title(about.setup, defence)
        caption = _caption(rows, summary, control, options, about, defence)
        panels.finish(figure, f"{captions.display(about.dataset)}: {title}", caption, path_stem)
    return figure


def _control(metrics: pd.DataFrame, options: Options, dataset: str) -> pd.DataFrame:
    """Return mean meta-testing accuracy of the control, a row for each case, client and step; empty without one."""
    own = (metrics.dataset == dataset) & (metrics.defence == (options.control or "none"))
    return summarise(metrics[own & (metrics.model == "attacked") & (metrics.metric == "meta_testing")])


def _control_label(options: Options, about: About) -> str:
    return panels.FRESH if _is_fresh(options, about) else f"meta-testing, {options.control}"


def _is_fresh(options: Options, about: About) -> bool:
    """Return whether the control has nothing of the federation's model."""
    control = options.control
    if control is None or control not in about.setup.defences:
        return False
    delta = about.setup.option(control, "delta")
    return not any(delta) if isinstance(delta, tuple) else delta == 0


def _caption(rows, summary, control, options: Options, about: About, defence: str) -> str:
    lines = [captions.sample_of_lines(rows, summary), captions.LIFT]
    if len(control) and _is_fresh(options, about):
        lines.append(captions.CONTROL)
    # The matching network labels by support images: no accuracy of it goes through the model's last layer.
    if about.setup.method(defence) != "matching":
        lines.append(captions.ORDERS[about.setup.target_output(defence)])
    return "\n".join(lines)
