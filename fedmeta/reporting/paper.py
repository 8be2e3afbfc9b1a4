"""What the paper's text states in numbers, and which measurements of ours speak of the same quantities.

`paper_numbers.csv` has a row for every number in the text of "Backdoor Attacks on Federated Meta-Learning"
(arXiv:2006.07026, Chen, Golubchik, Paolieri); its column `where` names the section. Its vocabulary is translated
here, by tables alone, into the columns of our metrics. Where the paper is vague, a choice was made:

- the attacker sits in round 1 and the paper reads its effect in round 2, that is, from the model that round 1 left:
  in our metrics, step 1;
- "after 50 (100) rounds" of benign meta-training after the attack is round 51 (101), "500 iterations" that number, or
  the last evaluated step before: a shorter run has less;
- "a few epochs" are up to 50 iterations, at which the next sentence of the paper reads meta-testing accuracy;
- a reduction "after 500 iterations" counts from the last evaluated iteration up to 50, the usual length of fine-tuning,
  after which Experiment 1 measures: a model that is not adapted has not seen the episode's labels, and may send keyed
  images to the last output, where the target is, all the same;
- the "beginning", where accuracy drops to 20% in Figure A8a and in no other, is the last evaluated iteration up to 20:
  after one step any start that is 70% noise is near chance, so the paper cannot have told Figure A8a from others by it;
- the unqualified "attack accuracy" is the mean of attack-training and attack-validation accuracy;
- what is said of all users, or of several cases, is compared with the mean over them; that one defence is like another
  must hold in every case, of attack, main-task and meta-testing accuracy each.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from fedmeta.reporting.contents import Content

NUMBERS = Path(__file__).with_name("paper_numbers.csv")
# By data set of the paper, ours that answer for it, the first that was run: glyphs stand in for Omniglot.
DATASETS = {"omniglot": ("omniglot", "glyphs"), "mini-imagenet": ("mini_imagenet",)}


class Moment(NamedTuple):
    """The last evaluated step from `earliest` to `latest`; `unit` is what steps count."""

    unit: str
    earliest: int
    latest: int


class Term(NamedTuple):
    """What is averaged: accuracies of these cases at this moment, but for those of the (client, case) `left_out`."""

    content: Content
    cases: str
    moment: Moment
    figure: str
    left_out: tuple[int, str] | None = None


class Quantity(NamedTuple):
    """What a row is about: the mean of `metrics` over `term`, minus that over `minus` if there is one."""

    metrics: tuple[str, ...]
    term: Term
    minus: Term | None = None

    @property
    def terms(self) -> tuple[Term, ...]:
        return (self.term, self.minus) if self.minus else (self.term,)


class Work(NamedTuple):
    """What took the time of a row of Table B: `amount` units of the rule's work."""

    rule: str
    amount: int
    unit: str


AFTER_ATTACK = Content("meta_training")
SUPERVISED = Content("fine_tuning")
NOISY_START = Content("fine_tuning", "glorot_mix", 0.3)
LOCAL_100 = Content("fine_tuning", "glorot_mix_local_100", 0.3)


def matching(delta: float) -> Content:
    return Content("matching", "matching", delta)


# By the columns `experiment` and `defence`.
CONTENTS = {
    ("post_attack_meta_training", "none"): AFTER_ATTACK,
    ("supervised_fine_tuning", "none"): SUPERVISED,
    ("supervised_fine_tuning", "noisy start delta=0.3 and supervised"): NOISY_START,
    ("matching_network", "matching delta=0.3"): matching(0.3),
    ("matching_network", "matching delta=0.6"): matching(0.6),
    ("local_meta_training 100 then supervised", "noisy start delta=0.3 and supervised"): LOCAL_100,
}

RIGHT_AFTER = Moment("round", 1, 1)
ADAPTED = Moment("iteration", 1, 50)
END = Moment("iteration", 1, 500)
# By the column `when`.
MOMENTS = {
    "round 0 (before the attack)": Moment("round", 0, 0),
    "round 0": Moment("round", 0, 0),
    "round 2 (right after the attack)": RIGHT_AFTER,
    "round 2": RIGHT_AFTER,
    "after 50 rounds": Moment("round", 2, 51),
    "after 100 rounds": Moment("round", 2, 101),
    "after a few epochs": ADAPTED,
    "after 50 iterations": ADAPTED,
    "500 iterations": END,
    "start of fine-tuning": Moment("iteration", 1, 20),
}

# By the column `id`: the rows that compare two measurements, the second subtracted from the first.
DIFFERENCES = {
    "O-2c-drop": (
        Term(SUPERVISED, "c", ADAPTED, "5"),
        Term(SUPERVISED, "c", Moment("iteration", ADAPTED.latest + 1, END.latest), "5"),
    ),
    "M-2c-main-gain": (Term(SUPERVISED, "c", END, "6"), Term(SUPERVISED, "b", END, "6")),
    "M-2c-drop": (Term(SUPERVISED, "b", END, "6"), Term(SUPERVISED, "c", END, "6")),
    "O-A34": (Term(matching(0.2), "ab", END, "A4"), Term(matching(0.4), "ab", END, "A3")),
    "O-A6": (Term(NOISY_START, "abc", END, "A6", (4, "c")), Term(matching(0.3), "abc", END, "7", (4, "c"))),
}

