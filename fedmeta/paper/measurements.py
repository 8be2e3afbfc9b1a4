"""What a run measured of a quantity that the paper states: the means over cases and metrics, episode by episode."""

from collections.abc import Iterable

import pandas as pd

from fedmeta.paper import numbers as paper
from fedmeta.paper.verdicts import EPISODE, Interval, NotMeasured, interval_of


def by_episode(frame: pd.DataFrame, asked: paper.Quantity, model: str) -> pd.Series:
    """Return the quantity in percent for each (seed, client, episode) that has it, of one model.

    `frame` has the metrics of one scenario and data set, see `fedmeta.reporting.results`. Raises NotMeasured if it
    lacks some.
    """
    values = _average(frame, asked.metrics, asked.term, model)
    return values - _average(frame, asked.metrics, asked.minus, model) if asked.minus else values


def estimate(frame: pd.DataFrame, asked: paper.Quantity, model: str = "attacked") -> Interval:
    """Return mean and interval of a quantity, in percent."""
    return interval_of(by_episode(frame, asked, model))


def estimate_lift(frame: pd.DataFrame, asked: paper.Quantity) -> Interval:
    """Return mean and interval of a quantity of the attacked model minus that of the model before the attack."""
    return interval_of(by_episode(frame, asked, "attacked") - by_episode(frame, asked, "clean"))


def last_step(frame: pd.DataFrame, term: paper.Term) -> int:
    """Return the step at which a term is measured: the last one evaluated that its moment allows."""
    return _last_step(_rows(frame, term), term)


def _average(frame: pd.DataFrame, metrics: tuple[str, ...], term: paper.Term, model: str) -> pd.Series:
    """Return the mean over a term's cases and metrics in percent, by (seed, client, episode)."""
    rows = _rows(frame, term)
    rows = rows[(rows.step == _last_step(rows, term)) & (rows.model == model) & rows.metric.isin(metrics)]
    _require("metric", metrics, rows, f"{term.figure}, {model} model")
    return 100 * rows.groupby(EPISODE, dropna=False)["value"].mean()


def _rows(frame: pd.DataFrame, term: paper.Term) -> pd.DataFrame:
    """Return the rows of a term's defence and cases, at all steps."""
    rows = frame[frame.defence == term.defence]
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
    unit, earliest, latest, _ = term.moment
    steps = rows.step[rows.step.between(earliest, latest)]
    if steps.empty:
        span = f"{earliest}" if earliest == latest else f"from {earliest} to {latest}"
        raise NotMeasured(f"{unit} {span} of figure {term.figure}")
    return int(steps.max())
