"""Raw images of any format, size and colour, made into squares of one size for a bank."""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from fedmeta.data.bank import ImageClass
from fedmeta.errors import FedmetaError
from fedmeta.progress import Progress

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")

# Only those of SUFFIXES, whatever a file's name: for some of the others that Pillow knows, it runs other programs.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")


class RawClass(NamedTuple):
    """A class before it is read: for each image, a function that returns uint8 (size, size, channels).

    `meta_testing` and `extra` are as in ImageClass.
    """

    name: str
    images: list[Callable[[], np.ndarray]]
    meta_testing: bool = False
    extra: int = 0


def read_classes(classes: Sequence[RawClass], what: str) -> tuple[Iterator[np.ndarray], list[ImageClass]]:
    """Return the images of the classes, read one by one on demand, and the class table."""
    table, first = [], 0
    for k, c in enumerate(classes):
        table.append(ImageClass(c.name, 0, k, first, len(c.images), int(c.meta_testing), c.extra))
        first += len(c.images)

    def images() -> Iterator[np.ndarray]:
        progress = Progress(f"reading {what}", first, unit="images")
        for c in classes:
            for read in c.images:
                yield read()
                progress.advance(1, c.name)

    return images(), table


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in `folder`, sorted by name, without hidden ones; none if it is missing."""
    with _readable(folder):
        inside = folder.iterdir() if folder.is_dir() else ()
        return sorted(path for path in inside if path.is_dir() and not path.name.startswith("."))


def image_files(folder: Path) -> list[Path]:
    """Return the images in `folder` itself, sorted by name, without hidden ones."""
    with _readable(folder):
        return sorted(path for path in folder.iterdir() if is_image(path.name) and path.is_file())


@contextlib.contextmanager
def _readable(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FedmetaError(f"{folder} cannot be read ({error.strerror}): change its permissions") from error


def is_image(name: str) -> bool:
    """Return whether a file's name is that of an image."""
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


@contextlib.contextmanager
def broken_images(what: str, remedy: str = "fix or remove it") -> Iterator[None]:
    """Raise FedmetaError naming `what` if the block finds that an image is broken or has too many pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    except Exception as error:  # for a broken file Pillow may raise any exception, even TypeError
        raise FedmetaError(f"{what} cannot be read as an image ({_reason(error)}): {remedy}") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"it is not {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
    most = Image.MAX_IMAGE_PIXELS
    if most and isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"it has more than {most / 10**6:.0f} million pixels"
    return str(error) or type(error).__name__


def open_image(data: bytes) -> Image.Image:
    """Return the image in the bytes of a file, in one of `FORMATS`, before its pixels are unpacked."""
    return Image.open(io.BytesIO(data), formats=FORMATS)


def decode(read: Callable[[], bytes], size: int, what: str) -> Image.Image:
    """Return the image in the bytes that `read` returns, in mode L or RGB, upright, on white where transparent.

    It will be resized to `size`, so a much larger JPEG is decoded at a half, a quarter or an eighth of its side, which
    is faster. Raises FedmetaError naming `what` if the image is broken.
    """
    with broken_images(what):
        image = open_image(read())
        image.draft(None, (2 * size, 2 * size))
        ImageOps.exif_transpose(image, in_place=True)
        return _plain(image)


def square(image: Image.Image, size: int, channels: int, crop: bool) -> np.ndarray:
    """Return uint8 (size, size, channels): the area mean, or a bicubic enlargement if the image is smaller.

    `crop`: take the largest centred square of an image that is not square; otherwise squeeze it.
    """
    shrink = min(image.size) >= size
    fit = ImageOps.fit if crop else Image.Image.resize
    resized = fit(image, (size, size), Image.Resampling.BOX if shrink else Image.Resampling.BICUBIC)
    return np.asarray(resized.convert("L" if channels == 1 else "RGB")).reshape(size, size, channels)


def _plain(image: Image.Image) -> Image.Image:
    """Return the image with 8 bits per channel, L or RGB."""
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers")
    if image.mode.startswith("I"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")
