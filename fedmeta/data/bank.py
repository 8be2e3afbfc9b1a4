"""Images of many classes as one memory-mapped array and a table of its classes."""

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path


class ImageClass(NamedTuple):
    """One class of a bank: its images are the rows `first` to `first + examples - 1`."""

    name: str
    rotation: int  # degrees, counter-clockwise
    base: int  # index of the class before rotation
    first: int
    examples: int
    meta_testing: int = 0  # 1: the data set itself sets the class apart for meta-testing
    extra: int = 0  # how many of the examples, at the end, are further images besides the data set's own

    @property
    def own(self) -> int:
        """How many of the examples are the data set's own."""
        return self.examples - self.extra


@dataclass(frozen=True)
class Images:
    """Images named by array and row. Their pixels are gathered where they are needed: for a GPU, on the device.

    `sources`: uint8 arrays (image, height, width, channels); `source` and `row` of each image: int64 (n,).
    NumPy functions treat it as the array of its pixels, uint8 (n, height, width, channels).
    """

    sources: tuple[np.ndarray, ...]
    source: np.ndarray
    row: np.ndarray

    @classmethod
    def joined(cls, parts: Sequence["Images"]) -> "Images":
        """Return the images of all parts, in order."""
        shift = np.cumsum([0, *(len(part.sources) for part in parts)])
        return cls(
            tuple(source for part in parts for source in part.sources),
            np.concatenate([part.source + first for part, first in zip(parts, shift, strict=False)]),
            np.concatenate([part.row for part in parts]),
        )

    def __len__(self) -> int:
        return len(self.row)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        pixels = np.empty((len(self), *self.sources[0].shape[1:]), np.uint8)
        for number, images in enumerate(self.sources):
            own = self.source == number
            pixels[own] = images[self.row[own]]
        return pixels if dtype is None else pixels.astype(dtype)


class ImageBank:
    """Images of one size, stored class by class; classes may have different numbers of examples.

    `images`: uint8, (image, height, width, channels), read-only and memory-mapped, so processes share one copy.
    `classes`: a tuple of ImageClass, in the order of their rows.
    """

    def __init__(self, images: np.ndarray, classes: Iterable[ImageClass]) -> None:
        self.images = images
        self.classes = tuple(classes)

    @classmethod
    def open(cls, images_path: str | os.PathLike, classes_path: str | os.PathLike) -> "ImageBank":
        """Return the bank stored in the two files.

        Raises FedmetaError naming a file that is missing, truncated or not made by `write_bank`.
        """
        images = _open_images(images_path)
        classes = _read_classes(classes_path)
        if not _covers(classes, len(images)):
            raise FedmetaError(f"{classes_path} does not belong to {images_path}: delete both and run again")
        return cls(images, classes)

    def class_of(self, row: int) -> ImageClass:
        """Return the class of an image."""
        return next(c for c in self.classes if row < c.first + c.examples)

    def at(self, rows: np.ndarray) -> Images:
        """Return the images of these rows, int64 (n,), without reading them."""
        return Images((self.images,), np.zeros(len(rows), np.int64), rows)

    def rows(self, k: int) -> np.ndarray:
        """Return the image rows of class `k`: int64, (example,)."""
        return self.classes[k].first + np.arange(self.classes[k].examples)


def write_bank(
    images_path: str | os.PathLike,
    classes_path: str | os.PathLike,
    images: Iterable[np.ndarray],
    classes: Iterable[ImageClass],
) -> None:
    """Write a bank's two files, each atomically.

    `images`: uint8 images (height, width, channels), class by class: an array, or an iterator if the bank is too
    large for memory.

    Raises FedmetaError if the disk is full; ValueError if images and classes do not match.
    """
    classes = tuple(classes)
    count = sum(c.examples for c in classes)
    images = iter(images)
    first = np.asarray(next(images))
    # Written as a stream, not through a memory map, so that a full disk is an error instead of a crash.
    with atomic_path(images_path) as temporary, open(temporary, "wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (count, *first.shape)}
        np.lib.format.write_array_header_1_0(file, header)
        written = 0
        for image in chain([first], images):
            if image.dtype != np.uint8 or image.shape != first.shape or image.ndim != 3:
                raise ValueError(f"image {written} is {image.dtype} {image.shape}, the first is {first.shape}")
            file.write(np.ascontiguousarray(image).data)
            written += 1
        if written != count or not _covers(classes, count):
            raise ValueError(f"the classes' rows do not cover the {written} images one after the other")
    with atomic_path(classes_path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(ImageClass._fields)
        table.writerows(classes)


def _covers(classes: Iterable[ImageClass], images: int) -> bool:
    """Return whether the classes' rows cover all images, one class after the other."""
    row = 0
    for c in classes:
        if c.first != row or c.examples < 1:
            return False
        row += c.examples
    return row == images


def _open_images(path: str | os.PathLike) -> np.ndarray:
    try:
        # Unlike np.load, this opens nothing but a plain array: neither archives nor pickled objects.
        images = np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError as error:
        raise FedmetaError(f"{path} is missing: run the stage that prepares the images") from error
    except (ValueError, EOFError) as error:
        raise _not_a_bank(path) from error
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape or np.isfortran(images):
        raise _not_a_bank(path)
    return images


def _read_classes(path: str | os.PathLike) -> list[ImageClass]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        if header != list(ImageClass._fields):
            raise _not_a_bank(path)
        return [ImageClass(name, *map(int, numbers)) for name, *numbers in rows]
    except FileNotFoundError as error:
        raise FedmetaError(f"{path} is missing: run the stage that prepares the images") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise _not_a_bank(path) from error


def _not_a_bank(path: str | os.PathLike) -> FedmetaError:
    return FedmetaError(f"{Path(path)} is not an image bank: delete it and run again")
