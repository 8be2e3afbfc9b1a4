"""Small JSON files under .snakemake/fedmeta/ that save the next call some work; any of them may be deleted."""

import contextlib
import json
from pathlib import Path

from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path

FOLDER = Path(".snakemake/fedmeta")


def read_notes(name: str) -> dict:
    """Return what `write_notes` wrote under this name; {} if there is no such file, or a broken one."""
    with contextlib.suppress(OSError, ValueError):
        notes = json.loads((FOLDER / f"{name}.json").read_text())
        return notes if isinstance(notes, dict) else {}
    return {}


def write_notes(name: str, notes: dict) -> None:
    """Write the notes atomically; if that is impossible, do without."""
    with contextlib.suppress(OSError, FedmetaError), atomic_path(FOLDER / f"{name}.json") as temporary:
        temporary.write_text(json.dumps(notes, separators=(",", ":")))
