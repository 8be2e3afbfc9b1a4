"""What an interval shows, and how near is near."""

import math

import numpy as np
import pytest

from fedmeta.paper.verdicts import Interval, every, tolerance, tolerance_of_difference, verdict


def interval(low, high):
    return Interval((low + high) / 2, (high - low) / 2, 10, 1)


@pytest.mark.parametrize(
    ("low", "high", "above", "below", "at_least", "within"),
    [
        (51, 60, True, False, True, False),  # of the level 50, within 0.5 points of it
        (50, 50, False, False, True, True),
        (40, 49, False, True, False, False),
        (49.5, 50.5, None, None, None, True),
        (49, 50.2, None, None, None, None),
        (50, 50.6, None, False, True, None),
        (0, 100, None, None, None, None),
        (math.nan, math.nan, None, None, None, None),
    ],
)
def test_an_interval_shows_what_all_of_it_bears_out_and_contradicts_what_none_of_it_does(
    low, high, above, below, at_least, within
):
    own = interval(low, high)
    told = [own.above(50), own.below(50), own.at_least(50), own.within(0.5, 50)]
    assert told == [above, below, at_least, within]


def test_one_contradiction_is_enough_and_one_gap_leaves_the_rest_open():
    assert every(True, True) is True
    assert every(True, None) is None
    assert every(True, None, False) is False


def test_the_tolerance_is_a_tenth_of_the_spread_of_one_answer_and_shrinks_near_0_and_100():
    answers = np.repeat([0, 100], [20, 80])
    assert tolerance(80) == pytest.approx(np.std(answers) / 10)
    assert [tolerance(p) for p in (0, 20, 50, 90, 99, 100)] == pytest.approx([1, 4, 5, 3, 1, 1])
    assert all(tolerance(p) == tolerance(100 - p) for p in range(101))


def test_the_tolerance_of_a_difference_is_smaller_than_the_difference():
    assert [tolerance_of_difference(d) for d in (-3, 1, 10, 20)] == [1.5, 0.5, 5, 5]


@pytest.mark.parametrize(
    ("number", "direction", "given"),
    [
        (True, True, "agrees"),
        (None, True, "same direction"),
        (False, True, "same direction"),
        (True, None, "unknown"),
        (False, None, "unknown"),
        (True, False, "differs"),
    ],
)
def test_a_number_agrees_in_the_direction_alone_that_it_was_given_for(number, direction, given):
    assert verdict(number, direction) == given
