"""The paper's numbers against ours: a row for each, with interval, floor, lift, scale and a verdict.

Ours are in the paper's units: percent, points for differences, minutes. The verdicts:

`agrees`          the 95% interval of our mean touches what the paper says, give or take 5 points (run times: 5%):
                  for "~ p", [p - 5, p + 5]; for ">= p", p - 5 and all above. That an attack is removed agrees unless
                  the interval of its lift lies wholly above 5 points; that it is not removed agrees if it does; that
                  one defence is like another agrees if the intervals of all their differences touch [-5, 5]: those of
                  attack, main-task and meta-testing accuracy in each case. The row has the one farthest from it.
`same direction`  no such agreement, but our interval shows, by lying wholly on one side, what the number was given for:
                  attack accuracy, undefended or not removed: raised, the lift is above 0;
                  attack accuracy under a defence: reduced, below that right after the attack, same episodes;
                  main-task and meta-testing accuracy: learned, above chance as the paper's value is (where that is at
                  chance or below: not shown to be above);
                  a drop, gain or difference: of the paper's sign;
                  run time: of the paper's order of magnitude, a factor of less than 10 either way.
`differs`         neither.

Both tests are made of every row: `same_direction` says whether the second one holds where the first one does, too. A
wide interval agrees with much, and an attack that never worked agrees with a paper's 20%: `note` and the column tell.
"""

import math
from collections.abc import Iterable, Mapping
from functools import partial

import numpy as np
import pandas as pd

from fedmeta.reporting import paper
from fedmeta.reporting.comparison_times import run_time
from fedmeta.reporting.scale import scale
from fedmeta.reporting.verdicts import EPISODE, TOLERANCE, Interval, NotMeasured, interval_of, verdict

WIDE = 20.0  # more than this, in points, to either side
WIDE_INTERVAL = "wide interval"
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
    "same_direction": "str",
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
    for `note`, which says what it would need; in others it says what to know before the verdict is trusted.
    """
    empty = {column: "" if dtype == "str" else None for column, dtype in OURS.items()}
    rows = [{**empty, **_answered(number, metrics, times, settings)} for number in numbers.itertuples()]
    ours = pd.DataFrame(rows, columns=list(OURS)).astype(OURS)
    return pd.concat([numbers.rename(columns={"percent": "paper"}).reset_index(drop=True), ours], axis=1)


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
    asked = max(parts, key=partial(_gap, frame))
    attacked, clean = (_by_episode(frame, asked, model) for model in ("attacked", "clean"))
    ours, lift = interval_of(attacked), interval_of(attacked - clean)
    columns = {
        "step": " minus ".join(dict.fromkeys(_step(frame, term) for term in asked.terms)),
        "unit": "points" if asked.minus else "percent",
        **ours._asdict(),
        "floor": interval_of(clean).mean,
        "clients": ", ".join(map(str, sorted(attacked.index.unique("client").dropna()))),
    }
    if set(asked.metrics) <= set(paper.ATTACK):
        columns |= {"lift": lift.mean, "lift_half_width": lift.half_width}
    columns["note"] = _notes(asked, len(parts), lift if number.metric in paper.TOLD_BY_LIFT else ours, settings)
    chance = 100 / settings["reptile"]["way"]
    return columns | verdict(_agrees(number, ours, lift), _same_direction(number, frame, ours, lift, chance))


def _gap(frame: pd.DataFrame, asked: paper.Quantity) -> float:
    """Return how far the interval of a difference is from 0, in points; below 0 where it reaches beyond."""
    ours = interval_of(_by_episode(frame, asked, "attacked"))
    return max(ours.low, -ours.high)


def _notes(asked: paper.Quantity, of: int, decisive: Interval, settings: Mapping) -> str:
    """Return what to know of a row before its verdict is trusted; `asked` is one `of` so many measurements."""
    notes = []
    if of > 1:
        notes.append(f"farthest apart of {of}: {' and '.join(asked.metrics)} in case ({asked.term.cases})")
    if other := paper.departures(asked, settings):
        notes.append(f"not as in the paper: {', '.join(other)}")
    if decisive.half_width > WIDE:
        notes.append(WIDE_INTERVAL)
    return "; ".join(notes)


def _by_episode(frame: pd.DataFrame, asked: paper.Quantity, model: str) -> pd.Series:
    """Return the quantity in percent for each (seed, client, episode) that has it, of one model."""
    values = _average(frame, asked.metrics, asked.term, model)
    return values - _average(frame, asked.metrics, asked.minus, model) if asked.minus else values


def _average(frame: pd.DataFrame, metrics: tuple[str, ...], term: paper.Term, model: str) -> pd.Series:
    """Return the mean over a term's cases and metrics in percent, by (seed, client, episode)."""
    rows = _rows(frame, term)
    rows = rows[(rows.step == _last_step(rows, term)) & (rows.model == model) & rows.metric.isin(metrics)]
    _require("metric", metrics, rows, f"{term.figure}, {model} model")
    return 100 * rows.groupby(EPISODE, dropna=False)["value"].mean()


