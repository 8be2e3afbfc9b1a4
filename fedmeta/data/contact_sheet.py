"""The attack at a glance: target, backdoor classes, key and attack training set (Figures 1 and 2)."""

import os
from collections.abc import Sequence
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
GAP = 0.3  # between groups of images, as a share of an image
TITLE, HEADING, EDGE, LABELS = 0.36, 0.2, 0.15, 2.6  # inches
LONGEST = 32  # letters of a class's name
ROLES = {
    "benign": "benign users",
    "attacker": "attacker, no key",
    "attack_training": "attack training",
    "attack_validation": "attack validation",
    "validation": "evaluation",
}


class Panel(NamedTuple):
    """A title, and rows of groups of images (uint8, (image, height, width, channels)).

    Each row may have a label, and each group, which stands in the same columns in all rows, a heading.
    """

    title: str
    rows: list[list[np.ndarray]]
    labels: Sequence[str] = ()
    headings: Sequence[str] = ()


def contact_sheet(
    split: Split, bank: ImageBank, keyed_training: ImageBank, trigger: Trigger, path: str | os.PathLike
) -> None:
    """Write a PNG that shows the `panels` one below the other."""
    _draw([panel for panel in panels(split, bank, keyed_training, trigger) if panel.rows], path)


def panels(split: Split, bank: ImageBank, keyed_training: ImageBank, trigger: Trigger) -> list[Panel]:
    """Return (a) the target class, (b) the backdoor classes, (c) the key alone, (d) the keyed images that the attacker
    trains on. (a) and (b) group images by role. If not all images or classes fit, some are shown and the titles
    and headings give the number.
    """
    target, backdoors = split.names
    keyed = keyed_training.images
    return [
        _by_role(f"(a) target class: {target}", bank, split.roles("target"), []),
        _by_role(f"(b) backdoor classes ({len(backdoors)})", bank, split.roles("backdoor"), backdoors),
        Panel("(c) key", [[stamp(np.zeros_like(keyed[:1]), trigger)]]),
        Panel(f"(d) attack training set ({len(keyed)} images, {_origin(split, bank)})", _rows(keyed, 2)),
    ]


def _by_role(title: str, bank: ImageBank, roles: list[dict[str, np.ndarray]], names: Sequence[str]) -> Panel:
    """Return a panel with a row for each class, of a group of images for each role."""
    shown = [role for role in ROLES if any(role in own for own in roles)]
    widths = [COLUMNS // len(shown) + (k < COLUMNS % len(shown)) for k in range(len(shown))]
    none = np.empty(0, np.int64)
    rows = [
        [bank.images[_spread(own.get(role, none), width)] for role, width in zip(shown, widths, strict=True)]
        for own in roles[:MOST_ROWS]
    ]
    counts = [sorted({len(own.get(role, none)) for own in roles}) for role in shown]
    headings = [
        f"{ROLES[role]}: {count[0]}" + (f" to {count[-1]}" if len(count) > 1 else "")
        for role, count in zip(shown, counts, strict=True)
    ]
    return Panel(title, rows, [_shortened(name) for name in names[:MOST_ROWS]], headings)


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


def _rows(images: np.ndarray, most: int) -> list[list[np.ndarray]]:
    chosen = _spread(images, most * COLUMNS)
    return [[chosen[start : start + COLUMNS]] for start in range(0, len(chosen), COLUMNS)]


def _shortened(name: str) -> str:
    """Return a name of at most `LONGEST` letters: of a longer one the middle is left out, for the end tells more."""
    if len(name) <= LONGEST:
        return name
    last = len(name) - name.rfind("/")  # the end, with its slash
    tail = last if last <= LONGEST // 2 else LONGEST // 2
    return f"{name[: LONGEST - 1 - tail]}…{name[-tail:]}"


def _draw(panels: list[Panel], path: str | os.PathLike) -> None:
    heights = [len(panel.rows) * INCHES for panel in panels]
    above = [TITLE + HEADING * bool(panel.headings) for panel in panels]
    montages = [_montage(panel.rows) for panel in panels]
    side = panels[0].rows[0][0].shape[2] + FRAME
    widths = [INCHES * montage.shape[1] / side for montage, _ in montages]
    width = 2 * EDGE + max(widths) + (LABELS if any(panel.labels for panel in panels) else 0.2)
    height = EDGE + sum(heights) + sum(above)
    figure = Figure(figsize=(width, height), dpi=150)
    top = height
    for panel, (montage, lefts), *inches in zip(panels, montages, heights, widths, above, strict=True):
        panel_height, panel_width, over = inches
        top -= over + panel_height
        axes = figure.add_axes((EDGE / width, top / height, panel_width / width, panel_height / height))
        grey = {"cmap": "gray_r", "vmin": 0, "vmax": 255} if montage.shape[-1] == 1 else {}
        axes.imshow(montage.squeeze(-1) if grey else montage, interpolation="nearest", aspect="auto", **grey)
        axes.set_axis_off()
        # Names of classes are shown as they are: matplotlib would read text between two $ as mathematics.
        pad = 4 + 72 * HEADING * bool(panel.headings)
        axes.set_title(panel.title, loc="left", fontsize=10, pad=pad, parse_math=False)
        for heading, left in zip(panel.headings, lefts, strict=False):
            axes.annotate(
                heading, (left / montage.shape[1], 1), (0, 3), "axes fraction", "offset points", fontsize=7.5
            )  # fmt: skip
        for row, label in enumerate(panel.labels):
            axes.annotate(
                label, (1, 1 - (row + 0.5) / len(panel.rows)), (6, 0), "axes fraction", "offset points",
                va="center", fontsize=8, parse_math=False,
            )  # fmt: skip
    with atomic_path(path) as temporary:
        figure.savefig(temporary, facecolor="white")


def _montage(rows: list[list[np.ndarray]]) -> tuple[np.ndarray, list[int]]:
    """Return (picture, lefts): rows of images on a light background, with frames around them and gaps between groups.

    `lefts` has the first column of pixels of each group.
    """
    _, height, width, channels = rows[0][0].shape
    # Grey images are shown with dark ink: 0 is white.
    ground, frame = (0, 90) if channels == 1 else (255, 255)
    step_down, step_right = height + FRAME, width + FRAME
    columns = [max(map(len, groups)) for groups in zip(*rows, strict=True)]
    gap = round(GAP * width)
    lefts = [sum(columns[:k]) * step_right + k * gap for k in range(len(columns))]
    size = (len(rows) * step_down + FRAME, sum(columns) * step_right + (len(columns) - 1) * gap + FRAME, channels)
    picture = np.full(size, ground, np.uint8)
    for i, groups in enumerate(rows):
        for images, first in zip(groups, lefts, strict=True):
            for j, image in enumerate(images):
                top, left = i * step_down, first + j * step_right
                picture[top : top + step_down + FRAME, left : left + step_right + FRAME] = frame
                picture[top + FRAME : top + step_down, left + FRAME : left + step_right] = image
    return picture, lefts
