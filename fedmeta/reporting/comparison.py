"""The paper's numbers against ours: a row for each, with interval, floor, lift, scale and a verdict.

Ours are in the paper's units: percent, points for differences, minutes. The verdicts:

`agrees`          the 95% interval of our mean touches what the paper says, give or take 5 points (run times: 5%):
                  for "~ p", [p - 5, p + 5]; for ">= p", p - 5 and all above. That an attack is removed agrees unless
                  the interval of its lift lies wholly above 5 points; that it is not removed agrees if it does; that
                  one defence is like another agrees if the interval of their difference touches [-5, 5].
`same direction`  no such agreement, but our interval shows, by lying wholly on one side, what the number was given for:
                  attack accuracy, undefended or not removed: raised, the lift is above 0;
                  attack accuracy under a defence: reduced, below that right after the attack, same episodes;
                  main-task and meta-testing accuracy: learned, above chance as the paper's value is (where that is at
                  chance or below: not shown to be above);
                  a drop, gain or difference: of the paper's sign;
                  run time: of the paper's order of magnitude, a factor of less than 10 either way.
`differs`         neither.

Both tests are made of every row: `same_direction` says whether the second one holds where the first one does, too. A
wide interval agrees with much, and an attack that never worked agrees with a paper's 20%: the column tells.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from fedmeta.reporting import paper
from fedmeta.reporting.results import summarise
from fedmeta.reporting.scale import scale, work_of

TOLERANCE = 5.0
ORDER_OF_MAGNITUDE = 10
ROUNDING = 1e-9
AGREES, SAME_DIRECTION, DIFFERS = "agrees", "same direction", "differs"
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
EPISODE = ["seed", "client", "episode"]


class Interval(NamedTuple):
    """A mean with its 95% interval, mean +- half_width (NaN: no interval, the mean alone counts)."""

    mean: float
    half_width: float
    n_episodes: int
    n_seeds: int

    @property
    def low(self) -> float:
        return self.mean - np.nan_to_num(self.half_width)

    @property
    def high(self) -> float:
        return self.mean + np.nan_to_num(self.half_width)

    def touches(self, low: float, high: float) -> bool:
        """Return whether the interval and [low, high] have a point in common; rounding errors do not part them."""
        return self.low <= high + ROUNDING and self.high >= low - ROUNDING

    def lies_above(self, level: float) -> bool:
        return self.low > level + ROUNDING

    def lies_below(self, level: float) -> bool:
        return self.high < level - ROUNDING


class NotMeasured(Exception):
    """The run lacks what a row is about; the message says what it needs."""


def compare(
    numbers: pd.DataFrame, metrics: pd.DataFrame, times: pd.DataFrame, settings: Mapping[str, Mapping]
) -> pd.DataFrame:
    """Return the table: for each of the paper's `numbers`, in their order, one row with what we measured.

    `metrics` as from `read_metrics`, `times` as from `run_times`, `settings` by data set of the run. `floor` is the
    same quantity of the model as it was before the attack, adapted to the same episodes; `lift` is the mean minus the
    floor, episode by episode, of attack accuracies. Run times are scaled to the paper's amount of work; jobs of one
    seed are averaged, and there is an interval with several seeds only. A row that the run cannot answer is empty but
    for `note`, which says what it would need.
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
            jobs = times[(times.dataset == dataset) & times.seed.isin(frame.seed.unique())]
            answer = _run_time(number, jobs, own)
        else:
            answer = _accuracy(number, frame, 100 / own["reptile"]["way"])
    except NotMeasured as reason:
        answer = {"note": f"not in this run: needs {reason}"}
    return {"measured_on": dataset, **scale(own), **answer}


# Accuracies


def _accuracy(number, frame: pd.DataFrame, chance: float) -> dict:
    """Return our columns of a row about accuracies; `frame` has the metrics of one data set, `chance` is in percent."""
    asked = paper.quantity(number)
    attacked, clean = (_by_episode(frame, asked, model) for model in ("attacked", "clean"))
    ours, lift = _interval(attacked), _interval(attacked - clean)
    columns = {
        "step": " minus ".join(dict.fromkeys(_step(frame, term) for term in (asked.term, asked.minus) if term)),
        "unit": "points" if asked.minus else "percent",
        **ours._asdict(),
        "floor": _interval(clean).mean,
        "clients": ", ".join(map(str, sorted(attacked.index.unique("client").dropna()))),
    }
    if set(asked.metrics) <= set(paper.ATTACK):
        columns |= {"lift": lift.mean, "lift_half_width": lift.half_width}
    return columns | _verdict(_agrees(number, ours, lift), _same_direction(number, frame, ours, lift, chance))


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


def _interval(values: pd.Series) -> Interval:
    """Return mean and interval of values by (seed, client, episode), NaN where two were not measured both."""
    values = values.dropna()
    if values.empty:
        raise NotMeasured("the same episodes on both sides")
    (row,) = summarise(values.rename("value").reset_index().assign(all="all"), ["all"]).itertuples()
    return Interval(row.mean, row.half_width, row.n_episodes, row.n_seeds)


def _agrees(number, ours: Interval, lift: Interval) -> bool:
    """Return whether the interval touches what the paper says, give or take the tolerance."""
    if number.metric == "attack_removed":
        return not lift.lies_above(TOLERANCE)
    if number.metric == "attack_not_removed":
        return lift.lies_above(TOLERANCE)
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
    return _interval(before_defence - _by_episode(frame, asked._replace(minus=None), "attacked")).lies_above(0)


def _verdict(agrees: bool, same_direction: bool) -> dict[str, str]:
    return {
        "same_direction": "yes" if same_direction else "no",
        "verdict": AGREES if agrees else SAME_DIRECTION if same_direction else DIFFERS,
    }


# Run times


def _run_time(number, jobs: pd.DataFrame, settings: Mapping) -> dict:
    """Return our columns of a row of Table B: minutes for the paper's amount of work, at the speed of this run."""
    rule, amount, unit = paper.WORK[number.when]
    jobs = jobs[jobs.rule == rule]
    if jobs.empty:
        raise NotMeasured(f"a run time of {rule}")
    done = np.array([work_of(rule, scope, settings) for scope in jobs.scope])
    if not done.all():
        raise NotMeasured(f"{unit} of {rule}")
    each = (jobs.seconds / done).groupby(jobs.seed).mean()
    minutes = (each * amount / 60).rename_axis("seed").reset_index(name="value").assign(client=0, episode=0)
    ours = _interval(minutes.set_index(EPISODE)["value"])
    stated = number.percent
    touches = ours.touches(stated * (1 - TOLERANCE / 100), stated * (1 + TOLERANCE / 100))
    ratio = ours.mean / stated
    speed = f"{1000 * each.mean():.3g} ms each, the paper {60_000 * stated / amount:.3g} ms"
    return {
        **ours._asdict(),
        "step": f"{done.mean():,.0f} {unit} in {jobs.seconds.mean() / 60:.1f} min",
        "unit": "minutes",
        "n_episodes": None,
        "note": f"mean of {len(jobs)} jobs; {speed}",
        **_verdict(touches, 1 / ORDER_OF_MAGNITUDE < ratio < ORDER_OF_MAGNITUDE),
    }
