"""The paper's numbers against ours as a figure: a line for each number, the paper's value beside our interval."""

import os
import re
import textwrap
from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator
from matplotlib.transforms import Transform, blended_transform_factory

from fedmeta.paper import numbers as paper
from fedmeta.paper.against_ours import NOT_AS_IN_THE_PAPER, WIDE, WIDE_INTERVAL
from fedmeta.paper.claims import NOT_TOLD
from fedmeta.paper.run_times import NETWORK, TOLERANCE
from fedmeta.paper.stated_settings import EPISODES, SCALE
from fedmeta.paper.verdicts import AGREES, DIFFERS, SAME_DIRECTION, UNKNOWN, tolerance, tolerance_of_difference
from fedmeta.reporting.figures import panels
from fedmeta.reporting.results import each_row

DATASETS = {"omniglot": "Omniglot", "mini-imagenet": "mini-ImageNet", "glyphs": "Glyphs"}
SECTIONS = {
    "post_attack_meta_training": "Experiment 1: benign meta-training after the attack",
    "supervised_fine_tuning": "Experiment 2: supervised fine-tuning",
    "matching_network": "Experiment 3: the matching network, δ = 0.3",
    "appendix": "Appendix: other defences",
}
EXPLANATION = (
    "95% intervals; lift: attack accuracy above the same model's before the attack, episode by episode; "
    "*: see `note` in the table"
)
MOMENTS = {
    "round 0 (before the attack)": "before the attack",
    "round 0": "before the attack",
    "round 2 (right after the attack)": "right after attack",
    "round 2": "right after attack",
    "round 2 against round 0": "by the attack",
    "reduction over 500 iterations": "over 500 iterations",
    "500 iterations against case b": "against case b",
}
COMPARISONS = {
    "main_and_meta_accuracy_difference": "main and meta, δ 0.2 against 0.4",
    "accuracies_like_delta_0.3": "main and meta as with δ 0.3",
    "like_matching_except_client_4_case_c": "like matching, but client 4 in (c)",
    "like_without_local_meta_training": "as without local training",
    "like_matching": "like matching",
}
DIFFERENCES = ("main_and_meta_accuracy_difference", "main_task_accuracy_gain", "attack_accuracy_drop")
DIFFERENCES += ("meta_testing_accuracy_drop",)
RATIO = "ours / paper"
WIDE_MARK = f"over ±{WIDE:.0f} points wide: says little"
# Colours that the colour-blind can distinguish; the words are beside them.
COLOURS = {AGREES: "#0072b2", SAME_DIRECTION: "#b87900", DIFFERS: "#c03a00", UNKNOWN: "#7a7a7a"}
STATED = {"color": "#000000", "marker": "|", "markersize": 9, "markeredgewidth": 1.6, "linestyle": "none"}
BAND = {"color": "0.86", "linewidth": 0}
HOLLOW = {"markerfacecolor": "white", "markeredgewidth": 1.1}
FLOOR = {"color": "0.45", "marker": "D", "markersize": 4, "markerfacecolor": "white", "linestyle": "none"}
STYLE = {**panels.STYLE, "font.size": 8, "axes.grid": False, "axes.spines.left": False, "lines.markersize": 4.5}

# Inches: the height of a line, and where its columns begin or, if they have numbers, end.
LINE = 0.185
WIDTH = 9.6
LABEL, STEP, AXIS, AXIS_END, PAPER, OURS, LIFT, VERDICT = 0.1, 2.55, 3.95, 6.15, 6.65, 7.35, 8.2, 8.32
HEADINGS = (
    (STEP, "measured at", "left"),
    (PAPER, "paper", "right"),
    (OURS, "ours", "right"),
    (LIFT, "lift", "right"),
    (VERDICT, "verdict", "left"),
)
HEAD, TITLE, TICKS = 1.0, 1.0, 0.55


def draw_comparison(table: pd.DataFrame, path_stem: str | os.PathLike) -> Figure:
    """Draw the table of `compare`, for data sets that were run; write `{path_stem}.png` and `{path_stem}.svg`.

    A line has the paper's value as a tick, in the band that must contain our whole interval for agreement. Our mean and
    interval have the colour of the verdict; the mean is hollow if the interval is wide. A diamond is the same quantity
    before the attack (for attack accuracy, the floor).
    """
    run = table[table.measured_on != ""]
    absent = [DATASETS[name] for name in table.dataset.unique() if name not in set(run.dataset)]
    parts = [rows for _, rows in run.groupby([run.dataset, run.metric == "minutes"], sort=False)]
    heights = [TITLE + LINE * len(_lines(rows)) + TICKS for rows in parts]
    with style.context(["default", STYLE]):
        figure = Figure(figsize=(WIDTH, HEAD + sum(heights)))
        _draw_head(figure, absent)
        for number, rows in enumerate(parts):
            _draw_part(figure, HEAD + sum(heights[:number]), rows)
        panels.save(figure, path_stem)
    return figure


