"""Rotations as classes of their own."""

from collections.abc import Iterator, Sequence

import numpy as np

from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.errors import FedmetaError


def rotate_classes(bank: ImageBank, rotations: Sequence[int]) -> tuple[Iterator[np.ndarray], list[ImageClass]]:
    """Return the images and the table of a bank in which each rotation of each class is a class of its own.

    `rotations`: degrees, counter-clockwise, multiples of 90. Classes follow one another by base class, then by
    rotation (the paper's Section 3: four times the classes for Omniglot). Images are an iterator of uint8
    (height, width, channels), for `write_bank`, so that they need not fit in memory.

    Raises FedmetaError for other angles, and for quarter turns of images that are not square.
    """
    height, width = bank.images.shape[1:3]
    turns = [degrees // 90 for degrees in rotations]
    if not turns or any(degrees % 90 for degrees in rotations) or len({t % 4 for t in turns}) < len(turns):
        raise FedmetaError(f"rotations must be distinct multiples of 90 degrees, got {list(rotations)}")
    if height != width and any(t % 2 for t in turns):
        raise FedmetaError(f"images of {height} x {width} pixels cannot be rotated by 90 degrees: choose 0 and 180")

    classes, row = [], 0
    for k, c in enumerate(bank.classes):
        for degrees in rotations:
            classes.append(c._replace(rotation=degrees, base=k, first=row))
            row += c.examples

    def images() -> Iterator[np.ndarray]:
        for k in range(len(bank.classes)):
            upright = bank.images[bank.rows(k)]
            for t in turns:
                yield from np.rot90(upright, t, axes=(1, 2))

    return images(), classes
