"""What the rows of "paper against ours" are decided by: intervals, tolerances, and what an interval shows.

A statement about an interval is True if the whole interval bears it out, False if the whole interval contradicts it,
and None if the interval does not tell. So no statement holds because an interval is wide.
"""

import math
from typing import NamedTuple

import pandas as pd

from fedmeta.reporting.results import each_row, summarise

AGREES, SAME_DIRECTION, DIFFERS, UNKNOWN = "agrees", "same direction", "differs", "unknown"
EPISODE = ["seed", "client", "episode"]
ROUNDING = 1e-9
SMALLEST, LARGEST = 1.0, 5.0  # tolerances, in points


class Interval(NamedTuple):
    """A mean with its 95% interval, mean +- half_width (NaN: one episode, so there is none and nothing is shown)."""

    mean: float
    half_width: float
    n_episodes: int
    n_seeds: int

    @property
    def low(self) -> float:
        return self.mean - self.half_width

    @property
    def high(self) -> float:
        return self.mean + self.half_width

    def above(self, level: float) -> bool | None:
        """Return whether the quantity is above the level; at the level it is not."""
        return _told(self.low > level + ROUNDING, self.high <= level + ROUNDING)

    def below(self, level: float) -> bool | None:
        return _told(self.high < level - ROUNDING, self.low >= level - ROUNDING)

    def at_least(self, level: float) -> bool | None:
        return _told(self.low >= level - ROUNDING, self.high < level - ROUNDING)

    def within(self, tolerance: float, of: float) -> bool | None:
        """Return whether the quantity is that value give or take the tolerance (an equivalence test)."""
        low, high = of - tolerance - ROUNDING, of + tolerance + ROUNDING
        return _told(low <= self.low and self.high <= high, self.high < low or self.low > high)


class NotMeasured(Exception):
    """The run lacks what a row is about; the message says what it needs."""


def tolerance(percent: float) -> float:
    """Return how far from an accuracy in percent another counts as the same, in points: sqrt(p (100 - p)) / 10.

    That is a tenth of the standard deviation of one answer, right or wrong: 5 points at 50%, 4 at 20 and 80%, 3 at 10
    and 90%, and nothing at 0 and 100%, where an accuracy cannot vary. It is at least 1 point, since the paper gives
    whole numbers read off figures.
    """
    return max(SMALLEST, math.sqrt(percent * (100 - percent)) / 10)


def tolerance_of_difference(points: float) -> float:
    """Return how far from a difference in points another counts as the same: half of it, and 5 points at most.

    So no difference agrees with one of the other sign, nor with none.
    """
    return min(LARGEST, abs(points) / 2)


def interval_of(values: pd.Series) -> Interval:
    """Return mean and interval of values by (seed, client, episode), NaN where two were not measured both."""
    values = values.dropna()
    if values.empty:
        raise NotMeasured("the same episodes on both sides")
    (row,) = each_row(summarise(values.rename("value").reset_index().assign(all="all"), ["all"]))
    return Interval(row.mean, row.half_width, row.n_episodes, row.n_seeds)


def every(*told: bool | None) -> bool | None:
    """Return whether all statements hold: False if one is contradicted, None if one is not told."""
    if False in told:
        return False
    return None if None in told else True


def verdict(number: bool | None, direction: bool | None) -> str:
    """Return the verdict on a row from whether its number holds and whether the direction does that it was given for.

    Of a row that has no direction, the number is the direction.
    """
    if direction:
        return AGREES if number else SAME_DIRECTION
    return UNKNOWN if direction is None else DIFFERS


def _told(shown: bool, contradicted: bool) -> bool | None:
    return True if shown else False if contradicted else None