def _lines(rows: pd.DataFrame) -> list:
    """Return the rows in order, with a heading before the first of each section."""
    lines, before = [], None
    for row in each_row(rows):
        section = "appendix" if row.figure.startswith("A") else row.experiment
        if section != before and section in SECTIONS:
            lines.append(SECTIONS[section])
        lines.append(row)
        before = section
    return lines


def _write(figure: Figure, top: float, text: str, **look) -> None:
    """Write text whose upper end lies `top` inches below the figure's."""
    figure.text(LABEL / WIDTH, 1 - top / figure.get_figheight(), text, va="top", **look)


def _draw_head(figure: Figure, absent: list[str]) -> None:
    """Draw title and legend; `absent`: names of the paper's data sets that were not run."""
    words = "What the paper states and what this run measured, at this run's scale"
    if absent:
        words += f" ({', '.join(absent)}: not in this run)"
    _write(figure, 0.12, words, fontsize=11, fontweight="bold")
    entries = [
        Line2D([], [], label="paper", **STATED),
        Patch(label="agrees if wholly inside", **BAND),
        *(Line2D([], [], label=verdict, color=colour, marker="o") for verdict, colour in COLOURS.items()),
        Line2D([], [], label="before the attack: the floor", **FLOOR),
        Line2D([], [], label=WIDE_MARK, color="0.45", marker="o", **HOLLOW),
    ]
    place = {"loc": "upper left", "bbox_to_anchor": (0, 1 - 0.32 / figure.get_figheight()), "borderaxespad": 0.3}
    figure.legend(handles=entries, ncols=4, frameon=False, title=EXPLANATION, alignment="left", **place)


def _draw_title(figure: Figure, top: float, rows: pd.DataFrame) -> None:
    """Draw what the part is about, `top` inches below the figure's upper end."""
    first = rows.iloc[0]
    name = DATASETS[first.dataset]
    if first.measured_on != paper.DATASETS[first.dataset][0]:
        name = f"{DATASETS[first.measured_on]} in place of the paper's {name}"
    if first.metric == "minutes":
        name += ": run times (the paper's Table B)"
        network = [first[key] == size for key, size in SCALE[first.dataset].items() if key in NETWORK]
        ours = "scaled from what was done to the paper's amount of work"
        ours, theirs = ours + ("" if all(network) else ", not to its filters and pixels"), "on one T4"
    else:
        ours, theirs = _scale(first), f"{_scale(SCALE[first.dataset])}, {EPISODES} episodes"
    if rows.n_episodes.notna().any():
        seeds = rows.n_seeds.max()
        ours += f", {rows.n_episodes.max()} episodes a line, {seeds} {'seeds' if seeds > 1 else 'seed'}"
    _write(figure, top + 0.12, name, fontsize=10, fontweight="bold")
    words = [f"This run: {ours}", f"The paper: {theirs}", *_departures(rows)]
    _write(figure, top + 0.33, "\n".join(words), fontsize=7.5, color="0.3")


def _departures(rows: pd.DataFrame) -> list[str]:
    """Return, in a line or two, the settings that the notes of these rows name."""
    named = [
        part.removeprefix(start).split(", ")
        for note in rows.note
        for part in note.split("; ")
        if part.startswith(start := f"{NOT_AS_IN_THE_PAPER}: ")
    ]
    settings = dict.fromkeys(setting for each in named for setting in each)
    return [textwrap.fill(f"Ours for the paper's: {', '.join(settings)}", 165)] if settings else []


def _scale(scale: Mapping | pd.Series) -> str:
    steps = "no training" if pd.isna(scale["attack_inner_steps"]) else f"{scale['attack_inner_steps']:,} inner steps"
    return (
        f"{scale['pretraining_episodes']:,} pre-training episodes, {steps} of the "
        f"attacker, {scale['rounds_after']} benign rounds after it, {scale['filters']} filters, "
        f"{scale['image_size']} pixels"
    )


