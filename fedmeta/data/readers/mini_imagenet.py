"""mini-ImageNet (Vinyals et al. 2016): 100 classes of 600 colour images of 84 x 84 pixels.

The split is that of Ravi and Larochelle (2017): 64 classes for meta-training, 20 for meta-testing. Their 16 validation
classes are not used.
"""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from fedmeta.data.bank import ImageClass
from fedmeta.data.class_names import check_class_name
from fedmeta.data.image_bytes import file_bytes, zip_members
from fedmeta.data.mini_imagenet_pickles import find_pickle, read_pickle
from fedmeta.data.raw_images import (
    RawClass,
    class_folders,
    decode,
    image_files,
    is_image,
    read_classes,
    square,
)
from fedmeta.errors import FedmetaError

CHANNELS = 3
DEPTH = 3  # PART/CLASS/IMAGE
FILES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")
LARGE = (".zip", ".csv", ".pkl", ".pickle")

PARTS = ("train", "test")

# A function that reads an image, by its path in the archive or folder.
Files = dict[PurePosixPath, Callable[[], bytes]]


def read(raw: Path, size: int) -> tuple[Iterator[np.ndarray], list[ImageClass]]:
    """Return images, uint8 (size, size, 3), and classes: those of train first, in each part by name.

    `raw` has one of three layouts: images.zip or images/ with train.csv and test.csv (columns filename, label); class
    folders, as train/CLASS/ and test/CLASS/ or with the csv files; the pickles that `read_pickle` knows. The classes of
    test are set apart for meta-testing. Images in `raw`/extra/CLASS/ come after the class's own. Images that are not
    square are squeezed, as in mini-ImageNet itself.

    If several files have the same name, a class listed in the csv files gets the one in the folder named after the
    class. Raises FedmetaError if none of the layouts is there, if an image is missing or there twice, or if a class is
    in both parts or has no images. An image that cannot be read raises one, which names it, when it is read.
    """
    if find_pickle(raw, "train"):
        classes = _from_pickles(raw, size)
    elif (raw / "train.csv").exists():
        classes = _from_lists(raw, size)
    else:
        classes = _from_folders(raw, size)
    if len({c.meta_testing for c in classes}) < len(PARTS):
        raise FedmetaError(
            f"mini-ImageNet is not in {raw}, and there is no official download: put there (1) images.zip or images/ "
            "with train.csv and test.csv of Ravi and Larochelle, or (2) class folders, train/CLASS/*.jpg and "
            "test/CLASS/*.jpg, or (3) mini-imagenet-cache-train.pkl and mini-imagenet-cache-test.pkl"
        )
    _check(classes, raw)
    return read_classes(_with_extra_images(classes, raw / "extra", size), "mini-ImageNet")


def _check(classes: list[RawClass], raw: Path) -> None:
    """Raise FedmetaError for a class without images, or in both parts: it would be trained on and tested on."""
    for c in classes:
        check_class_name(c.name, raw)
        if not c.images:
            raise FedmetaError(f"{raw}: class {c.name} is listed without images: add images or remove it")
    train, test = ({c.name for c in classes if c.meta_testing == part} for part in (False, True))
    if both := sorted(train & test):
        raise FedmetaError(f"{raw}: class {both[0]} is in both train and test: remove it from one of them")


def _from_pickles(raw: Path, size: int) -> list[RawClass]:
    classes = []
    for part in PARTS:
        path = find_pickle(raw, part)
        if path is None:
            return []
        images, rows = read_pickle(path)
        for name in sorted(rows):
            readers = [partial(_resize, images[row], size) for row in rows[name]]
            classes.append(RawClass(name, readers, part == "test"))
    return classes


