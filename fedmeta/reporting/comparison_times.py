"""The paper's run times against ours: rows of its Table B, ours scaled to the paper's amount of work."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from fedmeta.reporting import paper
from fedmeta.reporting.paper_settings import SCALE
from fedmeta.reporting.scale import scale, work_of
from fedmeta.reporting.verdicts import EPISODE, NotMeasured, interval_of, verdict

TOLERANCE = 0.05  # of the paper's minutes
ORDER_OF_MAGNITUDE = 10
NETWORK = ("filters", "image_size")  # on which the time of a unit of work depends


def run_time(number, frame: pd.DataFrame, times: pd.DataFrame, settings: Mapping) -> dict:
    """Return our columns of a row of Table B: minutes for the paper's amount of work, at the speed of this run.

    `frame` has the metrics of the row's data set and `times` the run times of all that were ever measured there; those
    of jobs whose results are not among the metrics were of other work than the settings tell, and do not count.

    `agrees` takes an interval over seeds within 5% of the paper's minutes; `same direction` means that every job, so
    scaled, took less than ten times the paper's minutes and more than a tenth; `differs`, that none did; else unknown.
    """
    rule, amount, unit = paper.WORK[number.when]
    jobs = behind(frame, times[times.rule == rule])
    if jobs.empty:
        raise NotMeasured(f"a run time of {rule}")
    done = np.array([work_of(rule, scope, settings) for scope in jobs.scope])
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
        "note": "; ".join([*why, f"mean of {len(jobs)} jobs", speed, *_not_scaled(number.dataset, settings)]),
        "verdict": verdict(ours.within(TOLERANCE * stated, stated), same_order),
    }


def behind(frame: pd.DataFrame, jobs: pd.DataFrame) -> pd.DataFrame:
    """Return the `jobs` of training and fine-tuning from which the metrics in `frame`, of one data set, were made."""
    scope = np.where(frame.case == "a", "excluded", "included")
    made = frame.assign(scope=scope)[["seed", "scope", "experiment", "client", "defence", "delta"]].drop_duplicates()
    names = set()
    for row in made.itertuples():
        names |= {("pretrain", row.seed, row.scope, ""), ("attack", row.seed, row.scope, "")}
        if row.experiment == "meta_training":
            names.add(("meta_train_after", row.seed, row.scope, ""))
        if row.experiment == "fine_tuning":
            variant = row.defence or "plain" if np.isnan(row.delta) else f"{row.defence}-{row.delta:g}"
            names.add(("fine_tune", row.seed, row.scope, f"{variant}/client-{row.client}"))
    columns = (jobs[["rule", "seed", "scope"]], jobs.wildcards.fillna(""))
    return jobs[[name in names for name in pd.concat(columns, axis=1).itertuples(index=False, name=None)]]


def _not_scaled(dataset: str, settings: Mapping) -> list[str]:
    """Return in words in what the network was another one than the paper's, for which no time is scaled."""
    ours, theirs = scale(settings), SCALE[dataset]
    other = [key for key in NETWORK if ours[key] != theirs[key]]
    words = [f"{key.replace('_', ' ')} ({ours[key]}, the paper {theirs[key]})" for key in other]
    return [f"scaled for the amount of work, not for {' and '.join(words)}"] if words else []
