"""Which rows of the metrics a figure shows."""

import pandas as pd

from fedmeta.errors import FedmetaError
from fedmeta.reporting.results import SUMMARY_KEY
from fedmeta.settings.fields import FigureOptions

POOLED = [column for column in SUMMARY_KEY if column != "client"]
UNDEFENDED = ""  # the column `defence` of the evaluation over rounds


def select(metrics: pd.DataFrame, dataset: str, defence: str, options: FigureOptions) -> pd.DataFrame:
    """Return the rows of one defence (or of `UNDEFENDED`) in the cases that the figure shows.

    Raises FedmetaError if there are none.
    """
    rows = metrics[(metrics.dataset == dataset) & (metrics.defence == defence)]
    if options.cases:
        rows = rows[rows.case.isin(list(options.cases))]
        if missing := sorted(set(options.cases) - set(rows.case)):
            whose = f"'{defence}'" if defence else "the evaluation over rounds"
            raise FedmetaError(f"the metrics of {dataset} have no case {missing[0]} of {whose}: evaluate it")
    if rows.empty:
        whose = f"defence '{defence}'" if defence else "the evaluation over rounds"
        raise FedmetaError(f"the metrics of {dataset} have no rows of {whose}: evaluate them before drawing the figure")
    return rows


def some_defence(names: list[str], options: FigureOptions) -> list[str]:
    """Return the names. Raises FedmetaError if the figure names no existing defence."""
    if not names:
        raise FedmetaError(f"a figure of the kind {options.kind} needs `defences`: name some of the config's")
    return names
