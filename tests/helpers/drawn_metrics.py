"""Metrics drawn around accuracies like the paper's, for figures."""

import itertools
import math

import numpy as np
import pandas as pd

from fedmeta.reporting import results

PLAIN = ("fine_tuning", "fine_tuning", math.nan)
MATCHING = ("matching", "matching", 0.3)
ROUNDS = ("meta_training", "", math.nan)


def probability(experiment, model, case, metric, step):
    """Return an accuracy as the paper's text has it: fading over rounds, lasting over iterations, removed by Sec. 4."""
    if metric in ("main_task", "meta_testing"):
        return 0.98 - (0.5 * math.exp(-step / 8) if experiment == "matching" else 0)
    floor = 0.05 if case == "c" else 0.3
    if model == "clean" or (experiment == "meta_training" and step == 0):
        return floor
    top = 0.95 if metric == "attack_training" else 0.8
    pace = {"meta_training": 40, "fine_tuning": 5000, "matching": 10}[experiment]
    return floor + (top - floor) * math.exp(-step / pace)


def metrics(kind=PLAIN, dataset="omniglot", seeds=(0,), cases="abc", clients=(2, 3), steps=(0, 1, 10, 100), episodes=5):
    """Return accuracies over 20 images an episode, drawn around `probability`."""
    rng = np.random.default_rng(0)
    experiment, defence, delta = kind
    rows = []
    for seed, model, case, client, step, metric in itertools.product(
        seeds, ("attacked", "clean"), cases, clients, steps, results.METRICS
    ):
        values = rng.binomial(20, probability(experiment, model, case, metric, step), episodes) / 20
        name = ("default", dataset, seed, experiment, model, case, client, defence, delta, step)
        rows += [(*name, episode, metric, value) for episode, value in enumerate(values)]
    return pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)
