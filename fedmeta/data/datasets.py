"""A data set by its reader's name: raw files -> images of one size and a table of classes, both checked."""

import contextlib
import os
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fedmeta import plugins
from fedmeta.data.bank import ImageClass
from fedmeta.data.class_names import check_class_name
from fedmeta.errors import FedmetaError


def folder_of(dataset: str, raw_data: Path) -> Path:
    """Return the folder of a data set's raw files: named after it, with underscores or hyphens."""
    name = plugins.stem(dataset)
    folders = [raw_data / each for each in (name, name.replace("_", "-"))]
    return next(filter(os.path.lexists, folders), folders[0])


def read(dataset: str, raw_data: Path, size: int) -> tuple[Iterator[np.ndarray], list[ImageClass]]:
    """Return the images, uint8 (size, size, channels) each, and the classes of the data set that a reader reads.

    `dataset`: a module in `fedmeta/data/readers/`, or the path of a Python file. Images are read on demand.

    Raises FedmetaError for an unknown name, and for raw files that are missing or broken. If a reader fails or returns
    something else, the error names its file; for an image, it is raised when that image is read.
    """
    reader = plugins.load("reader", dataset)
    with _failures(dataset):
        result = reader.read(folder_of(dataset, raw_data), size)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], list)):
        raise _wrong(dataset, "read does not return images and a list of classes: return read_classes(...)")
    images, classes = result
    _check_classes(classes, dataset)
    return _checked(images, classes, dataset, size), classes


def _check_classes(classes: list[Any], dataset: str) -> None:
    """Raise FedmetaError unless classes have distinct names and their rows follow one another."""
    if not classes:
        raise _wrong(dataset, "read returns no classes: check its folder and what it looks for there")
    names, row = set(), 0
    for k, c in enumerate(classes):
        if not (isinstance(c, ImageClass) and isinstance(c.name, str)):
            raise _wrong(dataset, f"class {k} is not an ImageClass named by a string: return read_classes(...)")
        check_class_name(c.name, _file(dataset))
        if c.name in names:
            raise _wrong(dataset, f"two classes are named {c.name!r}: rename one of them")
        if c.own < 1 or c.extra < 0:
            raise _wrong(dataset, f"class {c.name!r} has no images of its own: leave it out")
        if (c.rotation, c.base, c.first) != (0, k, row):
            raise _wrong(dataset, f"class {c.name!r} does not follow the previous one: return read_classes(...)")
        names.add(c.name)
        row += c.examples


def _checked(images: Iterable[np.ndarray], classes: list[ImageClass], dataset: str, size: int) -> Iterator[np.ndarray]:
    """Yield the images; raise FedmetaError if there are too few or too many, or if one is not as it should be."""
    channels, end = plugins.constant("reader", dataset, "CHANNELS", None), object()
    with _failures(dataset):
        images = iter(images)
    for c in classes:
        for example in range(c.examples):
            with _failures(dataset):
                image: Any = next(images, end)
            if image is end:
                raise _wrong(dataset, f"class {c.name!r} has {example} images, its table says {c.examples}: fix read")
            allowed = [(size, size, each) for each in ((channels,) if channels else (1, 3))]
            if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.shape not in allowed:
                is_now = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
                wanted = " or ".join(map(str, allowed))
                raise _wrong(dataset, f"image {example} of class {c.name!r} is {is_now}: make it uint8 {wanted}")
            channels = image.shape[-1]
            yield image
    with _failures(dataset):
        left_over = next(images, end)
    if left_over is not end:
        raise _wrong(dataset, "read returns more images than its classes have: fix read")


@contextlib.contextmanager
def _failures(dataset: str) -> Iterator[None]:
    """Raise FedmetaError with the line at which a user's own reader failed; ours keep their traceback."""
    try:
        yield
    except FedmetaError:
        raise
    except Exception as error:
        if not plugins.is_own(dataset):
            raise
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == Path(dataset).resolve()]
        where = f"line {lines[-1]}: " if lines else ""
        raise _wrong(dataset, f"{where}{type(error).__name__}: {error}: fix the reader") from error


def _wrong(dataset: str, problem: str) -> FedmetaError:
    return FedmetaError(f"{_file(dataset)}: {problem}")


def _file(dataset: str) -> Path:
    return plugins.file_of("reader", dataset)
