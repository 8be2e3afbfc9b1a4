"""Files that are either whole or absent."""

import contextlib
import errno
import fcntl
import os
import re
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TextIO

from fedmeta.errors import FedmetaError


@contextlib.contextmanager
def disk_errors(path: str | os.PathLike) -> Iterator[None]:
    """Raise FedmetaError about `path` if, in the block, the disk is full or `path` cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FedmetaError(f"no space left for {path}: free some disk space and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise FedmetaError(f"cannot write {path}: make its folder writable and run again") from error
        if error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY):
            raise FedmetaError(f"cannot write {path}: remove the file or folder in its place and run again") from error
        raise


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The temporary name keeps the suffix, because some writers choose the format by it. It includes host and process, so
    no two processes write to the same file.

    Raises FedmetaError if the disk is full or the folder is not writable.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{socket.gethostname()}-{os.getpid()}{path.suffix}")
    with disk_errors(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            with open(temporary, "rb+") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink()


def remove_leftovers(path: str | os.PathLike) -> None:
    """Remove what killed writers of `path` left behind. No other process may be writing it: see `exclusive`."""
    path = Path(path)
    temporary = re.compile(rf"\.{re.escape(path.stem)}\..+-\d+{re.escape(path.suffix)}")
    for file in path.parent.iterdir():
        if temporary.fullmatch(file.name):
            file.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive(path: str | os.PathLike) -> Iterator[None]:
    """Lock `path` for this process until the block ends, or the process does.

    The lock is on the open file `.NAME.lock` beside `path`, so the system releases it if the process dies. On NFS,
    other nodes see it too.

    Raises FedmetaError if another process holds the lock: the message says which, and what to do.
    """
    path = Path(path)
    with disk_errors(path):
        lock = _lock(path)
    try:
        yield
    finally:
        Path(lock.name).unlink(missing_ok=True)
        lock.close()


def abandoned(folders: Iterable[str | os.PathLike]) -> list[Path]:
    """Return the files in the folders that a killed process had locked with `exclusive`, and remove its locks."""
    found = []
    for folder in folders:
        for lock_path in sorted(Path(folder).rglob(".*.lock")):
            with contextlib.suppress(OSError), open(lock_path, "r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lock_path.unlink()
                found.append(lock_path.with_name(lock_path.name[1:].removesuffix(".lock")))
    return found


def _lock(path: Path) -> TextIO:
    """Return the lock file of `path`, open, locked, and naming this process."""
    job = os.environ.get("SLURM_JOB_ID")
    owner = f"Slurm job {job} " if job else ""
    owner += f"(process {os.getpid()} on {socket.gethostname()})"
    lock_path = path.with_name(f".{path.name}.lock")
    lock_path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = open(lock_path, "a+")  # noqa: SIM115 (stays open as long as the lock is held)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            remedy = "cancel it or wait for it to finish, then run again"
            raise FedmetaError(f"{path} is being made by {lock.read()}: {remedy}") from None
        # The previous holder may have removed the file after we opened it and before we locked it.
        if lock_path.exists() and os.path.samestat(os.fstat(lock.fileno()), lock_path.stat()):
            lock.truncate(0)
            lock.write(owner)
            lock.flush()
            return lock
        lock.close()
