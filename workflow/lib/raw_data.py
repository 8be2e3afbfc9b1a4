"""What is in the raw files: their content counts, not where they are."""

import hashlib
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path

from fedmeta import plugins
from fedmeta.data.datasets import folder_of, read
from fedmeta.errors import FedmetaError
from workflow.lib.digests import Digests
from workflow.lib.readers import Declared, constants_of


class RawData:
    """The raw files of each data set, under the folder `raw_data` of the config.

    A data set is named as in the config: by its reader. The reader's file declares which of its files count.
    """

    def __init__(self, folder: str | os.PathLike):
        self.folder, self.digests = Path(folder), Digests("md5")
        self.known: dict[str, dict[str, str]] = {}

    def contents(self, dataset: str) -> dict[str, str]:
        """Return what is in the raw files of a data set, never where they are; {} if there are none.

        Raises FedmetaError for a broken link, a link to a folder that contains it, and a file that cannot be read.
        """
        if dataset not in self.known:
            try:
                self.known[dataset] = self._contents(dataset)
            except OSError as error:
                problem = "is a broken link" if os.path.islink(error.filename) else f"cannot be read: {error.strerror}"
                raise FedmetaError(f"{error.filename} {problem}: fix or remove it") from error
            self.digests.save()
        return self.known[dataset]

    def missing(self, dataset: str) -> list[str]:
        """Return the raw files of a data set that are not there and would be downloaded."""
        folder = folder_of(dataset, self.folder)
        paths = [folder / name for name in constants_of(dataset).PUBLISHED or {}]
        return [str(path) for path in paths if not path.exists() and not path.with_suffix("").exists()]

    def require(self, dataset: str, size: int) -> None:
        """Raise FedmetaError, before anything is made or deleted, if the data set's raw files are not there."""
        if constants_of(dataset).PUBLISHED is None and not self.contents(dataset):
            read(dataset, self.folder, size)  # its own error says better what it needs
            raise FedmetaError(
                f"{folder_of(dataset, self.folder)} holds no raw files: put them there, or write PUBLISHED = {{}} into "
                f"{plugins.file_of('reader', dataset)} if it needs none"
            )

    def _contents(self, dataset: str) -> dict[str, str]:
        reader, folder = constants_of(dataset), folder_of(dataset, self.folder)
        if reader.PUBLISHED != {}:
            _follow(self.folder)
            _follow(folder)
        if reader.PUBLISHED is not None:
            return {name: self._archive(folder / name, md5, reader) for name, md5 in reader.PUBLISHED.items()}
        files = sorted(self._files(str(folder), reader, reader.DEPTH or math.inf)) if os.path.lexists(folder) else []
        return {"files": md5_of(files)} if files else {}

    def _archive(self, path: Path, published: str, reader: Declared) -> str:
        """Return the MD5 of an archive, or of the files in the folder extracted from it, or the published MD5."""
        extracted = path.with_suffix("")
        _follow(path)
        _follow(extracted)
        if path.is_file():
            return self.digests.of(path)
        if extracted.exists():
            return md5_of(sorted(self._files(str(extracted), reader, reader.DEPTH or math.inf)))
        return published

    def _files(
        self, folder: str, reader: Declared, depth: float, prefix: str = "", above: tuple[str, ...] = ()
    ) -> Iterator[tuple[str, str]]:
        """Yield the path of each raw file in a folder and what tells its content; large files are not read whole."""
        above = (*above, os.path.realpath(folder))
        for entry in os.scandir(folder):
            path, suffix = prefix + entry.name, os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if entry.is_symlink():
                _follow(entry.path)
                if os.path.realpath(entry.path) in above:
                    raise FedmetaError(f"{entry.path} is a link to a folder that contains it: remove it")
            if entry.is_dir():
                yield from self._files(entry.path, reader, depth - 1, path + "/", above) if depth > 1 else ()
            elif entry.is_file():  # reading a pipe would wait
                if suffix in reader.LARGE:
                    yield path, size_and_ends(entry.path)
                elif reader.FILES is None or suffix in reader.FILES:
                    yield path, self.digests.of(entry.path)


def _follow(path: str | os.PathLike) -> None:
    """Raise OSError for a broken link, which readers take for no file at all: its images would be left out."""
    if os.path.islink(path):
        os.stat(path)


def size_and_ends(path: str) -> str:
    """Return a hash of a file's size and ends. A zip archive's last megabytes hold the checksums of all its files."""
    size, some = os.path.getsize(path), 8_000_000
    with open(path, "rb") as file:
        ends = file.read(some)
        file.seek(max(0, size - some))
        return f"{size} {hashlib.md5(ends + file.read()).hexdigest()}"


def md5_of(value: object) -> str:
    """Return the MD5 of a value as JSON."""
    return hashlib.md5(json.dumps(value).encode()).hexdigest()
