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
    """Return what was measured at the last step, by scenario, data set, case, client, defence and metric.

    `metrics` as from `read_metrics`. The columns are `KEY`, then `mean` and `half_width` (of the 95% interval) of the
    attacked model's accuracy; `floor`, the accuracy of the model before the attack under the same defence; for attack
    accuracies `lift` and `lift_half_width`; and `n_episodes`, `n_seeds`.
    """
    rows = last_steps(metrics)
    summary = summarise(rows, [*KEY, "model"])
    attacked = summary[summary.model == "attacked"].drop(columns="model")
    floors = summary[summary.model == "clean"].set_index(KEY)["mean"].rename("floor")
    # A metric's lift takes the metric's name.
    lifts = summarise(lift(rows).assign(metric=lambda frame: frame.metric.str.removesuffix("_lift")), KEY)
    lifts = lifts.set_index(KEY)[MEASURED].set_axis(["lift", "lift_half_width"], axis=1)
    table = attacked.join(floors, on=KEY).join(lifts, on=KEY)
    return table[[*KEY, *MEASURED, "floor", "lift", "lift_half_width", "n_episodes", "n_seeds"]]


def aggregation_table(paths: Iterable[str], runs: Iterable[Sequence]) -> pd.DataFrame:
    """Return what the server's aggregation decided about each user in each round of each run.

    `paths` are the stages' tables with the columns `DECISIONS`; `runs` has (scenario, dataset, seed, scope, the numbers
    of the attackers) for each. `weight` is what the user's update was multiplied by, 0 if it was `rejected`;
    `attacker` is 1 for updates of attackers, which take part only in attacked rounds, else 0.

    Raises FedmetaError naming a file that is not such a table.
    """
    columns = [*RUN, *DECISIONS, "attacker"]
    tables = []
    for path, (*run, attackers) in zip(paths, runs, strict=True):
        table = _decisions(path).assign(**dict(zip(RUN, run, strict=True)))
        tables.append(table.assign(attacker=table.user.isin(attackers).astype(int)))
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def rejection_table(decisions: pd.DataFrame) -> pd.DataFrame:
    """Return how often the server rejected the updates of attackers, and of others, in each stage of each run.

    `decisions` as from `aggregation_table`. Columns: `RUN`, `stage`; `attack_updates`, and the share of them that was
    rejected, `true_positive_rate`; `benign_updates` and `false_positive_rate` likewise. A rate of no updates is empty.
    """
    by, rates = [*RUN, "stage"], {"attack": "true_positive_rate", "benign": "false_positive_rate"}
    table = decisions[by].drop_duplicates().set_index(by)
    for (whose, rate), attacker in zip(rates.items(), (1, 0), strict=True):
        rejected = decisions[decisions.attacker == attacker].groupby(by)["rejected"]
        table[f"{whose}_updates"] = rejected.size().reindex(table.index, fill_value=0)
        table[rate] = rejected.mean().reindex(table.index)
    return table.reset_index()


def _decisions(path: str) -> pd.DataFrame:
    try:
        return pd.read_csv(path)[DECISIONS]
    except (OSError, ValueError, KeyError) as error:
        raise FedmetaError(f"{path} is not a table of decisions: delete it and run again") from error
