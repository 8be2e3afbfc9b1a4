"""The data sets by name: each is read from its raw files to images of one size and a table of classes."""

from pathlib import Path

import numpy as np

from fedmeta.data.bank import ImageClass
from fedmeta.data.glyphs import render_glyphs
from fedmeta.data.omniglot import fetch_omniglot, read_omniglot
from fedmeta.errors import FedmetaError

NAMES = ("glyphs", "omniglot")


def read(name: str, raw: Path, size: int) -> tuple[np.ndarray, list[ImageClass]]:
    """Return images, uint8 (image, size, size, channels), and classes of the data set `name`, whose files are in `raw`.

    Raises FedmetaError for an unknown name, and for files that are missing or broken.
    """
    if name == "glyphs":
        return render_glyphs(size)
    if name == "omniglot":
        fetch_omniglot(raw)
        return read_omniglot(raw, size)
    raise FedmetaError(f"unknown data set {name!r}: choose from {', '.join(NAMES)}")
