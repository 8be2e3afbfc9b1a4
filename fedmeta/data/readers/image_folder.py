"""Your own images: a folder with one folder of images per class, grey or colour, of any size and number."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from fedmeta.data.bank import ImageClass
from fedmeta.data.class_names import check_class_name
from fedmeta.data.image_bytes import file_bytes
from fedmeta.data.raw_images import (
    SUFFIXES,
    RawClass,
    class_folders,
    decode,
    image_files,
    read_classes,
    square,
)
from fedmeta.errors import FedmetaError

DEPTH = 2  # CLASS/IMAGE
FILES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

# The channels of a grey image that was compressed as a colour one differ by no more than this.
COLOURLESS = 8


def read(raw: Path, size: int) -> tuple[Iterator[np.ndarray], list[ImageClass]]:
    """Return images and classes of `raw`/CLASS/IMAGE; classes and their images are sorted by name.

    Images: uint8 (size, size, channels), the largest centred square of each. If all are grey they have one channel, in
    which 255 is black as in Omniglot; otherwise three. Folders in a class's folder are ignored.

    Raises FedmetaError if `raw` has no class folders, or one without images or with a name that is not UTF-8. An image
    that cannot be read raises one, which names it, when it is read.
    """
    files = {folder: image_files(folder) for folder in class_folders(raw)}
    if not files:
        raise FedmetaError(f"{raw} has no class folders: put them there, or make it a link to a folder with them")
    for folder, images in files.items():
        check_class_name(folder.name, raw)
        if not images:
            raise FedmetaError(f"{folder} has no images ({', '.join(SUFFIXES)}): put images there or delete it")
    colour = any(_has_colour(path, size) for images in files.values() for path in images)
    read_one = _read_colour if colour else _read_grey
    classes = [RawClass(folder.name, [partial(read_one, path, size) for path in files[folder]]) for folder in files]
    return read_classes(classes, "image_folder")


def _read_colour(path: Path, size: int) -> np.ndarray:
    return square(_decode(path, size), size, 3, crop=True)


def _read_grey(path: Path, size: int) -> np.ndarray:
    return 255 - square(_decode(path, size), size, 1, crop=True)


def _has_colour(path: Path, size: int) -> bool:
    image = _decode(path, size)
    if image.mode == "L":
        return False
    return bool(np.ptp(np.asarray(image), axis=-1).max() > COLOURLESS)


def _decode(path: Path, size: int) -> Image.Image:
    return decode(partial(file_bytes, path), size, str(path))
