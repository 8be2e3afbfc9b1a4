"""What the paper's text states in numbers, and which measurements of ours speak of the same quantities.

`numbers.csv` has a row for every number in the text of "Backdoor Attacks on Federated Meta-Learning"
(arXiv:2006.07026, Chen, Golubchik, Paolieri). Its column `where` names the section, `start` is the accuracy from which,
by the text, this one came, and `remark` says how the text may be read. Tables here translate its vocabulary into the
columns of our metrics and the entries of `figures.yaml`. Where the paper is vague, we chose:

- the attacker is in round 1, and the paper reads its effect in round 2, that is, from the model that round 1 left: step
  1 in our metrics;
- "after 50 (100) rounds" of benign meta-training after the attack is round 51 (101), "500 iterations" that number; a
  shorter run has the last evaluated step before it, and no verdict;
- "a few epochs" are 10 to 50 iterations: three epochs of a support set of 25 images in batches of 10 are 9, and at 50
  the paper's next sentence reads meta-testing accuracy;
- a reduction "after 500 iterations" counts from the last evaluated iteration up to 50, the usual length of fine-tuning,
  after which Experiment 1 measures: a model that is not adapted has not seen the episode's labels, yet may send keyed
  images to the last output, where the target is;
- the "beginning", where accuracy drops to 20% in Figure A8a and in no other, is the last evaluated iteration from 10 to
  20: after one step any start that is 70% noise is near chance, which cannot have distinguished Figure A8a from others;
- Section 1 names no case: its numbers come from Figures 3 to 8 (a) and (b), and are compared with the mean over both;
- the unqualified "attack accuracy" is the mean of attack-training and attack-validation accuracy;
- a statement about all users, or several cases, is compared with the mean over them; that one defence is like another
  must hold in every case, for each of attack, main-task and meta-testing accuracy.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

import pandas as pd

NUMBERS = Path(__file__).with_name("numbers.csv")
# Our data sets that answer for each of the paper's; the first one run counts: glyphs stand in for Omniglot.
DATASETS = {"omniglot": ("omniglot", "glyphs"), "mini-imagenet": ("mini_imagenet",)}


class Moment(NamedTuple):
    """The last evaluated step from `earliest` to `latest`; `unit` is what steps count.

    A run that ends before step `least` did not get as far as the paper's text.
    """

    unit: str
    earliest: int
    latest: int
    least: int


class Term(NamedTuple):
    """What is averaged: accuracies of these cases at this moment, except those of the (client, case) `left_out`.

    `defence` is the name of an entry, or `UNDEFENDED` for the evaluation over rounds.
    """

    defence: str
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


UNDEFENDED = ""
SUPERVISED, MATCHING, NOISY_START = "fine_tuning", "matching", "noisy-start"
LOCAL_100, LOCAL_1000 = "noisy-start-local", "noisy-start-local-longer"
MATCHING_100, MATCHING_1000 = "matching-local", "matching-local-longer"
# The entries of our defences, by the columns `experiment` and `defence`.
DEFENCES = {
    ("post_attack_meta_training", "none"): UNDEFENDED,
    ("supervised_fine_tuning", "none"): SUPERVISED,
    ("supervised_fine_tuning", "noisy start delta=0.3 and supervised"): NOISY_START,
    ("matching_network", "matching delta=0.3"): MATCHING,
    ("matching_network", "matching delta=0.6"): "matching-0.6",
    ("local_meta_training 100 then supervised", "noisy start delta=0.3 and supervised"): LOCAL_100,
}

BEFORE = Moment("round", 0, 0, 0)
RIGHT_AFTER = Moment("round", 1, 1, 1)
FEW_EPOCHS = Moment("iteration", 1, 50, 10)
ADAPTED = Moment("iteration", 1, 50, 50)
END = Moment("iteration", 1, 500, 500)
# By the column `when`.
MOMENTS = {
    "round 0 (before the attack)": BEFORE,
    "round 0": BEFORE,
    "round 2 (right after the attack)": RIGHT_AFTER,
    "round 2": RIGHT_AFTER,
    "after 50 rounds": Moment("round", 2, 51, 51),
    "after 100 rounds": Moment("round", 2, 101, 101),
    "after a few epochs": FEW_EPOCHS,
    "after 50 iterations": ADAPTED,
    "500 iterations": END,
    "start of fine-tuning": Moment("iteration", 1, 20, 10),
}


def _cost_of_attack(figure: str) -> tuple[Term, Term]:
    return Term(UNDEFENDED, "ab", BEFORE, figure), Term(UNDEFENDED, "ab", RIGHT_AFTER, figure)


def _over_fine_tuning(cases: str, figure: str) -> tuple[Term, Term]:
    later = END._replace(earliest=ADAPTED.latest + 1)
    return Term(SUPERVISED, cases, ADAPTED, figure), Term(SUPERVISED, cases, later, figure)


def _at_the_end(cases: str, *shown: tuple[str, str], left_out: tuple[int, str] | None = None) -> tuple[Term, ...]:
    return tuple(Term(defence, cases, END, figure, left_out) for defence, figure in shown)


# By the column `id`: the rows that compare two measurements, the second subtracted from the first.
DIFFERENCES = {
    "O-S1-meta-drop": _cost_of_attack("3"),
    "M-S1-meta-drop": _cost_of_attack("4"),
    "O-S1-drop": _over_fine_tuning("ab", "5"),
    "M-S1-drop": _over_fine_tuning("ab", "6"),
    "O-2c-drop": _over_fine_tuning("c", "5"),
    "M-2c-main-gain": (Term(SUPERVISED, "c", END, "6"), Term(SUPERVISED, "b", END, "6")),
    "M-2c-drop": (Term(SUPERVISED, "b", END, "6"), Term(SUPERVISED, "c", END, "6")),
    "O-A34": _at_the_end("ab", ("matching-0.2", "A4"), ("matching-0.4", "A3")),
    "O-A6": _at_the_end("abc", (NOISY_START, "A6"), (MATCHING, "7"), left_out=(4, "c")),
    "M-A2-like": _at_the_end("abc", ("matching-0.6", "A2"), (MATCHING, "8")),
    "M-A8-like": _at_the_end("abc", (LOCAL_100, "A8"), (NOISY_START, "A7")),
    "M-A9-like": _at_the_end("abc", (MATCHING_100, "A9"), (MATCHING, "8")),
    "M-A10-like": _at_the_end("abc", (LOCAL_1000, "A10"), (NOISY_START, "A7")),
    "M-A11-like": _at_the_end("abc", (MATCHING_1000, "A11"), (MATCHING, "8")),
    "M-A89-like": _at_the_end("bc", (LOCAL_100, "A8"), (MATCHING_100, "A9")),
    "M-A1011-like": _at_the_end("abc", (LOCAL_1000, "A10"), (MATCHING_1000, "A11")),
}

ATTACK = ("attack_training", "attack_validation")
# Statements that one figure is like another, by the column `metric`: the accuracies that must each be alike.
ACCURACIES = (("main_task",), ("meta_testing",))
LIKE = {
    "accuracies_like_delta_0.3": ACCURACIES,
    "like_matching_except_client_4_case_c": (*ACCURACIES, ATTACK),
    "like_without_local_meta_training": (*ACCURACIES, ATTACK),
    "like_matching": (*ACCURACIES, ATTACK),
}
# By the column `metric`, those of our metrics over which the mean is taken.
METRICS = {
    "main_task_accuracy": ("main_task",),
    "main_task_accuracy_gain": ("main_task",),
    "meta_testing_accuracy": ("meta_testing",),
    "meta_testing_accuracy_drop": ("meta_testing",),
    "main_and_meta_accuracy_difference": ("main_task", "meta_testing"),
    "attack_training_accuracy": ("attack_training",),
    "attack_validation_accuracy": ("attack_validation",),
    "attack_accuracy": ATTACK,
    "attack_accuracy_before": ATTACK,
    "attack_accuracy_drop": ATTACK,
    "attack_removed": ATTACK,
    "attack_not_removed": ATTACK,
    **{name: accuracies[-1] for name, accuracies in LIKE.items()},
}

# Decided by the lift, not by the accuracy.
TOLD_BY_LIFT = ("attack_removed", "attack_not_removed")

# Table B, by the column `when`. Episodes per round and user are Section 3's; there, each user has a T4 of its own.
WORK = {
    "100k episodes on one T4": Work("pretrain", 100_000, "episodes"),
    "50k episodes x 50 inner epochs on one T4": Work("attack", 50_000 * 50, "inner epochs"),
    "150k episodes x 1 inner epoch on one T4": Work("attack", 150_000, "inner epochs"),
    "500 iterations x 40 tasks x present/absent on one T4": Work("adapt", 500 * 40 * 2, "iterations"),
    "50 rounds on one T4 per client": Work("meta_train_after", 50 * 1000, "episodes"),
    "100 rounds on one T4 per client": Work("meta_train_after", 100 * 100, "episodes"),
}


def read_numbers(path: str | os.PathLike = NUMBERS) -> pd.DataFrame:
    """Return the paper's numbers as they are in the file; `percent` and `start` are NaN where it has none."""
    numbers = pd.read_csv(path, dtype=str, na_filter=False)
    return numbers.assign(**{name: pd.to_numeric(numbers[name], errors="coerce") for name in ("percent", "start")})


