"""The paper's numbers against ours: a row for each, with interval, floor, lift, scale and a verdict.

Ours are in the paper's units: percent, points for differences, minutes. `fedmeta.reporting.claims` has the verdicts.
"""

from collections.abc import Mapping
from functools import partial

import numpy as np
import pandas as pd

from fedmeta.reporting import paper
from fedmeta.reporting.claims import judge, margin
from fedmeta.reporting.comparison_times import run_time
from fedmeta.reporting.measurements import by_episode, last_step, measure, measure_lift
from fedmeta.reporting.paper_settings import departures
from fedmeta.reporting.scale import scale
from fedmeta.reporting.verdicts import NotMeasured

WIDE = 20.0  # more than this, in points, to either side
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
    numbers: pd.DataFrame, metrics: pd.DataFrame, times: pd.DataFrame, settings: Mapping[str, Mapping]
) -> pd.DataFrame:
    """Return the table: for each of the paper's `numbers`, in their order, one row with what we measured.

    `metrics` as from `read_metrics`, `times` as from `run_times`, `settings` by data set of the run. `floor` is the
    same quantity of the model as it was before the attack, adapted to the same episodes; `lift` is the mean minus the
    floor, episode by episode, of attack accuracies. Run times are scaled to the paper's amount of work; jobs of one
    seed are averaged, and there is an interval with several seeds only. A row that the run cannot answer is empty but
    for `note`, which says what it would need; in others it says why a verdict is unknown, how the paper's text may be
    read (`remark` of the numbers), and what to know before the verdict is trusted.
    """
    empty = {column: "" if dtype == "str" else None for column, dtype in OURS.items()}
    rows = [{**empty, **_answered(number, metrics, times, settings)} for number in numbers.itertuples()]
    ours = pd.DataFrame(rows, columns=list(OURS)).astype(OURS)
    stated = numbers.drop(columns="remark").rename(columns={"percent": "paper"})
    return pd.concat([stated.reset_index(drop=True), ours], axis=1)


def _answered(number, metrics: pd.DataFrame, times: pd.DataFrame, settings: Mapping[str, Mapping]) -> dict:
    """Return our columns of a row."""
    candidates = paper.DATASETS[number.dataset]
    dataset = next((name for name in candidates if name in settings), None)
    if dataset is None:
        return {"note": f"not in this run: needs the data set {candidates[0]}"}
    frame, own = metrics[metrics.dataset == dataset], settings[dataset]
    try:
        if number.metric == "minutes":
            answer = run_time(number, frame, times[times.dataset == dataset], own)
        else:
            answer = _accuracy(number, frame, own)
    except NotMeasured as reason:
        answer = {"note": f"not in this run: needs {reason}"}
    return {"measured_on": dataset, **scale(own), **answer}


def _accuracy(number, frame: pd.DataFrame, settings: Mapping) -> dict:
    """Return our columns of a row about accuracies; `frame` has the metrics of one data set."""
    parts = paper.parts(number)
    asked = max(parts, key=partial(_apart, frame)) if len(parts) > 1 else parts[0]
    ours, lift = measure(frame, asked), measure_lift(frame, asked)
    given, why = judge(number, frame, settings)
    columns = {
        "step": " minus ".join(dict.fromkeys(f"{term.moment.unit} {last_step(frame, term)}" for term in asked.terms)),
        "unit": "points" if asked.minus else "percent",
        **ours._asdict(),
        "floor": measure(frame, asked, "clean").mean,
        "clients": ", ".join(map(str, sorted(by_episode(frame, asked, "attacked").index.unique("client").dropna()))),
        "verdict": given,
    }
    if set(asked.metrics) <= set(paper.ATTACK):
        columns |= {"lift": lift.mean, "lift_half_width": lift.half_width}
    decisive = lift if number.metric in paper.TOLD_BY_LIFT else ours
    wide = [WIDE_INTERVAL] if decisive.half_width > WIDE else []
    remark = [number.remark] if number.remark else []
    return columns | {"note": "; ".join([*why, *remark, *_notes(asked, len(parts), settings), *wide])}


def _apart(frame: pd.DataFrame, part: paper.Quantity) -> float:
    """Return by how much the interval of a difference is beyond what counts as alike, in points; below 0: it is not."""
    ours = measure(frame, part)
    return abs(ours.mean) - np.nan_to_num(ours.half_width) - margin(frame, part)


def _notes(asked: paper.Quantity, of: int, settings: Mapping) -> list[str]:
    """Return which of several measurements a row has, `asked` being one `of` so many, and what was set otherwise."""
    notes = []
    if of > 1:
        notes.append(f"farthest apart of {of}: {' and '.join(asked.metrics)} in case ({asked.term.cases})")
    if other := departures(asked, settings):
        notes.append(f"{NOT_AS_IN_THE_PAPER}: {', '.join(other)}")
    return notes