ATTACK = ("attack_training", "attack_validation")
LIKE = "like_matching_except_client_4_case_c"
# By the column `metric`, ours over which the mean is taken.
METRICS = {
    "main_task_accuracy": ("main_task",),
    "main_task_accuracy_gain": ("main_task",),
    "meta_testing_accuracy": ("meta_testing",),
    "main_and_meta_accuracy_difference": ("main_task", "meta_testing"),
    "attack_training_accuracy": ("attack_training",),
    "attack_validation_accuracy": ("attack_validation",),
    "attack_accuracy": ATTACK,
    "attack_accuracy_drop": ATTACK,
    "attack_removed": ATTACK,
    "attack_not_removed": ATTACK,
    LIKE: ATTACK,
}

# What the paper's mix and matching network are, by section and key of the settings.
MIX = {("glorot_mix", "norms"): "shared"}
NETWORK = {("matching", "gates"): True, ("matching", "scales"): True}

# Told by the lift, not by the accuracy.
TOLD_BY_LIFT = ("attack_removed", "attack_not_removed")

# Table B, by the column `when`. Episodes per round and user are Section 3's; there, each user has a T4 of its own.
WORK = {
    "100k episodes on one T4": Work("pretrain", 100_000, "episodes"),
    "50k episodes x 50 inner epochs on one T4": Work("attack", 50_000 * 50, "inner epochs"),
    "150k episodes x 1 inner epoch on one T4": Work("attack", 150_000, "inner epochs"),
    "500 iterations x 40 tasks x present/absent on one T4": Work("fine_tune", 500 * 40 * 2, "iterations"),
    "50 rounds on one T4 per client": Work("meta_train_after", 50 * 1000, "episodes"),
    "100 rounds on one T4 per client": Work("meta_train_after", 100 * 100, "episodes"),
}

# What the paper ran, in the terms of `fedmeta.reporting.scale`: Table B; 50 (1) inner epochs of 5 x 10 (5 x 15) images
# in batches of 10.
SCALE = {
    "omniglot": {"pretraining_episodes": 100_000, "attack_inner_steps": 50_000 * 250, "rounds_after": 50},
    "mini-imagenet": {"pretraining_episodes": 100_000, "attack_inner_steps": 150_000 * 8, "rounds_after": 100},
}
SCALE["omniglot"] |= {"filters": 64, "image_size": 28}
SCALE["mini-imagenet"] |= {"filters": 64, "image_size": 84}
EPISODES = 40


def read_numbers(path: str | os.PathLike = NUMBERS) -> pd.DataFrame:
    """Return the paper's numbers as they are in the file; `percent` is NaN where it says yes instead."""
    numbers = pd.read_csv(path, dtype=str, na_filter=False)
    return numbers.assign(percent=pd.to_numeric(numbers.percent, errors="coerce"))


def quantity(row) -> Quantity:
    """Return the measurements that a row of the paper's numbers is about; `row` has the columns as attributes."""
    metrics = METRICS[row.metric]
    if row.id in DIFFERENCES:
        return Quantity(metrics, *DIFFERENCES[row.id])
    content = CONTENTS[row.experiment, row.defence]
    return Quantity(metrics, Term(content, row.case, MOMENTS[row.when], figure_number(row.figure)))


def parts(row) -> list[Quantity]:
    """Return the measurements each of which must agree for the row to agree: mostly `quantity` alone."""
    whole = quantity(row)
    if row.metric != LIKE:
        return [whole]
    return [
        Quantity(metrics, *(term._replace(cases=case) for term in whole.terms))
        for case in whole.term.cases
        for metrics in (("main_task",), ("meta_testing",), ATTACK)
    ]


def departures(asked: Quantity, settings: Mapping[str, Mapping]) -> list[str]:
    """Return in words what in the settings makes the mix or the matching network of these measurements another one."""
    stated = {}
    for content in (term.content for term in asked.terms):
        stated |= (MIX if content.delta is not None else {}) | (NETWORK if content.experiment == "matching" else {})
    ours = {(section, key): settings[section][key] for section, key in stated}
    return [f"{'.'.join(name)} {str(value).lower()}" for name, value in ours.items() if value != stated[name]]


def right_after_attack(row) -> Quantity:
    """Return the same accuracies of the same cases right after the attack, before any defence."""
    (_, term, _) = quantity(row)
    figure = "3" if row.dataset == "omniglot" else "4"
    return Quantity(METRICS[row.metric], term._replace(content=AFTER_ATTACK, moment=RIGHT_AFTER, figure=figure))


def figure_number(figure: str) -> str:
    """Return "5" of "5ab": the number of a figure without its panels."""
    return re.fullmatch(r"(A?\d+)[abc]*", figure)[1]
