"""What is in the raw files: their content counts, not where they are."""

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from fedmeta.data.datasets import read
from fedmeta.errors import FedmetaError
from workflow.lib.digests import Digests

# The raw files that can be downloaded, with the MD5 of what is published: where one is missing, just that is.
PUBLISHED = {
    "glyphs": {},
    "omniglot": {
        "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
        "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
    },
}
# Those that users put there themselves, with how deep in the folder they are looked for.
LOCAL = {"mini_imagenet": 3, "image_folder": 2}
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LARGE = (".zip", ".csv", ".pkl", ".pickle")


class RawData:
    """The raw files of each data set, under the folder `raw_data` of the config."""

    def __init__(self, folder: str | os.PathLike):
        self.folder, self.digests = Path(folder), Digests("md5")
        self.known: dict[str, dict[str, str]] = {}

    def folder_of(self, dataset: str) -> Path:
        """Return the folder of a data set's raw files: of its name, or with a hyphen for the underscore."""
        folders = [self.folder / name for name in (dataset, dataset.replace("_", "-"))]
        return next(filter(Path.exists, folders), folders[0])

    def contents(self, dataset: str) -> dict[str, str]:
        """Return what is in the raw files of a data set, never where they are; nothing where there are none.

        Raises FedmetaError for a link to nothing and for a file that cannot be read.
        """
        if dataset not in self.known:
            try:
                self.known[dataset] = self._contents(dataset)
            except OSError as error:
                problem = (
                    "is a link to nothing" if os.path.islink(error.filename) else f"cannot be read: {error.strerror}"
                )
                raise FedmetaError(f"{error.filename} {problem}: fix or remove it") from error
            self.digests.save()
        return self.known[dataset]

    def missing(self, dataset: str) -> list[str]:
        """Return the raw files of a data set that are not there and would be downloaded."""
        folder = self.folder_of(dataset)
        there = {
            name: (folder / name).exists() or (folder / name).with_suffix("").exists() for name in PUBLISHED[dataset]
        }
        return [str(folder / name) for name, is_there in there.items() if not is_there]

    def require(self, dataset: str, size: int) -> None:
        """Raise FedmetaError, before anything is made or unmade, if nobody has put the data set's raw files there."""
        if dataset in LOCAL and not self.contents(dataset):
            read(dataset, self.folder, size)

    def _contents(self, dataset: str) -> dict[str, str]:
        if dataset in PUBLISHED:
            return {name: self._archive(dataset, name) for name in PUBLISHED[dataset]}
        files = sorted(self._files(str(self.folder_of(dataset)), LOCAL[dataset]))
        return {"files": md5_of(files)} if files else {}

    def _archive(self, dataset: str, name: str) -> str:
        """Return the MD5 of an archive, or of the images in the folder extracted from it, or what is published."""
        path = self.folder_of(dataset) / name
        extracted = path.with_suffix("")
        if path.is_file():
            return self.digests.of(path)
        if extracted.exists():
            return md5_of(
                sorted((str(file.relative_to(extracted)), self.digests.of(file)) for file in extracted.rglob("*.png"))
            )
        return PUBLISHED[dataset][name]

    def _files(self, folder: str, depth: int, prefix: str = "") -> Iterator[tuple[str, str]]:
        """Yield the path of each raw file in a folder and what tells its content; large files are not read whole."""
        for entry in os.scandir(folder) if os.path.isdir(folder) else ():
            path, suffix = prefix + entry.name, os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._files(entry.path, depth - 1, path + "/") if depth > 1 else ()
            elif suffix in IMAGES:
                yield path, self.digests.of(entry.path)
            elif suffix in LARGE:
                yield path, size_and_ends(entry.path)


def size_and_ends(path: str) -> str:
    """Return a hash of a file's size and ends. A zip archive's last megabytes have all its files' checksums."""
    size, some = os.path.getsize(path), 8_000_000
    with open(path, "rb") as file:
        ends = file.read(some)
        file.seek(max(0, size - some))
        return f"{size} {hashlib.md5(ends + file.read()).hexdigest()}"


def md5_of(value: object) -> str:
    """Return the MD5 of a value as JSON."""
    return hashlib.md5(json.dumps(value).encode()).hexdigest()
