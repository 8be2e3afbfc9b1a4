"""The paper's figures, drawn from the tidy metrics: accuracy over rounds and over fine-tuning iterations."""

import itertools
import os

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from fedmeta.errors import FedmetaError
from fedmeta.reporting import panels
from fedmeta.reporting.captions import display, fine_tuning_title, sample
from fedmeta.reporting.contents import Content, control_of
from fedmeta.reporting.results import SUMMARY_KEY, summarise, summary_table

CONTROL = "fresh network: the same defence with δ = 0, without anything of the federation's model"
ORDERS = {
    "last": "the victim has the target class at its last output; figure order shows classes in random order, too",
    "random": "the victim has its classes in random order",
}
LIFT = "lift: attack accuracy above that before the attack, at the last step, training / validation, in points"


def draw_figure(
    content: Content, frame: pd.DataFrame, dataset: str, path_stem: str | os.PathLike, *, way: int, order: str = "last"
) -> Figure:
    """Draw a figure with this content, see `fedmeta.reporting.contents`; the functions that it calls say more.

    `order` is where the victim's tasks had the target class (`evaluation.target_output`): accuracies that go through
    the model's last layer hang on it, and their captions say so.
    """
    if content.experiment == "meta_training":
        return figure_meta_training(frame, dataset, path_stem, way=way, order=order)
    return figure_fine_tuning(frame, dataset, *content, path_stem, way=way, order=order)


def figure_meta_training(
    frame: pd.DataFrame,
    dataset: str,
    path_stem: str | os.PathLike,
    *,
    way: int,
    order: str = "last",
    attack_round: int = 1,
) -> Figure:
    """Draw accuracy over the rounds after a one-shot attack (the paper's Figures 3 and 4), a panel for each case.

    Solid lines are means over the episodes of all clients, bands their 95% intervals (`summarise`); dashed lines
    are the floor, the attack accuracy of the model as it was before the attack; the dotted line is chance, 1/`way`.
    Above a panel is the lift at the last step, of attack-training and attack-validation accuracy.
    Writes `{path_stem}.png` and `{path_stem}.svg`, whose bytes depend on the arguments alone, and returns the figure.

    Raises FedmetaError when the frame has no such rows.
    """
    rows = select(frame, dataset, Content("meta_training"))
    summary = summary_table(rows, [column for column in SUMMARY_KEY if column != "client"])
    cases = sorted(rows.case.unique())
    with style.context(["default", panels.STYLE]):
        figure, all_axes = panels.panels_in_a_row(cases, "round")
        for case, axes in zip(cases, all_axes, strict=True):
            axes.axvline(attack_round, label="attacked round", **panels.ATTACK)
            panels.draw_panel(axes, summary[summary.case == case], way)
            panels.set_rounds(axes, rows.step.max())
        title = f"{display(dataset)}: benign meta-training after a one-shot attack"
        panels.finish(figure, title, f"{sample(rows, summary)}\n{LIFT}\n{ORDERS[order]}", path_stem)
    return figure


def figure_fine_tuning(
    frame: pd.DataFrame,
    dataset: str,
    experiment: str,
    defence: str,
    delta: float | None,
    path_stem: str | os.PathLike,
    *,
    way: int,
    order: str = "last",
) -> Figure:
    """Draw accuracy over the iterations of benign fine-tuning (the paper's Figures 5 to 8 and A1 to A11).

    There is a row for each case and a column for each client; with a single client, one row with a panel for each
    case. `defence` and `delta` are those of the rows to draw ("" and None for plain supervised fine-tuning). Lines,
    bands, files and errors are as in `figure_meta_training`; the floor is the model before the attack after the same
    iterations. The axis of iterations is logarithmic (and linear from 0 to 1): a defence acts within its first tens
    of iterations, which the paper's linear axis to 500 presses into the margin. Of a matching network with the paper's
    delta, each panel also has the control, where it was evaluated (`contents.control_of`): meta-testing accuracy of a
    fresh network under the same defence.
    """
    content = Content(experiment, defence, delta)
    rows = select(frame, dataset, content)
    summary, control = summary_table(rows), _control(frame, dataset, content)
    cases, clients = sorted(rows.case.unique()), sorted(rows.client.unique())
    with style.context(["default", panels.STYLE]):
        if len(clients) > 1:
            figure, all_axes = panels.panels_in_rows(cases, [f"client {client}" for client in clients], "iteration")
        else:
            figure, all_axes = panels.panels_in_a_row(cases, "iteration")
        for (case, client), axes in zip(itertools.product(cases, clients), all_axes, strict=True):
            panels.draw_panel(axes, summary[(summary.case == case) & (summary.client == client)], way)
            panels.draw_control(axes, control[(control.case == case) & (control.client == client)])
            panels.set_iterations(axes, rows.step.max())
        title = fine_tuning_title(dataset, experiment, defence, delta)
        caption = [sample(rows, summary), LIFT, *([] if control.empty else [CONTROL])]
        caption += [ORDERS[order]] if experiment == "fine_tuning" else []
        panels.finish(figure, title, "\n".join(caption), path_stem)
    return figure


def _control(frame: pd.DataFrame, dataset: str, content: Content) -> pd.DataFrame:
    """Return mean meta-testing accuracy of the control, a row for each case, client and step; empty without one."""
    control = control_of(content) or Content("none")
    rows = frame[_is_shown(frame, dataset, control) & (frame.model == "attacked") & (frame.metric == "meta_testing")]
    return summarise(rows)


def _is_shown(frame: pd.DataFrame, dataset: str, content: Content) -> pd.Series:
    same_delta = frame.delta.isna() if content.delta is None else np.isclose(frame.delta, content.delta)
    names = (frame.dataset == dataset) & (frame.experiment == content.experiment) & (frame.defence == content.defence)
    return names & same_delta


def select(frame: pd.DataFrame, dataset: str, content: Content) -> pd.DataFrame:
    """Return the rows that a figure shows."""
    rows = frame[_is_shown(frame, dataset, content)]
    if rows.empty:
        raise FedmetaError(
            f"the metrics have no rows of dataset {dataset}, experiment {content.experiment}, "
            f"defence '{content.defence}', delta {content.delta}: evaluate them before drawing the figure"
        )
    return rows
