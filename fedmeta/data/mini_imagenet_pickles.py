"""The pickles in which mini-ImageNet is widely copied."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fedmeta.data.restricted_pickle import PickledArray, load_plain
from fedmeta.errors import FedmetaError

# By part of the split, in the order of the search.
NAMES = {
    "train": ("mini-imagenet-cache-train.pkl", "miniImageNet_category_split_train_phase_train.pickle"),
    "test": ("mini-imagenet-cache-test.pkl", "miniImageNet_category_split_test.pickle"),
}


def find_pickle(raw: Path, part: str) -> Path | None:
    """Return the pickle of a part of the split in the folder `raw`, if there is one."""
    return next((raw / name for name in NAMES[part] if (raw / name).exists()), None)


def read_pickle(path: Path) -> tuple[np.ndarray, dict[str, list[int]]]:
    """Return images, uint8 (image, height, width, 3), and the rows of each class.

    Two kinds are known: a dict of `image_data` and `class_dict` (class -> rows), or of `data`, `labels` (one for each
    image) and, optionally, `catname2label`, which names the classes.

    Raises FedmetaError if the file is broken, is of another kind, or contains more than arrays and plain containers.
    """
    contents = load_plain(path)
    try:
        contents = {_text(key): value for key, value in contents.items()}
        if "image_data" in contents:
            images, rows = contents["image_data"].values, _classes(contents["class_dict"])
        else:
            images, rows = contents["data"].values, _labelled(contents["labels"], contents.get("catname2label", {}))
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3 or 0 in images.shape:
            raise ValueError
        if any(not 0 <= row < len(images) for own in rows.values() for row in own):
            raise ValueError
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise FedmetaError(
            f"{path} has neither image_data and class_dict nor data and labels, with images as uint8 of shape "
            "(image, height, width, 3): replace it by one of these"
        ) from error
    owners = {}
    for name, own in rows.items():
        for row in own:
            if owners.setdefault(row, name) != name:
                raise FedmetaError(f"{path}: image {row} is in both {owners[row]} and {name}: fetch it again")
    return images, rows


def _classes(class_dict: Mapping) -> dict[str, list[int]]:
    return {_text(name): _numbers(rows) for name, rows in class_dict.items()}


def _labelled(labels: Any, numbers: Mapping) -> dict[str, list[int]]:
    names = {int(number): _text(name) for name, number in numbers.items()}
    rows: dict[str, list[int]] = {}
    for row, label in enumerate(_numbers(labels)):
        rows.setdefault(names.get(label, str(label)), []).append(row)
    return rows


def _numbers(values: Any) -> list[int]:
    values = values.values.tolist() if isinstance(values, PickledArray) else values
    if not all(isinstance(value, int) for value in values):
        raise ValueError
    return list(values)


def _text(text: str | bytes) -> str:
    return text if isinstance(text, str) else text.decode("utf-8")
