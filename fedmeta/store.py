"""A folder in which working copies share finished work: FEDMETA_STORE/KEY/0, 1, ... and the hashes of these files.

Files are copied, not linked: editing a result in one working copy does not affect the others.
"""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path

logger = logging.getLogger(__name__)


def folder() -> Path | None:
    """Return the shared folder, or None if none is named."""
    name = os.environ.get("FEDMETA_STORE")
    return Path(name).expanduser() if name else None


def take(key: str, outputs: Sequence[str]) -> bool:
    """Copy the files of `key` to `outputs`; return whether they were there and intact.

    Files that have changed since are removed. Raises FedmetaError if the outputs cannot be written.
    """
    shared = folder()
    entry = shared and shared / key
    if not entry or not entry.is_dir():
        return False
    try:
        hashes = json.loads((entry / "hashes.json").read_text())
        whole = len(hashes) == len(outputs)
        for number, (output, expected) in enumerate(zip(outputs, hashes, strict=False)):
            with open(entry / str(number), "rb") as file:
                whole = whole and hashlib.file_digest(file, "sha256").hexdigest() == expected
            if whole:
                with atomic_path(output) as temporary:
                    shutil.copyfile(entry / str(number), temporary)
                with open(output, "rb") as file:
                    whole = hashlib.file_digest(file, "sha256").hexdigest() == expected
    except (OSError, ValueError, TypeError):
        whole = False
    if not whole:
        logger.warning("%s has changed since it was stored: making it again", entry)
        shutil.rmtree(entry, ignore_errors=True)
    return whole


def put(key: str, outputs: Mapping[str, str]) -> None:
    """Copy the outputs, given with their SHA-256, to the shared folder; if that fails, only warn."""
    shared = folder()
    if not shared or (shared / key).exists():
        return
    temporary = None
    try:
        shared.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".", dir=shared))
        for number, output in enumerate(outputs):
            shutil.copyfile(output, temporary / str(number))
        (temporary / "hashes.json").write_text(json.dumps(list(outputs.values())))
        temporary.chmod(0o755)
        os.rename(temporary, shared / key)  # the first writer wins
    except (OSError, FedmetaError) as error:
        if not (shared / key).exists():
            logger.warning("cannot store results in %s, continuing without: %s", shared, error)
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                shutil.rmtree(temporary)