def _rows(frame: pd.DataFrame, term: paper.Term) -> pd.DataFrame:
    """Return the rows of a term's experiment and cases, at all steps."""
    experiment, defence, delta = term.content
    same_delta = frame.delta.isna() if delta is None else np.isclose(frame.delta, delta)
    rows = frame[(frame.experiment == experiment) & (frame.defence == defence) & same_delta]
    if rows.empty:
        raise NotMeasured(f"figure {term.figure}")
    rows = rows[rows.case.isin(list(term.cases))]
    if term.left_out:
        client, case = term.left_out
        rows = rows[~((rows.client == client).fillna(False) & (rows.case == case))]
    _require("case", term.cases, rows, term.figure)
    return rows


def _require(column: str, wanted: Iterable[str], rows: pd.DataFrame, figure: str) -> None:
    """Raise NotMeasured about the first of the `wanted` values that no row has in the column."""
    for value in wanted:
        if value not in set(rows[column]):
            raise NotMeasured(f"{column} {value} of figure {figure}")


def _last_step(rows: pd.DataFrame, term: paper.Term) -> int:
    unit, earliest, latest = term.moment
    steps = rows.step[rows.step.between(earliest, latest)]
    if steps.empty:
        span = f"{earliest}" if earliest == latest else f"from {earliest} to {latest}"
        raise NotMeasured(f"{unit} {span} of figure {term.figure}")
    return int(steps.max())


def _step(frame: pd.DataFrame, term: paper.Term) -> str:
    return f"{term.moment.unit} {_last_step(_rows(frame, term), term)}"


def _agrees(number, ours: Interval, lift: Interval) -> bool:
    """Return whether the interval touches what the paper says, give or take the tolerance."""
    if number.metric in paper.TOLD_BY_LIFT:
        return lift.lies_above(TOLERANCE) == (number.metric == "attack_not_removed")
    stated = 0.0 if number.relation == "yes" else number.percent
    return ours.touches(stated - TOLERANCE, math.inf if number.relation == ">=" else stated + TOLERANCE)


def _same_direction(number, frame: pd.DataFrame, ours: Interval, lift: Interval, chance: float) -> bool:
    """Return whether our interval lies on the side that the paper's number was given for."""
    asked = paper.quantity(number)
    if number.relation == "~" and asked.minus:
        return ours.lies_above(0) if number.percent > 0 else ours.lies_below(0)
    if not set(asked.metrics) <= set(paper.ATTACK):
        return ours.lies_above(chance) == (number.percent > chance)
    if number.defence == "none" or number.metric == "attack_not_removed":
        return lift.lies_above(0)
    before_defence = _by_episode(frame, paper.right_after_attack(number), "attacked")
    return interval_of(before_defence - _by_episode(frame, asked._replace(minus=None), "attacked")).lies_above(0)