def _from_lists(raw: Path, size: int) -> list[RawClass]:
    where, files = _find_files(raw)
    if not files:
        return []
    lists = {part: _read_list(raw / f"{part}.csv") for part in PARTS}
    by_name, by_folder = defaultdict(list), defaultdict(list)
    for path in files:
        by_name[path.name].append(path)
        by_folder[path.parent.name].append(path)
    not_used = _read_list(raw / "val.csv") if (raw / "val.csv").exists() else {}
    labels = {*not_used, *(name for classes in lists.values() for name in classes)}
    classes, owners = [], {}
    for part, listed_classes in lists.items():
        for name, listed in listed_classes.items():
            found = [_of_class(name, by_name[file], labels, where) for file in listed]
            if None in found and name not in by_folder:
                raise FedmetaError(
                    f"{where} lacks {listed[found.index(None)]} from {part}.csv: put it there or fix {part}.csv"
                )
            there = [path for path in found if path is not None]
            paths = there if len(there) == len(found) else by_folder[name]
            for path in paths:
                if owners.setdefault(path, name) != name:
                    raise FedmetaError(
                        f"{where}: {path} is listed for both class {owners[path]} and class {name}: list it for one"
                    )
            classes.append(_raw_class(name, {path: files[path] for path in paths}, size, where, part))
    return classes


def _of_class(name: str, paths: list[PurePosixPath], labels: set[str], where: Path) -> PurePosixPath | None:
    """Return the class's file among those of the same name: one in its folder, else one in no class's folder."""
    own = [path for path in paths if path.parent.name == name]
    own = own or [path for path in paths if path.parent.name not in labels]
    if len(own) > 1:
        raise FedmetaError(
            f"{where}: {own[0]} and {own[1]} have the same name, listed for class {name}: keep one of them, or put "
            f"the class's own into a folder {name}"
        )
    return own[0] if own else None


def _from_folders(raw: Path, size: int) -> list[RawClass]:
    where, files = _find_files(raw)
    by_class = defaultdict(dict)
    for path, read_file in files.items():
        if len(path.parts) > 2 and path.parts[-3] in PARTS:
            by_class[path.parts[-3:-1]][path] = read_file
    order = sorted(by_class, key=lambda key: (PARTS.index(key[0]), key[1]))
    return [_raw_class(name, by_class[part, name], size, where, part) for part, name in order]


def _raw_class(name: str, files: Files, size: int, where: Path, part: str) -> RawClass:
    readers = [partial(_read, files[path], size, f"{where}: {path}") for path in sorted(files)]
    return RawClass(name, readers, part == "test")


def _find_files(raw: Path) -> tuple[Path, Files]:
    """Return the archive or folder, and the images in it."""
    archive = raw / "images.zip"
    if archive.exists():
        members = zip_members(archive, lambda name: _is_shown_image(PurePosixPath(name)))
        return archive, {PurePosixPath(name): read_file for name, read_file in members.items()}
    inside = [PurePosixPath(path.relative_to(raw)) for depth in ("*/*", "*/*/*") for path in raw.glob(depth)]
    shown = [path for path in inside if path.parts[0] != "extra" and _is_shown_image(path)]
    return raw, {path: partial(file_bytes, raw / path) for path in shown if (raw / path).is_file()}


def _is_shown_image(path: PurePosixPath) -> bool:
    return is_image(path.name) and not any(part.startswith(".") for part in path.parts)


def _read_list(path: Path) -> dict[str, list[str]]:
    """Return the names of each class's files, by class, sorted by the class's name."""
    listed = defaultdict(list)
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            for row in table:
                if not (row["label"] and row["filename"]):
                    raise FedmetaError(f"{path} is truncated or damaged in line {table.line_num}: fetch it again")
                listed[row["label"]].append(row["filename"])
    except FileNotFoundError as error:
        raise FedmetaError(f"{path} is missing: put the one of Ravi and Larochelle there") from error
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise FedmetaError(f"{path} is not a table with the columns filename and label: fetch it again") from error
    return dict(sorted(listed.items()))


def _with_extra_images(classes: list[RawClass], folder: Path, size: int) -> list[RawClass]:
    """Return the classes with the images of `folder`/CLASS/ appended."""
    by_name = {c.name: c for c in classes}
    for of_class in class_folders(folder):
        if of_class.name not in by_name:
            raise FedmetaError(f"{of_class}: mini-ImageNet has no class with this name: rename or delete the folder")
        extra = [partial(_read, partial(file_bytes, path), size, str(path)) for path in image_files(of_class)]
        c = by_name[of_class.name]
        by_name[c.name] = c._replace(images=c.images + extra, extra=len(extra))
    return list(by_name.values())


def _read(read_file: Callable[[], bytes], size: int, what: str) -> np.ndarray:
    return square(decode(read_file, size, what), size, 3, crop=False)


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    return square(Image.fromarray(image), size, 3, crop=False)
