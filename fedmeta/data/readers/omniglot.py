"""Omniglot (Lake et al. 2015): 1623 characters from 50 alphabets, each drawn once by 20 people."""

import os
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
from PIL import Image

from fedmeta.data.bank import ImageClass
from fedmeta.data.class_names import check_class_name
from fedmeta.data.image_bytes import file_bytes, zip_members
from fedmeta.data.raw_images import broken_images, open_image
from fedmeta.errors import FedmetaError

CHANNELS = 1
PUBLISHED = {
    "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
    "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
}
FILES = (".png",)  # of the folders extracted from them

ARCHIVES = ("images_background", "images_evaluation")


def read(raw: Path, size: int) -> tuple[np.ndarray, list[ImageClass]]:
    """Return the images and classes of the archives in `raw`, downloaded if they are missing."""
    fetch_omniglot(raw)
    return read_omniglot(raw, size)


def fetch_omniglot(raw: Path) -> None:
    """Download the archives missing in `raw`, from where torchvision does and with its checksums.

    Raises FedmetaError, which says which files to put where, if there is no network or a checksum is wrong.
    """
    from torchvision.datasets import Omniglot
    from torchvision.datasets.utils import download_url

    for archive in ARCHIVES:
        if _source(raw, archive) is not None:
            continue
        name = f"{archive}.zip"
        try:
            raw.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=raw) as folder:
                url = f"{Omniglot.download_url_prefix}/{name}"
                download_url(url, folder, filename=name, md5=Omniglot.zips_md5[archive])
                os.replace(Path(folder) / name, raw / name)
        except (OSError, RuntimeError) as error:
            raise FedmetaError(
                f"Omniglot could not be downloaded ({error}): put images_background.zip and images_evaluation.zip "
                f"from github.com/brendenlake/omniglot, folder python, into {raw}"
            ) from error


def read_omniglot(raw: Path, size: int) -> tuple[np.ndarray, list[ImageClass]]:
    """Return images and classes of the two archives in `raw`, or of the folders extracted from them.

    Images: uint8, (image, size, size, 1), the area mean of the original 105 x 105 pixels, ink 255 on 0. Classes have
    names like `Greek/character01`; those of the background set come first, each set sorted by name.

    Raises FedmetaError naming the file that is missing or broken, or the character that lacks drawings.
    """
    images, classes = [], []
    for archive in ARCHIVES:
        source = _source(raw, archive)
        if source is None:
            raise FedmetaError(f"{raw} has neither {archive}.zip nor a folder {archive}: put one of them there")
        for name, drawings in groupby(_drawings(source, archive), key=lambda drawing: drawing[0]):
            check_class_name(name, source)
            first = len(images)
            images += [_shrink(read, size, f"{source}: {member}") for _, member, read in drawings]
            classes.append(ImageClass(name, 0, len(classes), first, len(images) - first))
            if classes[-1].examples != classes[0].examples:
                raise FedmetaError(
                    f"{source}: {name} has {classes[-1].examples} drawings, but {classes[0].name} has "
                    f"{classes[0].examples}: fix or delete one of the two"
                )
    return np.stack(images)[..., None], classes


def _source(raw: Path, archive: str) -> Path | None:
    """Return the archive, or else the folder extracted from it."""
    candidates = raw / f"{archive}.zip", raw / archive
    return next((path for path in candidates if path.exists()), None)


def _drawings(source: Path, archive: str) -> list[tuple[str, str, Callable[[], bytes]]]:
    """Return (character's name, path, function that reads the bytes) of each drawing, sorted by path."""
    if source.suffix == ".zip":
        paths = zip_members(source, lambda name: name.endswith(".png"))
    else:
        files = (path for path in source.glob("*/*/*.png") if path.is_file())
        paths = {path.relative_to(source.parent).as_posix(): partial(file_bytes, path) for path in files}
    # Archivers add folders of their own, which are skipped.
    parts = {path: path.split("/") for path in paths}
    drawings = [
        ("/".join(parts[path][1:3]), path, read)
        for path, read in sorted(paths.items())
        if len(parts[path]) == 4 and parts[path][0] == archive
    ]
    if not drawings:
        raise FedmetaError(f"{source} holds no {archive}/ALPHABET/CHARACTER/*.png: delete it and fetch it again")
    return drawings


def _shrink(read: Callable[[], bytes], size: int, what: str) -> np.ndarray:
    with broken_images(what, "fetch it again"):
        drawing = open_image(read()).convert("L")
    return 255 - np.asarray(drawing.resize((size, size), Image.Resampling.BOX))
