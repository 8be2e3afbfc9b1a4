"""What the rows of "paper against ours" are decided by: intervals, and the verdicts that `comparison` explains."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from fedmeta.reporting.results import summarise

TOLERANCE = 5.0
ROUNDING = 1e-9
AGREES, SAME_DIRECTION, DIFFERS = "agrees", "same direction", "differs"
EPISODE = ["seed", "client", "episode"]


class Interval(NamedTuple):
    """A mean with its 95% interval, mean +- half_width (NaN: no interval, the mean alone counts)."""

    mean: float
    half_width: float
    n_episodes: int
    n_seeds: int

    @property
    def low(self) -> float:
        return self.mean - np.nan_to_num(self.half_width)

    @property
    def high(self) -> float:
        return self.mean + np.nan_to_num(self.half_width)

    def touches(self, low: float, high: float) -> bool:
        """Return whether the interval and [low, high] have a point in common; rounding errors do not part them."""
        return self.low <= high + ROUNDING and self.high >= low - ROUNDING

    def lies_above(self, level: float) -> bool:
        return self.low > level + ROUNDING

    def lies_below(self, level: float) -> bool:
        return self.high < level - ROUNDING


class NotMeasured(Exception):
    """The run lacks what a row is about; the message says what it needs."""


def interval_of(values: pd.Series) -> Interval:
    """Return mean and interval of values by (seed, client, episode), NaN where two were not measured both."""
    values = values.dropna()
    if values.empty:
        raise NotMeasured("the same episodes on both sides")
    (row,) = summarise(values.rename("value").reset_index().assign(all="all"), ["all"]).itertuples()
    return Interval(row.mean, row.half_width, row.n_episodes, row.n_seeds)


def verdict(agrees: bool, same_direction: bool) -> dict[str, str]:
    return {
        "same_direction": "yes" if same_direction else "no",
        "verdict": AGREES if agrees else SAME_DIRECTION if same_direction else DIFFERS,
    }
