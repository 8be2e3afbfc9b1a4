"""A role for every (class, example): who trains on it, who is tested on it, what the attacker gets.

Roles are drawn before rotation, so all rotations of a character have its roles. Kinds and roles:

    kind          role               whose
    training      training           one user's, for its episodes
    training      validation         the same user's, held out (main-task accuracy)
    meta_testing  meta_testing       nobody's: classes that no training sees
    target        benign             benign users'
    target        validation         nobody's: held out where examples are left over (queries of the evaluation)
    target        attacker           the attackers', for the target class in their episodes
    backdoor      benign             benign users', with the correct label
    backdoor      validation         nobody's: held out like the target's
    backdoor      attack_training    the attackers', keyed and labelled as the target
    backdoor      attack_validation  nobody's: keyed, for attack validation accuracy

Target and backdoor classes are the reserved classes (Section 3 of the paper): in nobody's ordinary pool. Extra images
of a class, besides the data set's own, are only used for the attack's two sets.
"""

import csv
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path


class Assignment(NamedTuple):
    """The one role of an image. `class_index` counts classes before rotation; `user` is None if nobody owns it.

    `extra` is 1 for an image that is not the data set's own (see ImageClass).
    """

    class_index: int
    example: int
    kind: str
    role: str
    user: int | None = None
    extra: int = 0


COLUMNS = ["class", "example", "kind", "role", "user", "extra"]

Pool = list[np.ndarray]  # an array of image rows for each class


def check_split(assignments: Iterable[Assignment]) -> None:
    """Raise FedmetaError if an image has two roles."""
    roles = {}
    for a in assignments:
        image = a.class_index, a.example
        if image in roles:
            first = roles[image]
            raise FedmetaError(
                f"example {a.example} of class {a.class_index} has two roles in the split, {first.kind}/{first.role} "
                f"and {a.kind}/{a.role}: delete the split and run again"
            )
        roles[image] = a


def write_split(path: str | os.PathLike, assignments: Iterable[Assignment]) -> None:
    """Write the split as CSV with the columns `COLUMNS`."""
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(assignments)


