"""What the server decided about each user's update, as a table."""

import csv
import os
from collections.abc import Iterable

from fedmeta.files import atomic_path

COLUMNS = ("stage", "round", "user", "weight", "rejected")


def write_decisions(
    path: str | os.PathLike, stage: str, first_round: int, decisions: Iterable[tuple[int, int, float]]
) -> None:
    """Write a stage's decisions, (round from 0, user, weight); its first round has the number `first_round`.

    Columns: `weight`, with which the update entered the shared model; `rejected`, 1 if that is 0, else 0.
    """
    with atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for number, user, weight in decisions:
            table.writerow((stage, first_round + number, user, weight, int(weight == 0)))
