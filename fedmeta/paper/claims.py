"""The verdict on each of the paper's numbers: what it claims, and whether our intervals show it.

A row has a number and, usually, a direction: what the number was given for. The verdicts:

`agrees`          our interval shows both the number and the direction.
`same direction`  it shows the direction, not the number.
`differs`         it contradicts the direction or, for a row without one, the number.
`unknown`         nothing is shown: the interval is too wide or, for a single episode, missing; or the run lacks what
                  the row is about; or the row is about a defence against an attack that is not shown to work.

The number: for "~ p", the interval lies within the tolerance of p (`fedmeta.paper.verdicts`); for ">= p" and "< p",
wholly on that side. An attack is removed if its lift lies wholly below the tolerance of its floor, and not removed if
wholly above. One defence is like another if all their differences lie within the tolerance.

The direction is shown if the interval lies wholly beyond half of the way from the contrary to the paper's value.
Undefended, attack accuracy must be raised by half of what lies between the seed's floor and the paper's value. Under a
defence it must be reduced by half of what lies between the seed's right after the attack and the paper's. Where attacks
fade, it must also have faded by half as much as the paper's. Other accuracies must be nearer to the paper's than to
chance. A difference must have half of the paper's size. Rows of statements, of bounds on a drop and of values at chance
have no direction.

What a row is about: if it says what is left after a number of rounds or iterations, it is about that much work. It is
unknown if the run ended before, or did more than ten times more or less benign meta-training in those rounds. Other
rows are about the state that training led to, however long it took; the table's columns give that scale.
"""

import math
from typing import Any

import numpy as np
import pandas as pd

from fedmeta.paper import numbers as paper
from fedmeta.paper.measurements import by_episode, estimate, estimate_lift, last_step
from fedmeta.paper.scale import episodes_after_attack
from fedmeta.paper.stated_settings import BENIGN_EPISODES
from fedmeta.paper.verdicts import UNKNOWN, every, interval_of, tolerance, tolerance_of_difference, verdict

FACTOR = 10
NOT_TOLD = "the interval does not tell"


def judge(number, frame, settings: Any) -> tuple[str, list[str]]:
    """Return the verdict on a row of the paper's numbers and, if it is unknown, why.

    `frame` has the metrics of one scenario and data set, `settings` are those of its run. Raises NotMeasured if the run
    has no such measurement.
    """
    asked = paper.quantity(number)
    if obstacles := [*_not_reached(asked, frame), *_other_amount(number, asked, frame, settings)]:
        return UNKNOWN, obstacles
    if math.isnan(estimate(frame, asked).half_width):
        return UNKNOWN, ["one episode has no interval"]
    if _needs_attack(number) and not _attack_worked(number, frame):
        return UNKNOWN, ["the attack is not shown to have worked"]
    holds = _number(number, asked, frame)
    direction = _direction(number, asked, frame, 100 / settings.reptile.way)
    given = verdict(holds, every(*direction) if direction else holds)
    return given, [NOT_TOLD] if given == UNKNOWN else []


def margin(frame, part: paper.Quantity) -> float:
    """Return how far apart the two sides of a difference may be to count as alike; the second one sets it."""
    assert part.minus is not None, "a difference has two sides"
    return tolerance(estimate(frame, paper.Quantity(part.metrics, part.minus)).mean)


def _not_reached(asked: paper.Quantity, frame) -> list[str]:
    """Return, in words, how far the run went if it ended before the paper's step."""
    steps = [(term.moment, last_step(frame, term)) for term in asked.terms]
    ended = [f"{moment.unit} {step} of {moment.least}" for moment, step in steps if step < moment.least]
    return [f"ended at {' and '.join(dict.fromkeys(ended))}"] if ended else []


def _other_amount(number, asked: paper.Quantity, frame, settings: Any) -> list[str]:
    """Return, in words, the amount of benign meta-training after the attack, if its order of magnitude differs."""
    if asked.term.moment.unit != "round" or asked.term.moment.earliest <= paper.RIGHT_AFTER.latest:
        return []
    ours, theirs = episodes_after_attack(last_step(frame, asked.term), settings), BENIGN_EPISODES[number.dataset]
    if theirs <= FACTOR * ours <= FACTOR**2 * theirs:
        return []
    return [f"{ours:,} benign episodes after the attack, the paper {theirs:,}"]


def _needs_attack(number) -> bool:
    """Return whether a row is about what becomes of an attack, so that it says nothing if the attack had no effect."""
    if not set(paper.METRICS[number.metric]) <= set(paper.ATTACK) or number.metric == "attack_not_removed":
        return False
    return number.defence != "none" or number.relation == "<"


def _attack_worked(number, frame) -> bool:
    undefended = paper.right_after_attack(number)
    return estimate_lift(frame, undefended).above(tolerance(estimate(frame, undefended, "clean").mean)) is True


def _number(number, asked: paper.Quantity, frame) -> bool | None:
    """Return whether our measurement is what the paper states, or None if the interval does not tell."""
    if number.metric in paper.LIKE:
        return every(*(estimate(frame, part).within(margin(frame, part), 0) for part in paper.parts(number)))
    if number.metric in paper.TOLD_BY_LIFT:
        lift, left = estimate_lift(frame, asked), tolerance(estimate(frame, asked, "clean").mean)
        return lift.above(left) if number.metric == "attack_not_removed" else lift.below(left)
    ours, stated = estimate(frame, asked), number.percent
    if number.relation == ">=":
        return ours.at_least(stated)
    if number.relation == "<":
        return ours.below(stated)
    return ours.within(tolerance_of_difference(stated) if asked.minus else tolerance(stated), stated)


def _direction(number, asked: paper.Quantity, frame, chance: float) -> list[bool | None]:
    """Return whether our intervals lie beyond half of the way to the paper's value; empty if it has no direction."""
    stated = number.percent
    if number.relation == "yes" or number.metric == "attack_accuracy_before":
        return []
    if asked.minus:
        ours = estimate(frame, asked)
        return [ours.above(stated / 2) if stated > 0 else ours.below(stated / 2)] if number.relation == "~" else []
    if not set(asked.metrics) <= set(paper.ATTACK):
        return [estimate(frame, asked).above((chance + stated) / 2)] if stated > chance else []
    ours, undefended = (by_episode(frame, each, "attacked") for each in (asked, paper.right_after_attack(number)))
    if number.defence != "none":
        return [_beyond_halfway(undefended - ours, _mean_of_seed(undefended) - stated)]
    floor = by_episode(frame, asked, "clean")
    raised = _beyond_halfway(ours - floor, stated - _mean_of_seed(floor))
    return [raised] if math.isnan(number.start) else [raised, _beyond_halfway(undefended - ours, number.start - stated)]


def _mean_of_seed(values: pd.Series) -> pd.Series:
    return values.groupby("seed").transform("mean")


def _beyond_halfway(gone: pd.Series, way: pd.Series | float) -> bool | None:
    """Return whether more than half of a way is shown to be gone; both are in points, by (seed, client, episode)."""
    return interval_of(gone - np.maximum(way, 0) / 2).above(0)
