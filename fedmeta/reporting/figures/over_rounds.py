"""Accuracy over the rounds of benign meta-training after the attack (Experiment 1, Figures 3 and 4).

The attack works where attack accuracy is far above its dashed line, the same model before the attack; the gap is its
lift. It lasts as long as the gap stays open over the rounds. Main task and meta-testing tell whether it costs ordinary
accuracy, by which users could notice it; cases (b) and (c), whether benign images of the backdoor classes wash it out.
"""

import os

import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure

from fedmeta.reporting.figures import captions, panels
from fedmeta.reporting.figures.rows import POOLED, UNDEFENDED, select
from fedmeta.reporting.results import summary_table
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions

ROUNDS = True
ATTACK_ROUND = 1


class Options(FigureOptions):
    pass


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw accuracy over the rounds, a panel for each case.

    Solid lines are means over the episodes of all clients, bands their 95% intervals (`summarise`), thin lines the
    means of single seeds, if there are but a few; dashed lines are the floor, the attack accuracy of the model as it
    was before the attack; the dotted line is chance, 1/`way`. Above a panel is the lift at the last step, of
    attack-training and attack-validation accuracy.
    Writes `{path_stem}.png` and `{path_stem}.svg`, whose bytes depend on the arguments alone, and returns the figure.

    Raises FedmetaError when the metrics have no such rows.
    """
    rows = select(metrics, about.dataset, UNDEFENDED, options)
    summary, seeds = summary_table(rows, POOLED), summary_table(rows, [*POOLED, "seed"])
    cases = sorted(rows.case.unique())
    with style.context(["default", panels.STYLE]):
        figure, all_axes = panels.panels_in_a_row(cases, "round")
        for case, axes in zip(cases, all_axes, strict=True):
            axes.axvline(ATTACK_ROUND, label="attacked round", **panels.ATTACK)
            panels.draw_panel(axes, summary[summary.case == case], seeds[seeds.case == case], about.way)
            panels.set_rounds(axes, rows.step.max())
        words = options.title or f"benign meta-training after {captions.attack(about.setup)}"
        caption = [captions.sample_of_lines(rows, summary), captions.LIFT, captions.ORDERS[about.setup.target_output()]]
        panels.finish(figure, f"{captions.display(about.dataset)}: {words}", "\n".join(caption), path_stem)
    return figure
