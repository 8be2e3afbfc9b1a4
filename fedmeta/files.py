"""Files that are either whole or absent."""

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from fedmeta.errors import FedmetaError


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success, remove it on failure.

    The temporary name keeps the suffix, for writers that choose the format by it, and holds the process's
    number, so that two runs never write to one file.

    Raises FedmetaError when the disk is full or the folder cannot be written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise FedmetaError(f"no space left for {path}: free some disk space and run again") from error
        if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            raise FedmetaError(f"cannot write {path}: make its folder writable and run again") from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()
