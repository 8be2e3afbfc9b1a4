"""Models as safetensors, and the unfinished work that a stage resumes."""

import contextlib
import errno
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path, remove_leftovers

logger = logging.getLogger(__name__)


def write_tensors(path: str | os.PathLike, tensors: dict[str, Tensor], provenance: dict) -> None:
    """Write named tensors atomically as safetensors, with `provenance` (JSON) in the metadata.

    The same tensors and provenance give the same bytes.
    """
    with atomic_path(path) as temporary:
        try:
            save_file(
                {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()},
                temporary,
                {"provenance": json.dumps(provenance, sort_keys=True)},
            )
        except SafetensorError as error:
            full = "No space left" in str(error) or "StorageFull" in str(error)
            raise OSError(errno.ENOSPC if full else errno.EIO, str(error)) from error
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # safetensors gives access only to the owner


def read_tensors(path: str | os.PathLike) -> tuple[dict[str, Tensor], dict]:
    """Return what `write_tensors` wrote. Raises FedmetaError if the file is missing, truncated or of another kind."""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            return tensors, json.loads(file.metadata()["provenance"])
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise FedmetaError(f"{path} is not a valid model file: delete it and run again") from error


def state_to_tensor(state: Any) -> Tensor:
    """Return a JSON-serialisable state as a tensor, for a file of unfinished work."""
    return torch.from_numpy(np.frombuffer(json.dumps(state).encode(), np.uint8).copy())


def state_from_tensor(tensor: Tensor) -> Any:
    """Return the state that was passed to `state_to_tensor`."""
    return json.loads(tensor.numpy().tobytes())


class Unfinished:
    """A stage's work in progress, kept in a hidden file beside its output until the stage succeeds.

    `key` identifies what the work depends on (see `fingerprint`). Work with another key is ignored, with a warning.
    `earlier` is how many seconds earlier runs took for what `load` returned; NaN if they did not say.
    """

    def __init__(self, output: str | os.PathLike, key: str, interval: float = 20.0):
        """`interval`: seconds between saves."""
        self.path = Path(output).with_name(f".{Path(output).name}.unfinished")
        self.key, self.interval, self.earlier = key, interval, 0.0
        self.begun = self.saved = time.monotonic()

    def load(self) -> dict[str, Tensor] | None:
        """Return the tensors of the last save, or None if there is nothing to resume; the work begins."""
        self.begun = time.monotonic()
        if self.path.parent.exists():
            remove_leftovers(self.path)
        if not self.path.exists():
            return None
        try:
            tensors, provenance = read_tensors(self.path)
            key, earlier = provenance["key"], float(provenance.get("seconds", math.nan))
        except (FedmetaError, KeyError, TypeError, ValueError):
            logger.warning("ignoring %s: it is not a valid file of unfinished work; starting over", self.path)
            return None
        if key != self.key:
            logger.warning("ignoring unfinished work in %s: its settings or inputs have changed since", self.path)
            return None
        logger.info("resuming unfinished work in %s", self.path)
        self.earlier = earlier
        return tensors

    def save_if_due(self, tensors: Callable[[], dict[str, Tensor]]) -> None:
        """Save what `tensors()` returns if the last save was `interval` seconds ago; if that fails, only warn."""
        if time.monotonic() - self.saved >= self.interval:
            seconds = self.earlier + time.monotonic() - self.begun
            try:
                write_tensors(self.path, tensors(), {"key": self.key, "seconds": seconds})
            except FedmetaError as error:
                logger.warning("unfinished work could not be saved, continuing without: %s", error)
            self.saved = time.monotonic()

    def remove(self) -> None:
        """Delete the file: the work is finished."""
        with contextlib.suppress(OSError):  # a file that stays is resumed only for the same work
            self.path.unlink()


def fingerprint(settings: dict, files: Iterable[str | os.PathLike]) -> str:
    """Return a hash of settings (JSON) and of the contents of files: the key of the work that depends on them."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