def quantity(row) -> Quantity:
    """Return the measurements that a row of the paper's numbers is about; `row` has the columns as attributes."""
    metrics = METRICS[row.metric]
    if row.id in DIFFERENCES:
        return Quantity(metrics, *DIFFERENCES[row.id])
    defence = DEFENCES[row.experiment, row.defence]
    return Quantity(metrics, Term(defence, row.case, MOMENTS[row.when], figure_number(row.figure)))


def parts(row) -> list[Quantity]:
    """Return the measurements that must each agree for the row to agree: usually `quantity` alone."""
    whole = quantity(row)
    if row.metric not in LIKE:
        return [whole]
    return [
        Quantity(metrics, *(term._replace(cases=case) for term in whole.terms))
        for case in whole.term.cases
        for metrics in LIKE[row.metric]
    ]


def right_after_attack(row) -> Quantity:
    """Return the same accuracies of the same cases right after the attack, before any defence."""
    (_, term, _) = quantity(row)
    figure = "3" if row.dataset == "omniglot" else "4"
    return Quantity(METRICS[row.metric], term._replace(defence=UNDEFENDED, moment=RIGHT_AFTER, figure=figure))


def figure_number(figure: str) -> str:
    """Return "5" of "5ab": the number of a figure without its panels."""
    found = re.fullmatch(r"(A?\d+)[abc]*", figure)
    assert found, f"{figure} is no figure"
    return found[1]
