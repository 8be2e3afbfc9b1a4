"""Metrics made by hand, and what the comparison with the paper makes of them."""

import math

import numpy as np
import pandas as pd

from fedmeta.paper import against_ours
from fedmeta.paper import numbers as paper
from fedmeta.paper.run_times import behind
from fedmeta.reporting import results
from helpers.setups import settings, setup_of

NUMBERS = paper.read_numbers()
BENCHMARKS = pd.DataFrame(columns=["rule", "scenario", "dataset", "seed", "scope", "wildcards", "seconds"])
ALL = dict.fromkeys(results.METRICS, 0.5)


def measured(kind, step, attacked, clean=None, *, cases="abc", client=2, seed=1, dataset="omniglot"):
    """Return the rows of one model each: by metric one accuracy for two episodes, or a list, one for each episode.

    `kind` is (experiment, defence, delta), `defence` an entry's name; without `clean`, that model has 0.2 everywhere.
    """
    experiment, defence, delta = kind
    rows = []
    for model, accuracies in (("attacked", attacked), ("clean", clean or dict.fromkeys(attacked, 0.2))):
        for metric, values in accuracies.items():
            for episode, value in enumerate(np.broadcast_to(values, np.size(values) if np.size(values) > 1 else 2)):
                for case in cases:
                    name = (
                        "default",
                        dataset,
                        seed,
                        experiment,
                        model,
                        case,
                        client,
                        defence,
                        delta,
                        step,
                        episode,
                        metric,
                    )
                    rows.append((*name, value))
    return pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)


ROUNDS, SUPERVISED = ("meta_training", "", math.nan), ("fine_tuning", "fine_tuning", math.nan)


def matching(delta):
    return "matching", "matching" if delta == 0.3 else f"matching-{delta:g}", delta


NOISY = ("fine_tuning", "noisy-start", 0.3)


def table_of(*frames, times=BENCHMARKS, config=None, numbers=NUMBERS, made_by=None):
    frame = pd.concat(frames, ignore_index=True)
    config = config or {dataset: settings() for dataset in frame.dataset.unique()}
    setups = {dataset: setup_of(own) for dataset, own in config.items()}
    return against_ours.compare(numbers, frame, behind(frame, times, made_by or {}), setups).set_index("id")


def row_of(name, *frames, **arguments):
    return table_of(*frames, numbers=NUMBERS[NUMBERS.id == name], **arguments).loc[name]


def verdict_of(name, *frames):
    row = row_of(name, *frames)
    return row.verdict


def attack(accuracy):
    return {"attack_training": accuracy, "attack_validation": accuracy}


def benchmarks(**seconds):
    """Return run times of `rule__scope` on Omniglot, seed 1; of adapting, of supervised fine-tuning by client 2."""
    rows = [(*name.split("__"), value) for name, value in seconds.items()]
    frame = pd.DataFrame(rows, columns=["rule", "scope", "seconds"])
    wildcards = frame.rule.map({"adapt": "fine_tuning/client-2/attacked"})  # else NaN, as nothing is read from a table
    return frame.assign(
        scenario="default", dataset="omniglot", seed=pd.array([1] * len(frame), dtype="Int64"), wildcards=wildcards
    )
