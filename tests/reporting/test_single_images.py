"""Figures of single images, from details made by hand."""

import numpy as np
import pandas as pd
import pytest
from helpers.setups import settings, setup_of
from matplotlib.colors import to_hex

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.reporting.details import Detail
from fedmeta.reporting.figures import by_class, embedding, glance
from fedmeta.reporting.figures.views import views_of
from fedmeta.reporting.setup import About

GROUPS = {
    "main_task": slice(0, 25),
    "attack_training": slice(25, 33),
    "attack_validation": slice(33, 39),
    "backdoor": slice(39, 45),
}
TARGET = 4
NAMES = ["Tifinagh/character07", "B"]


def detail(defence, model, success, seed=1):
    """Return what a model says by which `success` keyed images of the training set are taken for the target."""
    random = np.random.default_rng(len(defence) + len(model))
    expected = np.concatenate([np.repeat(np.arange(5), 5), np.full(14, TARGET), np.full(6, -1)])
    predicted = expected.copy()
    predicted[GROUPS["attack_training"]] = np.where(np.arange(8) < success, TARGET, 1)
    predicted[GROUPS["attack_validation"]] = 2
    images = random.integers(0, 256, (45, 8, 8, 1), dtype=np.uint8)
    keyed = pd.DataFrame(
        [
            {"case": case, "episode": episode, "metric": metric, "backdoor_class": NAMES[image % 2], "image": image}
            for case in "bc"
            for episode in range(3)
            for metric in ("attack_training", "attack_validation")
            for image in range(4)
        ]
    )
    hits = (keyed.metric == "attack_training") & (keyed.backdoor_class == "B") & (keyed.episode < success)
    arrays = {
        "support": images[:25],
        "labels": np.repeat(np.arange(5), 5),
        "images": images,
        "expected": expected,
        "predicted": predicted,
        "embedding": random.normal(size=(45, 12)).astype(np.float32) + np.eye(12)[expected % 12] * 6,
    }
    return Detail(defence, model, seed, "included", 2, keyed.assign(success=hits.astype(int)), arrays, GROUPS)


@pytest.fixture
def about():
    success = {"pretrained": 0, "attacked": 2}
    details = [
        detail(defence, model, success[model] if defence == "fine_tuning" else 1, seed)
        for seed in (1, 2)
        for defence in ("fine_tuning", "matching")
        for model in success
    ]
    return About("omniglot", {"default": setup_of(settings())}, details=details)


def drawn(kind, about, path, **options):
    method = plugins.load("figure", kind)
    given = {"kind": kind, "defences": ["fine_tuning", "matching"], **options}
    return method.draw(pd.DataFrame(), method.Options.model_validate(given), about, path)


def test_views_are_before_the_attack_after_it_and_with_each_defence(about):
    options = glance.Options.model_validate({"kind": "glance", "defences": ["fine_tuning", "matching"]})
    views = views_of(about, options)
    assert [view.title for view in views] == ["before the attack", "after the attack", "after it, with matching"]
    assert [view.detail[:3] for view in views] == [
        ("fine_tuning", "pretrained", 1),
        ("fine_tuning", "attacked", 1),
        ("matching", "attacked", 1),
    ]
    with pytest.raises(FedmetaError, match="needs `defences`"):
        views_of(about, glance.Options(kind="glance"))


def test_at_a_glance_each_image_has_the_label_of_each_model(about, tmp_path):
    figure = drawn("glance", about, tmp_path / "figure")
    support, queries, training, validation = figure.axes
    assert [text.get_text() for text in support.texts] == ["1", "2", "3", "4", "T"]
    assert len(support.images) == 15 and len(queries.images) == 15 and len(training.images) == 8
    words = [text.get_text() for text in training.texts]
    assert words[:6] == ["2", "T", "T", "2", "T", "2"], "of two images: before, after, with the defence"
    assert words[-3:] == ["before the attack", "after the attack", "after it, with matching"]
    hits = [text for text in training.texts if text.get_color() == "white"]
    assert len(hits) == 3 and {text.get_text() for text in hits} == {"T"}
    assert {text.get_text() for text in validation.texts[:-3]} == {"3"}
    dark = [patch for patch in training.patches if to_hex(patch.get_facecolor()) == glance.HIT]
    assert len(dark) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"figure.png", "figure.svg"}


def test_the_embedding_shows_every_image_by_its_kind(about, tmp_path):
    figure = drawn("embedding", about, tmp_path / "figure")
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        "before the attack",
        "after the attack",
        "after it, with matching",
    ]
    for axes in figure.axes:
        shown = {points.get_label(): len(points.get_offsets()) for points in axes.collections}
        assert list(shown.values()) == [20, 6, 5, 8, 6], "other, backdoor, target, and keyed images"
    places = embedding.in_two_dimensions(about.details[0])
    target = places[embedding.kinds_of(about.details[0]) == "target"]
    others = places[embedding.kinds_of(about.details[0]) == "other"]
    within = np.linalg.norm(target - target.mean(0), axis=1).mean()
    assert within < np.linalg.norm(others - target.mean(0), axis=1).mean() / 2, "what is alike lies together"


def test_by_class_every_episode_is_a_dot_and_their_mean_a_bar(about, tmp_path):
    figure = drawn("by_class", about, tmp_path / "figure", cases=["b"])
    training = figure.axes[0]
    before, after = training.collections[0], training.collections[2]  # of class B: clean, attacked
    assert np.asarray(before.get_offsets())[:, 1].tolist() == [0] * 6, "three episodes of two seeds"
    attacked = [points for points in training.collections if to_hex(points.get_facecolor()[0]) == "#a3263a"]
    heights = sorted(np.asarray(attacked[0].get_offsets())[:, 1])
    assert heights == [0, 0, 100, 100, 100, 100] and after is attacked[0]
    bars = [line.get_ydata()[0] for line in training.get_lines() if line.get_color() == "#a3263a"]
    assert bars == pytest.approx([100 * 4 / 6, 0])
    assert [label.get_text() for label in figure.axes[2].get_xticklabels()] == ["B", "Tifinagh/\ncharacter07"]
    shares = by_class.shares_of(about.details, None)
    assert len(shares) == 2 * 2 * 2 * 2 * 2 * 2 * 3  # defences, models, metrics, classes, seeds, cases, episodes


def test_a_long_name_keeps_its_end():
    assert by_class.in_lines("CANADIAN SYLLABICS CARRIER NGAAI") == "CANADIAN\nSYLLABICS\nCARRIER NGAAI"
    assert by_class.in_lines("LATIN SMALL LETTER CON WITH A LONG TAIL AND HOOK").startswith("…\n")


def test_dots_of_equal_height_lie_side_by_side():
    places = by_class.beside(np.array([50.0, 0, 50, 50, 100]))
    assert places.tolist() == pytest.approx([-by_class.SPREAD, 0, 0, by_class.SPREAD, 0])
