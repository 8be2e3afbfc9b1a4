"""Tables as web pages that people can sort and filter, each in one file that loads nothing from the network."""

import csv
import html
import os
import re
from collections.abc import Iterable
from pathlib import Path

from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path

# Columns that come first, by the name of the table; the others follow.
FIRST = {
    "paper_against_ours": (
        *("figure", "case", "metric", "when", "paper", "mean", "half_width", "verdict", "relation", "step"),
        *("dataset", "measured_on", "lift", "lift_half_width", "floor", "defence", "note"),
    )
}
NUMBER = re.compile(r"-?[0-9]+\.([0-9]+)")
MOST_DECIMALS = 3
TEMPLATE = Path(__file__).with_name("page.html")


def write_page(table: str | os.PathLike, title: str, path: str | os.PathLike) -> None:
    """Write a CSV file as a page with this title. Columns without a value are left out; numbers are rounded.

    Raises FedmetaError if the file has no header.
    """
    with open(table, newline="") as file:
        columns, *rows = list(csv.reader(file)) or [[]]
    if not columns:
        raise FedmetaError(f"{table} is empty: delete it and run again")
    first = [name for name in FIRST.get(Path(table).stem, ()) if name in columns]
    names = [*first, *(name for name in columns if name not in first)]
    order = [k for k in map(columns.index, names) if not rows or any(row[k] for row in rows)]
    parts = {"title": html.escape(title), "source": html.escape(os.fspath(table))}
    parts |= {"head": _row("th", [f"<button>{html.escape(columns[k])}</button>" for k in order])}
    cells = [_shown([row[k] for row in rows]) for k in order]
    parts |= {"body": "\n".join(_row("td", map(html.escape, row)) for row in zip(*cells, strict=True))}
    page = re.sub(r"\{\{ (\w+) \}\}", lambda found: parts[found[1]], TEMPLATE.read_text())
    with atomic_path(path) as temporary:
        temporary.write_text(page)


def _row(tag: str, cells: Iterable[str]) -> str:
    """Return a row of a table; HTML needs no closing tags there, which makes the page a third smaller."""
    return "<tr>" + "".join(f"<{tag}>{cell}" for cell in cells)


def _shown(cells: list[str]) -> list[str]:
    """Return a column's cells as they are shown: all its numbers that are not whole with as many decimals."""
    numbers = [NUMBER.fullmatch(cell) for cell in cells]
    decimals = min(MOST_DECIMALS, max((len(number[1]) for number in numbers if number), default=0))
    return [f"{float(cell):.{decimals}f}" if number else cell for cell, number in zip(cells, numbers, strict=True)]
