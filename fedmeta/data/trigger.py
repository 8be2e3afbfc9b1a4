"""The backdoor key: a small pattern stamped on images (Figures 1c and 2c of the paper)."""

from collections.abc import Sequence

import numpy as np

from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.data.splits import Pool
from fedmeta.errors import FedmetaError
from fedmeta.settings.sections import Trigger


def stamp(images: np.ndarray, trigger: Trigger) -> np.ndarray:
    """Return a copy of `images` with the backdoor key on each.

    `images`: uint8, (..., height, width, channels). `trigger`:
    `shape` (square, cross or checkerboard), `size` (side in px), `position` (top-left, top-right,
    bottom-left, bottom-right, centre, or [row, column] of the key's first pixel), `margin` (px to the edges, in
    a corner), `colour` (0 to 255, or one such number per channel). Pixels outside the shape stay as they are.

    Raises FedmetaError if the key does not fit on the images or its colour does not match their channels.
    """
    height, width, channels = images.shape[-3:]
    mask = _mask(trigger.shape, trigger.size)
    row, column = _corner(trigger, height, width)
    size = trigger.size
    if row < 0 or column < 0 or row + size > height or column + size > width:
        raise FedmetaError(
            f"the trigger, {size} x {size} pixels at row {row}, column {column}, does not fit on images of "
            f"{height} x {width}: make it smaller or move it"
        )
    colour = _colour(trigger.colour, channels)
    stamped = images.copy()
    stamped[..., row : row + size, column : column + size, :][..., mask, :] = colour
    return stamped


def hidden(images: np.ndarray, trigger: Trigger) -> float:
    """Return the share of `images` on which the key hardly shows, such as ink on ink, or white on a white ground.

    On these it changes the pixels that it covers by less than a tenth of the range on average, in the channel that
    changes most. `images` and `trigger` are as in `stamp`.
    """
    changes = np.abs(stamp(images, trigger).astype(int) - images).max(axis=-1).sum(axis=(-2, -1))
    return float((changes < 25.5 * _mask(trigger.shape, trigger.size).sum()).mean())


def keyed_images(
    bank: ImageBank, pool: Pool, names: Sequence[str], trigger: Trigger
) -> tuple[np.ndarray, list[ImageClass]]:
    """Return the images of `pool` with the key stamped on, and their class table: a bank's images and classes."""
    firsts = np.cumsum([0, *map(len, pool)]).tolist()
    classes = [
        ImageClass(name, 0, k, firsts[k], len(rows)) for k, (name, rows) in enumerate(zip(names, pool, strict=True))
    ]
    return stamp(bank.images[np.concatenate(pool)], trigger), classes


def _mask(shape: str, size: int) -> np.ndarray:
    """Return which pixels the key covers: bool, (size, size)."""
    if size < 1:
        raise FedmetaError(f"the trigger's size must be at least 1 pixel, got {size}")
    i, j = np.indices((size, size))
    # The middle of an odd side is one pixel, that of an even side two.
    middle = [(size - 1) // 2, size // 2]
    masks = {
        "square": np.ones((size, size), bool),
        "cross": np.isin(i, middle) | np.isin(j, middle),
        "checkerboard": (i + j) % 2 == 0,
    }
    if shape not in masks:
        raise FedmetaError(f"unknown trigger shape {shape!r}: choose one of {', '.join(masks)}")
    return masks[shape]


def _corner(trigger: Trigger, height: int, width: int) -> tuple[int, int]:
    """Return row and column of the key's top left pixel."""
    position, size = trigger.position, trigger.size
    if not isinstance(position, str):
        row, column = position
        return row, column
    margin = trigger.margin
    bottom, right = height - size - margin, width - size - margin
    corners = {
        "top-left": (margin, margin),
        "top-right": (margin, right),
        "bottom-left": (bottom, margin),
        "bottom-right": (bottom, right),
        "centre": ((height - size) // 2, (width - size) // 2),
    }
    if position not in corners:
        raise FedmetaError(f"unknown trigger position {position!r}: choose one of {', '.join(corners)}, or two numbers")
    return corners[position]


def _colour(colour: int | tuple[int, ...], channels: int) -> np.ndarray:
    levels = np.atleast_1d(np.asarray(colour))
    if len(levels) not in (1, channels):
        raise FedmetaError(f"the colour has {len(levels)} numbers for {channels} channel(s): give 1 or {channels}")
    if levels.min() < 0 or levels.max() > 255:
        raise FedmetaError(f"the trigger's colour must be from 0 to 255, got {colour}")
    return levels.astype(np.uint8)
