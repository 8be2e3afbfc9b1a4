"""Hashes of files, each read only once while its size and modification time stay the same."""

import hashlib
import os
import time

from workflow.lib.notes import read_notes, write_notes

# A file this young may be written again within one tick of the file system's clock, so its hash is not remembered.
YOUNG = 2.0  # seconds


class Digests:
    """Hashes by path, remembered from one call to the next: see `save`."""

    def __init__(self, algorithm: str):
        self.algorithm, self.name = algorithm, f"digests-{algorithm}"
        self.known = read_notes(self.name)
        self.changed = False

    def of(self, path: str | os.PathLike) -> str:
        """Return the hash of a file's content in hexadecimal digits. Raises OSError if it cannot be read."""
        key, state = os.path.abspath(path), os.stat(path)
        stamp = [state.st_size, state.st_mtime_ns]
        size, mtime, digest = self.known.get(key, (None, None, ""))
        if [size, mtime] == stamp:
            return digest
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, self.algorithm).hexdigest()
        if abs(time.time() - state.st_mtime) > YOUNG:
            self.known[key], self.changed = [*stamp, digest], True
        return digest

    def save(self) -> None:
        """Remember the hashes for the next call."""
        if self.changed:
            write_notes(self.name, self.known)
            self.changed = False
