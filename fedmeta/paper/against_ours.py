"""The paper's numbers against ours: one row each, with interval, floor, lift, scale and a verdict.

Ours are in the paper's units: percent, points for differences, minutes. `fedmeta.paper.claims` has the verdicts.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from fedmeta.paper import numbers as paper
from fedmeta.paper.claims import judge, margin
from fedmeta.paper.measurements import by_episode, estimate, estimate_lift, last_step
from fedmeta.paper.run_times import run_time
from fedmeta.paper.scale import scale
from fedmeta.paper.stated_settings import departures
from fedmeta.paper.verdicts import NotMeasured
from fedmeta.reporting.results import each_row
from fedmeta.reporting.setup import Setup

WIDE = 20.0  # an interval of more than this to either side, in points
WIDE_INTERVAL = "wide interval"
NOT_AS_IN_THE_PAPER = "not as in the paper"
OURS = {
    "measured_on": "str",
    "step": "str",
    "unit": "str",
    "mean": "float64",
    "half_width": "float64",
    "floor": "float64",
    "lift": "float64",
    "lift_half_width": "float64",
    "n_episodes": "Int64",
    "n_seeds": "Int64",
    "clients": "str",
    "verdict": "str",
    "note": "str",
}
SCALE = ("pretraining_episodes", "attack_inner_steps", "rounds_after", "filters", "image_size")
OURS |= dict.fromkeys(SCALE, "Int64")


def compare(
    numbers: pd.DataFrame, metrics: pd.DataFrame, times: pd.DataFrame, setups: Mapping[str, Setup]
) -> pd.DataFrame:
    """Return the table: for each of the paper's `numbers`, in their order, one row with what we measured.

    `metrics`: of one scenario, from `read_metrics`; `times`: from `run_times`, of the jobs behind these metrics
    (`fedmeta.paper.run_times.behind`); `setups`: of the scenario, by data set. `floor` is the same quantity of the
    model before the attack, adapted to the same episodes. `lift`, of attack accuracies, is the mean minus the floor,
    episode by episode. Run times are scaled to the paper's amount of work; jobs of one seed are averaged, and only
    several seeds give an interval. A row that the run cannot answer is empty except for `note`, which says what it
    would need. In other rows `note` says why a verdict is unknown, how the paper's text may be read (`remark` of the
    numbers), and what to know before trusting the verdict.
    """
    empty = {column: "" if dtype == "str" else None for column, dtype in OURS.items()}
    rows = [{**empty, **_answered(number, metrics, times, setups)} for number in each_row(numbers)]
    ours = pd.DataFrame(rows, columns=list(OURS)).astype(OURS)
    stated = numbers.drop(columns="remark").rename(columns={"percent": "paper"})
    return pd.concat([stated.reset_index(drop=True), ours], axis=1)


def _answered(number, metrics: pd.DataFrame, times: pd.DataFrame, setups: Mapping[str, Setup]) -> dict:
    """Return our columns of a row."""
    candidates = paper.DATASETS[number.dataset]
    dataset = next((name for name in candidates if name in setups), None)
    if dataset is None:
        return {"note": f"not in this run: needs the data set {candidates[0]}"}
    frame, setup = metrics[metrics.dataset == dataset], setups[dataset]
    try:
        if number.metric == "minutes":
            answer = run_time(number, times[times.dataset == dataset], setup)
        else:
            answer = _accuracy(number, frame, setup)
    except NotMeasured as reason:
        answer = {"note": f"not in this run: needs {reason}"}
    return {"measured_on": dataset, **scale(setup.settings), **answer}


def _accuracy(number, frame: pd.DataFrame, setup: Setup) -> dict:
    """Return our columns of a row about accuracies; `frame` has the metrics of one data set."""
    parts = paper.parts(number)
    asked = max(parts, key=partial(_apart, frame)) if len(parts) > 1 else parts[0]
    ours, lift = estimate(frame, asked), estimate_lift(frame, asked)
    given, why = judge(number, frame, setup.settings)
    columns = {
        "step": " minus ".join(dict.fromkeys(f"{term.moment.unit} {last_step(frame, term)}" for term in asked.terms)),
        "unit": "points" if asked.minus else "percent",
        **ours._asdict(),
        "floor": estimate(frame, asked, "clean").mean,
        "clients": ", ".join(map(str, sorted(by_episode(frame, asked, "attacked").index.unique("client").dropna()))),
        "verdict": given,
    }
    if set(asked.metrics) <= set(paper.ATTACK):
        columns |= {"lift": lift.mean, "lift_half_width": lift.half_width}
    decisive = lift if number.metric in paper.TOLD_BY_LIFT else ours
    wide = [WIDE_INTERVAL] if decisive.half_width > WIDE else []
    remark = [number.remark] if number.remark else []
    return columns | {"note": "; ".join([*why, *remark, *_notes(asked, len(parts), setup), *wide])}


def _apart(frame: pd.DataFrame, part: paper.Quantity) -> tuple[bool, float]:
    """Return whether a difference is shown not to count as alike, and by how many points it may exceed that."""
    ours = estimate(frame, part)
    mean, half_width, alike = abs(ours.mean), np.nan_to_num(ours.half_width), margin(frame, part)
    return bool(mean - half_width > alike), mean + half_width - alike


def _notes(asked: paper.Quantity, of: int, setup: Setup) -> list[str]:
    """Return which of several measurements a row has (`asked`, one `of` so many), and which settings differ."""
    notes = []
    if of > 1:
        notes.append(f"farthest apart of {of}: {' and '.join(asked.metrics)} in case ({asked.term.cases})")
    if other := departures(asked, setup):
        notes.append(f"{NOT_AS_IN_THE_PAPER}: {', '.join(other)}")
    return notes
