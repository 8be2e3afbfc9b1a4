"""Which seeds figures show one by one. It draws nothing: every start of Snakemake loads it, with the captions."""

import pandas as pd

FEW_SEEDS = 5  # so many are drawn one by one


def are_few(seeds: pd.Series) -> bool:
    """Return whether there are several seeds, but few enough to draw each."""
    return 1 < seeds.nunique() <= FEW_SEEDS
