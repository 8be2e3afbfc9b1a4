"""The data sets by name: each is read from its raw files to images of one size and a table of classes."""

import importlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fedmeta.data.bank import ImageClass
from fedmeta.errors import FedmetaError

# Each is read by the module of its name, which is not imported here: an edit of one invalidates no other.
NAMES = ("glyphs", "omniglot", "mini_imagenet", "image_folder")


def read(name: str, raw_data: Path, size: int) -> tuple[Iterable[np.ndarray], list[ImageClass]]:
    """Return images, uint8 (size, size, channels) each, and classes of the data set `name`.

    Its files are in the folder of its name in `raw_data`, where a hyphen may stand for the underscore.

    Raises FedmetaError for an unknown name, and for files that are missing or broken.
    """
    if name not in NAMES:
        raise FedmetaError(f"unknown data set {name!r}: choose from {', '.join(NAMES)}")
    folders = raw_data / name, raw_data / name.replace("_", "-")
    raw = next((folder for folder in folders if folder.exists()), folders[0])
    return importlib.import_module(f"fedmeta.data.readers.{name}").read(raw, size)
