"""What decides the rows of "paper against ours": intervals, tolerances, and what an interval shows.

A statement about an interval is True if the whole interval supports it, False if the whole interval contradicts it, and
None if the interval does not tell. So a wide interval never makes a statement hold.
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
    """A mean with its 95% interval, mean +- half_width (NaN for one episode: no interval, so nothing is shown)."""

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
        """Return whether the quantity is above the level, not at it."""
        return _told(self.low > level + ROUNDING, self.high <= level + ROUNDING)

    def below(self, level: float) -> bool | None:
        return _told(self.high < level - ROUNDING, self.low >= level - ROUNDING)

    def at_least(self, level: float) -> bool | None:
        return _told(self.low >= level - ROUNDING, self.high < level - ROUNDING)

    def within(self, tolerance: float, of: float) -> bool | None:
        """Return whether the quantity is the value `of`, give or take the tolerance (an equivalence test)."""
        low, high = of - tolerance - ROUNDING, of + tolerance + ROUNDING
        return _told(low <= self.low and self.high <= high, self.high < low or self.low > high)


class NotMeasured(Exception):
    """The run lacks what a row is about; the message says what it needs."""


def tolerance(percent: float) -> float:
    """Return how far from an accuracy p, in percent, another still counts as the same: sqrt(p (100 - p)) / 10 points.

    That is a tenth of the standard deviation of one answer, right or wrong: 5 points at 50%, 4 at 20 and 80%, 3 at 10
    and 90%, and nothing at 0 and 100%, where an accuracy cannot vary. It is at least 1 point, since the paper gives
    whole numbers read off figures.
    """
    return max(SMALLEST, math.sqrt(percent * (100 - percent)) / 10)


def tolerance_of_difference(points: float) -> float:
    """Return how far from a difference in points another still counts as the same: half of it, at most 5 points.

    So no difference agrees with one of the other sign, or with none.
    """
    return min(LARGEST, abs(points) / 2)


def interval_of(values: pd.Series) -> Interval:
    """Return mean and interval of values by (seed, client, episode); NaN: not both of two were measured."""
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
    """Return the verdict on a row, from whether its number holds and whether its direction does.

    For a row without a direction, the number is the direction.
    """
    if direction:
        return AGREES if number else SAME_DIRECTION
    return UNKNOWN if direction is None else DIFFERS


def _told(shown: bool, contradicted: bool) -> bool | None:
    return True if shown else False if contradicted else None
