"""Finished work, kept with a record of what it was made from: making the same again costs no more than a link.

Beside the first output of a stage, `.NAME.made` records the job, its key, and the hashes of its inputs and outputs.
Beside each output, the hard link `.NAME.kept` keeps the content if the output is deleted. The folder named by the
environment variable FEDMETA_STORE also keeps it for other working copies: see `fedmeta.store`.
"""

import contextlib
import functools
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from fedmeta import store
from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path, disk_errors

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Output:
    """A file as it was made: hash of its content, size in bytes, modification time in nanoseconds."""

    sha256: str
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, path: str | os.PathLike) -> "Output":
        """Return the current state of a file."""
        state = os.stat(path)
        return cls(sha256_of(path), state.st_size, state.st_mtime_ns)

    def untouched(self, path: str | os.PathLike) -> bool:
        """Return whether a file has the recorded size and time, so that it need not be read."""
        state = os.stat(path)
        return (state.st_size, state.st_mtime_ns) == (self.size, self.mtime_ns)


@dataclass(frozen=True)
class Made:
    """The record of a successful job. `inputs` are hashes by path; `outputs` are in the order of the rule."""

    key: str
    job: dict
    inputs: dict[str, str]
    outputs: dict[str, Output]


class Work:
    """The files that a job makes. `job` (JSON) is all that they depend on besides the contents of `inputs`."""

    def __init__(self, job: Mapping, inputs: Iterable[str], outputs: Iterable[str]):
        self.job = json.loads(json.dumps(job, sort_keys=True))
        self.inputs = {path: sha256_of(path) for path in inputs}
        self.outputs = list(outputs)
        self.key = key_of(self.job, self.inputs.values())

    def restore(self) -> bool:
        """Restore the outputs if they were made before from the same job and inputs; return whether they were.

        Raises FedmetaError if they cannot be written.
        """
        made = read_record(self.outputs[0])
        before = made.outputs if made and made.key == self.key else {}
        if list(before) == self.outputs and all(_is_kept(path, output.sha256) for path, output in before.items()):
            for path in self.outputs:
                with disk_errors(path):
                    _link(kept(path), Path(path))
                os.utime(path)  # newer than its inputs
            self._record()
            return True
        if store.take(self.key, self.outputs):
            self.keep()
            return True
        return False

    def keep(self, reusable: bool = True) -> None:
        """Record that the outputs have been made, and keep them. If the disk is too full for that, do without.

        `reusable`: False if they may have been made from something other than `job` and `inputs`.
        """
        if not reusable:
            self.key = ""
        record_of(self.outputs[0]).unlink(missing_ok=True)
        for path in self.outputs:
            with contextlib.suppress(OSError):  # not every file system has hard links
                kept(path).unlink(missing_ok=True)
                _link(Path(path), kept(path))
        made = self._record()
        if made and reusable:
            store.put(self.key, {path: output.sha256 for path, output in made.outputs.items()})

    def _record(self) -> Made | None:
        made = Made(self.key, self.job, self.inputs, {path: Output.of(path) for path in self.outputs})
        try:
            with atomic_path(record_of(self.outputs[0])) as temporary:
                temporary.write_text(json.dumps(asdict(made), indent=1) + "\n")
        except FedmetaError as error:
            logger.warning("cannot record what was made, continuing without: %s", error)
            return None
        return made


def kept(output: str | os.PathLike) -> Path:
    """Return where an output is kept."""
    return Path(output).with_name(f".{Path(output).name}.kept")


def record_of(first_output: str | os.PathLike) -> Path:
    """Return where the record of a job is."""
    return Path(first_output).with_name(f".{Path(first_output).name}.made")


def read_record(first_output: str | os.PathLike) -> Made | None:
    """Return the record of the job whose first output this is, or None if it is missing or broken."""
    return _read(record_of(first_output))


def records(folders: Iterable[str | os.PathLike]) -> Iterator[Made]:
    """Yield the records of all jobs that have made something in the folders."""
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in sorted(names):
                if name.startswith(".") and name.endswith(".made") and (made := _read(Path(place, name))):
                    yield made


def key_of(job: Mapping, inputs: Iterable[str]) -> str:
    """Return the key of a job: a hash of all it depends on, including the hashes of its inputs."""
    return hashlib.sha256(json.dumps([job, list(inputs)], sort_keys=True).encode()).hexdigest()


def sha256_of(path: str | os.PathLike) -> str:
    """Return the SHA-256 of a file's content. A process reads an unchanged file only once."""
    state = os.stat(path)
    return _sha256(os.path.abspath(path), state.st_ino, state.st_size, state.st_mtime_ns)


@functools.cache
def _sha256(path: str, *_stamp: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path) -> Made | None:
    try:
        text = json.loads(path.read_text())
        outputs = {name: Output(**output) for name, output in text.pop("outputs").items()}
        return Made(**text, outputs=outputs)
    except (OSError, ValueError, TypeError, AttributeError, KeyError):
        return None


def _is_kept(output: str, sha256: str) -> bool:
    """Return whether an output is kept and intact."""
    try:
        if sha256_of(kept(output)) == sha256:
            return True
    except OSError:
        return False
    logger.warning("%s has changed since it was kept: making it again", kept(output))
    return False


def _link(source: Path, target: Path) -> None:
    """Make `target` a hard link to the file `source`, replacing what is there."""
    temporary = target.with_name(f".{target.name}.link-{os.getpid()}")
    temporary.unlink(missing_ok=True)
    os.link(source, temporary)
    os.replace(temporary, target)
    temporary.unlink(missing_ok=True)  # renaming a link onto another link to the same file does nothing
