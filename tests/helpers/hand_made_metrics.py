"""Metrics made by hand, and what the comparison with the paper makes of them."""

import copy
import math
from functools import cache

import numpy as np
import pandas as pd
import yaml
from snakemake.utils import update_config

from fedmeta.reporting import comparison, paper, results
from helpers.project import ROOT

NUMBERS = paper.read_numbers()
BENCHMARKS = pd.DataFrame(columns=["rule", "dataset", "seed", "scope", "wildcards", "seconds"])
ALL = dict.fromkeys(results.METRICS, 0.5)


@cache
def default_config():
    return yaml.safe_load((ROOT / "config.yaml").read_text())


def settings(*overlays):
    config = copy.deepcopy(default_config())
    for overlay in overlays:
        update_config(config, yaml.safe_load((ROOT / "config" / overlay).read_text()))
    return config


def measured(kind, step, attacked, clean=None, *, cases="abc", client=2, seed=1, dataset="omniglot"):
    """Return the rows of one model each: by metric one accuracy for two episodes, or a list, one for each episode.

    `kind` is (experiment, defence, delta); without `clean`, that model has 0.2 everywhere.
    """
    experiment, defence, delta = (*kind, "", math.nan)[:3] if len(kind) == 1 else kind
    rows = []
    for model, accuracies in (("attacked", attacked), ("clean", clean or dict.fromkeys(attacked, 0.2))):
        for metric, values in accuracies.items():
            for episode, value in enumerate(np.broadcast_to(values, np.size(values) if np.size(values) > 1 else 2)):
                for case in cases:
                    name = (dataset, seed, experiment, model, case, client, defence, delta, step, episode, metric)
                    rows.append((*name, value))
    return pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)


ROUNDS, SUPERVISED = ("meta_training",), ("fine_tuning",)


def matching(delta):
    return "matching", "matching", delta


NOISY = ("fine_tuning", "glorot_mix", 0.3)


def table_of(*frames, times=BENCHMARKS, config=None, numbers=NUMBERS):
    frame = pd.concat(frames, ignore_index=True)
    config = config or {dataset: settings() for dataset in frame.dataset.unique()}
    return comparison.compare(numbers, frame, times, config).set_index("id")


def row_of(name, *frames, **arguments):
    return table_of(*frames, numbers=NUMBERS[NUMBERS.id == name], **arguments).loc[name]


def verdict_of(name, *frames):
    row = row_of(name, *frames)
    return row.verdict


def attack(accuracy):
    return {"attack_training": accuracy, "attack_validation": accuracy}


def benchmarks(**seconds):
    """Return run times of `rule__scope` on Omniglot, seed 1; of fine-tuning, of client 2 from the shared model."""
    rows = [(*name.split("__"), value) for name, value in seconds.items()]
    frame = pd.DataFrame(rows, columns=["rule", "scope", "seconds"])
    wildcards = frame.rule.map({"fine_tune": "plain/client-2"})  # else NaN, as nothing is read from a table
    return frame.assign(dataset="omniglot", seed=pd.array([1] * len(frame), dtype="Int64"), wildcards=wildcards)