def _draw_part(figure: Figure, top: float, rows: pd.DataFrame) -> None:
    """Draw the lines that share an axis: of percent, or of minutes for run times."""
    _draw_title(figure, top, rows)
    lines, minutes = _lines(rows), rows.metric.iloc[0] == "minutes"
    height, bottom = LINE * len(lines), figure.get_figheight() - top - TITLE
    inches = np.array([AXIS, bottom - height, AXIS_END - AXIS, height])
    axes = figure.add_axes(tuple(inches / np.tile(figure.get_size_inches(), 2)))
    if minutes:
        axes.set_xscale("log")
        shown = np.concatenate([rows["mean"].dropna(), rows.paper, [2, 5000]])
        axes.set_xlim(10 ** np.floor(np.log10(shown.min())), 10 ** np.ceil(np.log10(shown.max())))
        axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}" if x < 1000 else f"{x / 1000:g}k")
        axes.xaxis.set_minor_locator(NullLocator())
    else:
        differences = rows[rows.unit == "points"]
        lowest = (differences["mean"] - differences.half_width.fillna(0)).min()
        axes.set_xlim(10 * (np.fmin(lowest, -1) // 10), 104)
        axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.set_ylim(len(lines), 0)
    axes.set_yticks([])
    axes.set_xlabel("minutes" if minutes else "accuracy (%), or difference in points", labelpad=1)
    across = blended_transform_factory(figure.dpi_scale_trans, axes.transData)
    for x, heading, side in HEADINGS:
        heading = RATIO if minutes and heading == "lift" else heading
        axes.text(x, -0.4, heading, transform=across, va="center", ha=side, color="0.45")
    for y, line in enumerate(lines):
        if isinstance(line, str):
            axes.text(LABEL, y + 0.5, line, transform=across, va="center", fontweight="bold")
        else:
            _draw_line(axes, y + 0.5, line, across)


def _draw_line(axes: Axes, y: float, row, across: Transform) -> None:
    """Draw one of the paper's numbers at height `y`; `across` takes inches from the left and the height."""
    answered = row.verdict != ""
    write = partial(axes.text, y=y, transform=across, va="center")
    axes.axhline(y, color="0.95", linewidth=0.6, zorder=0)
    write(LABEL, s=_label(row) + (" *" if _has_remark(row) else ""), color="0" if answered else "0.5")
    sign = {"~": "≈ ", ">=": "≥ ", "<": "< ", "yes": "yes"}[row.relation]
    write(PAPER, s=sign + ("" if row.relation == "yes" else f"{row.paper:.0f}"), ha="right")
    if row.relation != "yes":
        low, high = _band(row, axes.get_xlim()[0])
        axes.barh(y, high - low, 0.7, low, zorder=1, **BAND)
        axes.plot(row.paper, y, zorder=2, **STATED)
    if not answered:
        write(PAPER + 0.2, s=row.note.replace("in this run", "run"), color="0.5", fontstyle="italic")
        return
    colour = COLOURS[row.verdict]
    half = np.nan_to_num(row.half_width)
    low, high = row.mean - half, row.mean + half
    if row.unit == "percent":
        low, high = max(low, 0), min(high, 100)
    axes.plot(row.floor, y, zorder=3, **FLOOR)
    axes.plot([low, high], [y, y], color=colour, linewidth=1.8, zorder=4)
    axes.plot(row.mean, y, "o", color=colour, zorder=5, **(HOLLOW if WIDE_INTERVAL in row.note else {}))
    step = re.sub(r"iteration (?=\d)", "it. ", row.step).replace("inner epochs", "epochs").replace(" in ", ", ")
    write(STEP, s=step, color="0.3", fontsize=7.5)
    write(OURS, s=_plus_minus(row.mean, row.half_width, ""), ha="right")
    ratio = f"{row.mean / row.paper:.2g}" if row.metric == "minutes" else ""
    write(LIFT, s=ratio or _plus_minus(row.lift, row.lift_half_width, "+"), ha="right")
    write(VERDICT, s=row.verdict, color=colour)


def _has_remark(row) -> bool:
    """Return whether a row's note says something that the figure does not show elsewhere."""
    if not row.verdict or row.unit == "minutes":
        return False
    shown = ("", WIDE_INTERVAL, NOT_TOLD)
    return any(part not in shown and not part.startswith(NOT_AS_IN_THE_PAPER) for part in row.note.split("; "))


def _band(row, lowest: float) -> tuple[float, float]:
    """Return the range that must contain our whole interval for the number to agree; `lowest`: the axis's end."""
    if row.metric == "minutes":
        return row.paper * (1 - TOLERANCE), row.paper * (1 + TOLERANCE)
    if row.relation == ">=":
        return row.paper, 100
    if row.relation == "<":
        return (lowest if row.metric in DIFFERENCES else 0), row.paper
    near = tolerance_of_difference(row.paper) if row.metric in DIFFERENCES else tolerance(row.paper)
    return row.paper - near, row.paper + near


def _label(row) -> str:
    """Return, in a few words, which of the paper's numbers a row is."""
    if row.metric == "minutes":
        work = row.when.split(" on one T4")[0].replace("present/absent", "2")
        return f"{paper.WORK[row.when].rule}: {work}"
    if row.metric in COMPARISONS:
        return f"{row.figure}  {COMPARISONS[row.metric]}"
    metric = row.metric.replace("_accuracy", "").replace("_", " ").replace("meta testing", "meta-testing")
    return f"{row.figure}  {metric}, {MOMENTS.get(row.when, row.when)}"


def _plus_minus(mean: float, half_width: float, sign: str) -> str:
    if np.isnan(mean):
        return ""
    if abs(mean) >= 1000:  # minutes, which would run into the column beside them
        return f"{mean / 1000:{sign}.1f}k" + ("" if np.isnan(half_width) else f" ± {half_width / 1000:.1f}k")
    return f"{round(mean):{sign}d}" + ("" if np.isnan(half_width) else f" ± {half_width:.0f}")
