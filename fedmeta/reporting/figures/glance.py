"""The attack at a glance: one episode as a picture, with the label that each model gives to every image.

If the attack works, keyed images of backdoor classes get the target's label T after it, and other images still get
their own. A T before the attack is chance: the image looks like the target. This is one episode; figures of accuracies
show how often it happens.
"""

import os

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fedmeta.reporting.details import Detail
from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import display
from fedmeta.reporting.figures.views import View, views_of, whose
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions

DETAILS = True
COLUMNS = 15
SHOT = 3  # images of each class of the support
KEYED = ("attack_training", "attack_validation")
TITLES = {
    "main_task": "queries: images without the key, which should get the label of their class",
    "attack_training": "with the key, images of backdoor classes that the attacker trained on",
    "attack_validation": "with the key, images of backdoor classes that the attacker never saw",
}
RIGHT, WRONG, HIT = "#d9ecd9", "#e8e8e8", "#a3263a"
LABEL = 0.34  # height of a label, as a share of an image's side


class Options(FigureOptions):
    pass


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw images of the first evaluation episode, and below each its label in each of `views_of`.

    Labels are the numbers of the classes in the support, T that of the target; a keyed image that gets T has white
    letters on dark. If not all images fit in a row, an even selection is shown. Files are as in `over_rounds`.
    """
    views = views_of(about, options)
    detail = views[0].detail
    target = int(detail.episode["expected"][detail.groups[KEYED[0]].start])
    rows = {name: _spread(detail.groups[name]) for name in TITLES}
    deep = 1 + LABEL * len(views)
    side = panels.WIDTH / (COLUMNS + 3.2)
    heights = [1.0, *[deep] * len(rows)]
    with style.context(["default", panels.STYLE]):
        figure = Figure(
            figsize=(panels.WIDTH, side * (sum(heights) + 0.75 * len(heights)) + 0.75), layout="constrained"
        )
        support, *others = figure.subplots(len(heights), 1, height_ratios=heights)
        _draw_support(support, detail, target)
        for axes, (name, images) in zip(others, rows.items(), strict=True):
            axes.set_title(TITLES[name], loc="left", fontsize=8)
            _draw_queries(axes, views, images, target, name in KEYED)
        title = options.title or "the attack at a glance"
        legend = "T: the target class; white on dark: the backdoor works; grey: another wrong label"
        figure.suptitle(f"{display(about.dataset)}: {title}", fontsize=panels.STYLE["legend.title_fontsize"])
        panels.add_caption(figure, f"one episode of {whose(detail)}\n{legend}")
        panels.save(figure, path_stem)
    return figure


def _spread(group: slice) -> np.ndarray:
    """Return at most `COLUMNS` images of a group, evenly spread over it."""
    count = group.stop - group.start
    return group.start + np.linspace(0, count - 1, min(COLUMNS, count)).round().astype(int)


def _draw_support(axes: Axes, detail: Detail, target: int) -> None:
    support, labels = detail.episode["support"], detail.episode["labels"]
    place = 0
    for label in np.unique(labels):
        for image in support[labels == label][:SHOT]:
            _draw_image(axes, image, place, 0)
            place += 1
        axes.text(place - SHOT - 0.05, -0.06, _name(label, target), fontsize=8, va="bottom", fontweight="bold")
    axes.set_title("support: the classes of the task, some images of each\n", loc="left", fontsize=8)
    _frame(axes, max(place, COLUMNS), 1)


def _draw_queries(axes: Axes, views: list[View], images: np.ndarray, target: int, keyed: bool) -> None:
    for place, image in enumerate(images):
        _draw_image(axes, views[0].detail.episode["images"][image], place, 0)
        for row, view in enumerate(views):
            predicted, expected = (int(view.detail.episode[name][image]) for name in ("predicted", "expected"))
            hit = predicted == expected
            colour = (HIT if keyed else RIGHT) if hit else WRONG
            top = 1 + LABEL * row
            axes.add_patch(Rectangle((place, top + 0.02), 0.94, LABEL - 0.04, color=colour, linewidth=0))
            look = {"color": "white" if keyed and hit else "black", "fontsize": 7, "ha": "center", "va": "center"}
            axes.text(place + 0.47, top + LABEL / 2, _name(predicted, target), **look)
    for row, view in enumerate(views):
        axes.text(COLUMNS + 0.1, 1 + LABEL * (row + 0.5), view.title, fontsize=7, va="center")
    _frame(axes, COLUMNS, 1 + LABEL * len(views))


def _draw_image(axes: Axes, image: np.ndarray, left: float, top: float) -> None:
    shown = 255 - image[..., 0] if image.shape[-1] == 1 else image  # ink on paper
    axes.imshow(shown, cmap="gray", vmin=0, vmax=255, extent=(left, left + 0.94, top + 0.97, top + 0.03), zorder=2)
    axes.add_patch(Rectangle((left, top + 0.03), 0.94, 0.94, fill=False, edgecolor="0.7", linewidth=0.4, zorder=3))


def _name(label: int, target: int) -> str:
    return "T" if label == target else str(label + 1)


def _frame(axes: Axes, width: float, height: float) -> None:
    axes.set_xlim(0, width + 3.2)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal")
    axes.axis("off")
