"""Tables of scenarios side by side: what is left of the attack, and what the server decided about each user."""

from collections.abc import Iterable, Sequence

import pandas as pd

from fedmeta.errors import FedmetaError
from fedmeta.federation import decisions
from fedmeta.reporting.results import lift, summarise

KEY = ["scenario", "dataset", "experiment", "defence", "case", "client", "step", "metric"]
MEASURED = ["mean", "half_width"]
DECISIONS = list(decisions.COLUMNS)
RUN = ["scenario", "dataset", "seed", "scope"]


def last_steps(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return the rows at the last step of each scenario, data set and defence (or of the evaluation over rounds)."""
    of = ["scenario", "dataset", "experiment", "defence"]
    return metrics[metrics.step == metrics.groupby(of)["step"].transform("max")]


def comparison_table(metrics: pd.DataFrame) -> pd.DataFrame:
    """Return scenario by scenario, for each data set, case, client, defence and metric, what was measured at the end.

    `metrics` as from `read_metrics`; the end is the last step. The columns are `KEY`, then `mean` and `half_width` (of
    the 95% interval) of the attacked model's accuracy, `floor`, that of the model before the attack under the same
    defence, of attack accuracies `lift` and `lift_half_width`, and `n_episodes`, `n_seeds`.
    """
    rows = last_steps(metrics)
    summary = summarise(rows, [*KEY, "model"])
    attacked = summary[summary.model == "attacked"].drop(columns="model")
    floors = summary[summary.model == "clean"].set_index(KEY)["mean"].rename("floor")
    # The lift of a metric is named for it.
    lifts = summarise(lift(rows).assign(metric=lambda frame: frame.metric.str.removesuffix("_lift")), KEY)
    lifts = lifts.set_index(KEY)[MEASURED].set_axis(["lift", "lift_half_width"], axis=1)
    table = attacked.join(floors, on=KEY).join(lifts, on=KEY)
    return table[[*KEY, *MEASURED, "floor", "lift", "lift_half_width", "n_episodes", "n_seeds"]]


def aggregation_table(paths: Iterable[str], runs: Iterable[Sequence]) -> pd.DataFrame:
    """Return what the server's aggregation decided about each user in each round of each run.

    `paths` are the stages' tables with the columns `DECISIONS`; `runs` has (scenario, dataset, seed, scope) for each.
    `weight` is what the user's update was multiplied by, 0 where it was `rejected`.

    Raises FedmetaError naming the file that is no such table.
    """
    tables = [
        _decisions(path).assign(**dict(zip(RUN, run, strict=True))) for path, run in zip(paths, runs, strict=True)
    ]
    if not tables:
        return pd.DataFrame(columns=[*RUN, *DECISIONS])
    return pd.concat(tables, ignore_index=True)[[*RUN, *DECISIONS]]


def _decisions(path: str) -> pd.DataFrame:
    try:
        return pd.read_csv(path)[DECISIONS]
    except (OSError, ValueError, KeyError) as error:
        raise FedmetaError(f"{path} is not a table of decisions: delete it and run again") from error
