"""The attack at a glance: target, backdoor classes, key and attack training set (Figures 1 and 2)."""

import os
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from fedmeta.data.bank import ImageBank
from fedmeta.data.splits import Split
from fedmeta.data.trigger import stamp
from fedmeta.files import atomic_path
from fedmeta.settings.sections import Trigger

COLUMNS = 10
MOST_ROWS = 6
INCHES = 0.62  # side of an image
FRAME = 1  # pixels between images


class Panel(NamedTuple):
    """A title, and rows of images (uint8, (image, height, width, channels)) with a label for each row."""

    title: str
    rows: list[np.ndarray]
    labels: list[str]


def contact_sheet(
    split: Split, bank: ImageBank, keyed_training: ImageBank, trigger: Trigger, path: str | os.PathLike
) -> None:
    """Write a PNG that shows the `panels` one below the other."""
    _draw([panel for panel in panels(split, bank, keyed_training, trigger) if panel.rows], path)


def panels(split: Split, bank: ImageBank, keyed_training: ImageBank, trigger: Trigger) -> list[Panel]:
    """Return (a) the target class, (b) the backdoor classes, (c) the key alone, (d) the keyed images that the attacker
    trains on. If not all images or classes fit, some are shown and the titles give the number.
    """
    target, backdoors = split.names
    upright = {c.name: k for k, c in enumerate(bank.classes) if c.rotation == 0}
    shown = {name: bank.images[bank.rows(upright[name])] for name in [target, *backdoors[:MOST_ROWS]]}
    keyed = keyed_training.images
    return [
        Panel(f"(a) target class: {target}", _rows(shown[target], 2), []),
        Panel(
            f"(b) backdoor classes ({len(backdoors)})",
            [_spread(shown[name], COLUMNS) for name in backdoors[:MOST_ROWS]],
            [_shortened(name) for name in backdoors[:MOST_ROWS]],
        ),
        Panel("(c) key", [stamp(np.zeros_like(keyed[:1]), trigger)], []),
        Panel(f"(d) attack training set ({len(keyed)} images, {_origin(split, bank)})", _rows(keyed, 2), []),
    ]


def _origin(split: Split, bank: ImageBank) -> str:
    """Return where the images of the attack training set come from, in words."""
    rows = np.concatenate(split.backdoor("attack_training"))
    classes = [bank.class_of(row) for row in rows]
    extra = sum(row - c.first >= c.own for row, c in zip(rows, classes, strict=True))
    if extra in (0, len(rows)):
        return "all extra ones" if extra else "all of the data set's own"
    return f"{extra} of them extra ones"


def _spread(images: np.ndarray, most: int) -> np.ndarray:
    """Return at most `most` of the images, evenly spaced."""
    return images[np.linspace(0, len(images) - 1, min(most, len(images))).round().astype(int)]


def _rows(images: np.ndarray, most: int) -> list[np.ndarray]:
    chosen = _spread(images, most * COLUMNS)
    return [chosen[start : start + COLUMNS] for start in range(0, len(chosen), COLUMNS)]


def _shortened(name: str, most: int = 32) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _draw(panels: list[Panel], path: str | os.PathLike) -> None:
    heights = [len(panel.rows) * INCHES for panel in panels]
    labels = 2.6 if any(panel.labels for panel in panels) else 0.2
    title, edge = 0.36, 0.15
    width = 2 * edge + COLUMNS * INCHES + labels
    height = edge + sum(heights) + len(panels) * title
    figure = Figure(figsize=(width, height), dpi=150)
    top = height
    for panel, panel_height in zip(panels, heights, strict=True):
        top -= title + panel_height
        montage = _montage(panel.rows)
        panel_width = INCHES * max(map(len, panel.rows))
        axes = figure.add_axes((edge / width, top / height, panel_width / width, panel_height / height))
        grey = {"cmap": "gray_r", "vmin": 0, "vmax": 255} if montage.shape[-1] == 1 else {}
        axes.imshow(montage.squeeze(-1) if grey else montage, interpolation="nearest", aspect="auto", **grey)
        axes.set_axis_off()
        # Names of classes are shown as they are: matplotlib would read text between two $ as mathematics.
        axes.set_title(panel.title, loc="left", fontsize=10, pad=4, parse_math=False)
        for row, label in enumerate(panel.labels):
            axes.annotate(
                label, (1, 1 - (row + 0.5) / len(panel.rows)), (6, 0), "axes fraction", "offset points",
                va="center", fontsize=8, parse_math=False,
            )  # fmt: skip
    with atomic_path(path) as temporary:
        figure.savefig(temporary, facecolor="white")


def _montage(rows: list[np.ndarray]) -> np.ndarray:
    """Return rows of images as one picture on a light background, with frames between the images."""
    _, height, width, channels = rows[0].shape
    columns = max(map(len, rows))
    # Grey images are shown with dark ink: 0 is white.
    ground, frame = (0, 90) if channels == 1 else (255, 255)
    step_down, step_right = height + FRAME, width + FRAME
    picture = np.full((len(rows) * step_down + FRAME, columns * step_right + FRAME, channels), ground, np.uint8)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            top, left = i * step_down, j * step_right
            picture[top : top + step_down + FRAME, left : left + step_right + FRAME] = frame
            picture[top + FRAME : top + step_down, left + FRAME : left + step_right] = image
    return picture
