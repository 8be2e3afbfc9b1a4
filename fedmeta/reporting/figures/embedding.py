"""What happens inside: the embedding of one episode in two dimensions, before the attack, after it, and with a defence.

Before the attack, keyed images lie among the unkeyed images of their class. If the embedding is poisoned, they leave
them and form a group of their own or join the target class. Only neighbours count: the map keeps them together, but the
distance between groups says little.
"""

import os

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.figure import Figure
from sklearn.manifold import TSNE
from sklearn.preprocessing import normalize

from fedmeta.reporting.details import Detail
from fedmeta.reporting.figures import panels
from fedmeta.reporting.figures.captions import display
from fedmeta.reporting.figures.views import views_of, whose
from fedmeta.reporting.setup import About
from fedmeta.settings.fields import FigureOptions

DETAILS = True
# From the back to the front: what is shown, its label and its look.
LOOKS = {
    "other": ("other classes", {"color": "0.72", "marker": "o", "s": 9}),
    "backdoor": ("backdoor classes, no key", {"color": "#e69f00", "marker": "D", "s": 13}),
    "target": ("target class", {"color": "#0b62a8", "marker": "s", "s": 16}),
    "attack_training": ("with the key, trained on", {"color": "#a3263a", "marker": "^", "s": 18}),
    "attack_validation": ("with the key, never seen", {"color": "#a3263a", "marker": "v", "s": 18}),
}
HOLLOW = "attack_validation"
PERPLEXITY = 15.0


class Options(FigureOptions):
    pass


def draw(metrics: pd.DataFrame, options: Options, about: About, path_stem: str | os.PathLike) -> Figure:
    """Draw the images of the first evaluation episode as points, a panel for each of `views_of`.

    Points are t-SNE (van der Maaten and Hinton 2008) of the embeddings' cosine distances: near means alike, far means
    little. Each panel has a map of its own. Files are as in `over_rounds`.
    """
    views = views_of(about, options)
    with style.context(["default", panels.STYLE, {"axes.grid": False}]):
        figure = Figure(figsize=(panels.WIDTH, panels.WIDTH / len(views) + 0.9), layout="constrained")
        for view, axes in zip(views, figure.subplots(1, len(views), squeeze=False)[0], strict=True):
            places, kinds = in_two_dimensions(view.detail), kinds_of(view.detail)
            for kind, (label, look) in LOOKS.items():
                own = places[kinds == kind]
                face = {"facecolor": "none", "edgecolor": look["color"]} if kind == HOLLOW else {"linewidth": 0}
                shape = {name: value for name, value in look.items() if name != "color" or kind != HOLLOW}
                axes.scatter(*own.T, label=label, **shape, **face)
            axes.set_title(view.title, loc="left")
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set_visible(True)
        title = options.title or "what the attack does to the embedding"
        caption = f"one episode of {whose(views[0].detail)}; t-SNE of cosine distances: near means alike"
        panels.finish(figure, f"{display(about.dataset)}: {title}", caption, path_stem, columns=3)
    return figure


def kinds_of(detail: Detail) -> np.ndarray:
    """Return the kind of each image, a name in `LOOKS`, (images,)."""
    kinds = np.full(len(detail.episode["images"]), "other", dtype=object)
    for name, group in detail.groups.items():
        if name in LOOKS:
            kinds[group] = name
    expected = detail.episode["expected"]
    kinds[(kinds == "other") & (expected == expected[detail.groups["attack_training"].start])] = "target"
    return kinds


def in_two_dimensions(detail: Detail) -> np.ndarray:
    """Return the place of each image, (images, 2)."""
    embedding = normalize(detail.episode["embedding"])
    perplexity = min(PERPLEXITY, (len(embedding) - 1) / 3)
    return TSNE(perplexity=perplexity, metric="cosine", init="random", random_state=0).fit_transform(embedding)
