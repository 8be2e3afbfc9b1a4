"""The paper's run times against ours: rows of its Table B, ours scaled to the paper's amount of work."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fedmeta.evaluation.columns import MODELS
from fedmeta.paper import numbers as paper
from fedmeta.paper.scale import scale, work_of
from fedmeta.paper.stated_settings import SCALE
from fedmeta.paper.verdicts import EPISODE, NotMeasured, interval_of, verdict
from fedmeta.reporting.results import each_row
from fedmeta.reporting.setup import Setup

TOLERANCE = 0.05  # of the paper's minutes
ORDER_OF_MAGNITUDE = 10
NETWORK = ("filters", "image_size")  # on which the time of a unit of work depends
WILDCARDS = {name: wildcard for wildcard, name in MODELS.items()}


def run_time(number, times: pd.DataFrame, setup: Setup) -> dict:
    """Return our columns of a row of Table B: minutes for the paper's amount of work, at the speed of this run.

    `times` has the run times of the row's data set, for the jobs from which the metrics were made, see `behind`: the
    settings do not say how much work others did.

    `agrees` requires an interval over seeds within 5% of the paper's minutes; `same direction` means that every job, so
    scaled, took less than ten times the paper's minutes and more than a tenth; `differs`, that none did; else unknown.
    """
    rule, amount, unit = paper.WORK[number.when]
    jobs = times[(times.rule == rule) & times.seconds.notna()]
    if jobs.empty:
        raise NotMeasured(f"a run time of {rule}")
    done = np.array([work_of(rule, job.scope, setup, job.defence) for job in each_row(jobs)])
    if not done.all():
        raise NotMeasured(f"{unit} of {rule}")
    each = (jobs.seconds / done).groupby(jobs.seed).mean()
    minutes = (each * amount / 60).rename_axis("seed").reset_index(name="value").assign(client=0, episode=0)
    ours = interval_of(minutes.set_index(EPISODE)["value"])
    stated = number.percent
    ratios = jobs.seconds / done * amount / 60 / stated
    near = ratios.between(1 / ORDER_OF_MAGNITUDE, ORDER_OF_MAGNITUDE, inclusive="neither")
    same_order = True if near.all() else None if near.any() else False
    why = ["some jobs within a factor of ten, others not"] if same_order is None else []
    speed = f"{1000 * each.mean():.3g} ms each, the paper {60_000 * stated / amount:.3g} ms"
    return {
        **ours._asdict(),
        "step": f"{done.mean():,.0f} {unit} in {jobs.seconds.mean() / 60:.1f} min",
        "unit": "minutes",
        "n_episodes": None,
        "note": "; ".join([*why, f"mean of {len(jobs)} jobs", speed, *_not_scaled(number.dataset, setup)]),
        "verdict": verdict(ours.within(TOLERANCE * stated, stated), same_order),
    }


def behind(metrics: pd.DataFrame, times: pd.DataFrame, made_by: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    """Return the `times` of the jobs of training and supervised fine-tuning from which a scenario's metrics were made.

    Equal jobs run once: for each data set, `made_by` gives the scenario whose job it was, by the rule or, for `adapt`,
    as "adapt/DEFENCE/MODEL": "SCENARIO/DEFENCE". Jobs that it does not name belong to the metrics' own scenario. The
    added column `defence` has the defence of a job by its name in the metrics, empty for training.
    """
    scope = np.where(metrics.case == "a", "excluded", "included")
    made = metrics.assign(scope=scope)[
        ["scenario", "dataset", "seed", "scope", "experiment", "client", "defence", "model"]
    ]
    names: dict[tuple, Any] = {}
    for row in each_row(made.drop_duplicates()):
        own = made_by.get(row.dataset, {})
        rules = ["pretrain", "attack", *(["meta_train_after"] if row.experiment == "meta_training" else [])]
        for rule in rules:
            names[rule, own.get(rule, row.scenario), row.dataset, row.seed, row.scope, ""] = ""
        if row.experiment == "fine_tuning":
            model = WILDCARDS[row.model]
            by = own.get(f"adapt/{row.defence}/{model}", f"{row.scenario}/{row.defence}")
            scenario, _, name = by.partition("/")
            job = f"{name}/client-{row.client}/{model}"
            names["adapt", scenario, row.dataset, row.seed, row.scope, job] = row.defence
    columns = (times[["rule", "scenario", "dataset", "seed", "scope"]], times.wildcards.fillna(""))
    jobs = list(pd.concat(columns, axis=1).itertuples(index=False, name=None))
    defences: list[Any] = [names.get(job) for job in jobs]
    return times.assign(defence=defences)[np.array([job in names for job in jobs], bool)]


def _not_scaled(dataset: str, setup: Setup) -> list[str]:
    """Return, in words, how the network differs from the paper's, for which times are not scaled."""
    ours, theirs = scale(setup.settings), SCALE[dataset]
    other = [key for key in NETWORK if ours[key] != theirs[key]]
    words = [f"{key.replace('_', ' ')} ({ours[key]}, the paper {theirs[key]})" for key in other]
    return [f"scaled for the amount of work, not for {' and '.join(words)}"] if words else []
