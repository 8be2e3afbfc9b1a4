"""Metrics that are random numbers."""

import itertools
import math

import numpy as np
import pandas as pd

from fedmeta.reporting import results

METHOD = "fine_tuning"


def metrics(seeds=(0,), clients=(2, 3), steps=(0, 10), episodes=4, cases="ab", rng_seed=0):
    """Return random accuracies with every combination of the arguments, in a shuffled order."""
    rng = np.random.default_rng(rng_seed)
    names = itertools.product(seeds, ("attacked", "clean"), cases, clients, steps, range(episodes), results.METRICS)
    rows = [
        (
            *("default", "omniglot", seed, "fine_tuning", model, case, client, "fine_tuning", math.nan),
            *rest,
            rng.random(),
        )
        for seed, model, case, client, *rest in names
    ]
    frame = pd.DataFrame(rows, columns=results.COLUMNS).astype(results.DTYPES)
    return frame.sample(frac=1, random_state=rng_seed)