def read_split(path: str | os.PathLike) -> list[Assignment]:
    """Return what `write_split` wrote. Raises FedmetaError for another kind of file, or an image with two roles."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        if header != COLUMNS:
            raise ValueError(header)
        split = [
            Assignment(int(k), int(example), kind, role, int(user) if user else None, int(extra))
            for k, example, kind, role, user, extra in rows
        ]
    except (OSError, ValueError, csv.Error) as error:
        raise FedmetaError(f"{path} is not a split table: delete it and run again") from error
    check_split(split)
    return split


class Split:
    """A split's roles as image rows of `bank`, the bank with the rotations.

    A pool is a list of int64 arrays, the image rows of each class. An ordinary class occurs once for each rotation, a
    reserved one only upright. Classes keep the order of the table.
    """

    def __init__(self, assignments: Iterable[Assignment], bank: ImageBank) -> None:
        self.bank = bank
        self._examples: dict[tuple, dict[int, list[int]]] = {}
        for a in assignments:
            of_role = self._examples.setdefault((a.kind, a.role, a.user), {})
            of_role.setdefault(a.class_index, []).append(a.example)
        self._rotations: dict[int, list[ImageClass]] = {}
        for c in bank.classes:
            self._rotations.setdefault(c.base, []).append(c)
        self._check()

    def training(self, user: int) -> Pool:
        """Return the training images of the user's own classes."""
        return self._pool("training", "training", user)

    def benign(self, user: int, included: bool) -> Pool:
        """Return what a benign user meta-trains on: its own classes and, if `included`, the reserved ones.

        Of these it has benign, correctly labelled examples (cases (b) and (c)).
        """
        reserved = [*self.backdoor_benign(user), self.target_benign(user)] if included else []
        return [*self.training(user), *reserved]

    def validation(self, user: int) -> Pool:
        """Return the held-out images of the same classes as `training(user)`, in the same order."""
        return self._pool("training", "validation", user)

    def meta_testing(self) -> Pool:
        """Return the images of the classes that no training sees."""
        return self._pool("meta_testing", "meta_testing", None)

    def target_benign(self, user: int) -> np.ndarray:
        """Return the rows of the target class that benign user `user` holds, correctly labelled."""
        return self._benign("target", user)[0]

    def reserved_validation(self) -> tuple[np.ndarray, Pool]:
        """Return the rows that nobody trains on: the target's, and each backdoor class's; (0,) if none are left."""
        target, *backdoors = [rows for kind in ("target", "backdoor") for rows in self._held_out(kind)]
        return target, backdoors

    def backdoor_benign(self, user: int) -> Pool:
        """Return the backdoor classes' images that benign user `user` holds, correctly labelled."""
        return self._benign("backdoor", user)

    def target_attacker(self) -> np.ndarray:
        """Return the rows of the target class that the attacker mixes with keyed images."""
        return self._reserved("target", "attacker")[0]

    def backdoor(self, role: str) -> Pool:
        """Return the backdoor classes' images to be keyed for `attack_training` or `attack_validation`."""
        return self._reserved("backdoor", role)

    def roles(self, kind: str) -> list[dict[str, np.ndarray]]:
        """Return the image rows of each class of a kind by role, whoever holds them, in the order of the table."""
        of_classes: dict[int, dict[str, np.ndarray]] = {base: {} for base in self._bases(kind)}
        for own_kind, role, user in self._examples:
            if own_kind == kind:
                pool = self._pool(kind, role, user, upright=True)
                for base, rows in zip(self._examples[kind, role, user], pool, strict=True):
                    held = of_classes[base].get(role, np.empty(0, np.int64))
                    of_classes[base][role] = np.concatenate([held, rows])
        return list(of_classes.values())

    @property
    def names(self) -> tuple[str, list[str]]:
        """The target class's name and those of the backdoor classes."""
        return self._names("target")[0], self._names("backdoor")

    def _pool(self, kind: str, role: str, user: int | None, upright: bool = False) -> Pool:
        return [
            c.first + np.array(examples)
            for base, examples in self._examples.get((kind, role, user), {}).items()
            for c in self._rotations[base]
            if c.rotation == 0 or not upright
        ]

    def _benign(self, kind: str, user: int) -> Pool:
        own, shared = (self._pool(kind, "benign", holder, upright=True) for holder in (user, None))
        return own or shared

    def _reserved(self, kind: str, role: str) -> Pool:
        holders = [user for k, r, user in self._examples if (k, r) == (kind, role)]
        return [rows for user in holders for rows in self._pool(kind, role, user, upright=True)]

    def _held_out(self, kind: str) -> Pool:
        examples = self._examples.get((kind, "validation", None), {})
        rows = dict(zip(examples, self._pool(kind, "validation", None, upright=True), strict=True))
        return [rows.get(base, np.empty(0, np.int64)) for base in self._bases(kind)]

    def _names(self, kind: str) -> list[str]:
        return [self._rotations[base][0].name for base in self._bases(kind)]

    def _bases(self, kind: str) -> list[int]:
        """Return the classes of a kind, in the order of the table."""
        return list(dict.fromkeys(base for key, own in self._examples.items() if key[0] == kind for base in own))

    def _check(self) -> None:
        """Raise FedmetaError unless the bank has all images of the split."""
        for (kind, _, _), of_role in self._examples.items():
            for base, examples in of_role.items():
                rotations = self._rotations.get(base, [])
                if not rotations or max(examples) >= rotations[0].examples:
                    raise FedmetaError(f"the split's class {base} is not in the images: delete the split and run again")
                if kind in ("target", "backdoor") and all(c.rotation for c in rotations):
                    raise FedmetaError("reserved classes are shown upright: add 0 to data.rotations")
