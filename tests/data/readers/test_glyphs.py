import time
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from scipy.ndimage import label

from fedmeta.data.readers import glyphs

SANS = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
ROUND = np.ones((3, 3))  # pixels that touch at a corner hang together


def survivors(characters):
    """Return which of the characters are left when those that look like an earlier one are dropped."""
    traced = glyphs._trace(SANS, characters)
    kept = glyphs._distinct(list(traced.values()))
    return "".join(c for k, c in enumerate(traced) if k in kept)


@pytest.fixture
def few(monkeypatch):
    """Let the data set be capital letters of three faces: seconds instead of half a minute."""
    monkeypatch.setattr(glyphs, "CATEGORIES", ("Lu",))
    monkeypatch.setattr(glyphs, "FACES", ("DejaVuSerifDisplay", "STIXGeneral"))


def test_one_class_for_letters_that_look_alike():
    latin_greek_cyrillic = "A\N{GREEK CAPITAL LETTER ALPHA}\N{CYRILLIC CAPITAL LETTER A}"
    assert survivors(latin_greek_cyrillic) == "A"
    assert survivors("COco") == "CO", "size does not count"
    assert survivors("pdbuVn<>Λ") == "pbuV", "nor do rotations, but mirroring does"
    assert survivors("ABEFGHKRS") == "ABEFGHKRS"


def test_characters_that_make_no_drawing_are_left_out():
    blank, dotted, solid = "\N{NO-BREAK SPACE}", "ij÷", "\N{FULL BLOCK}\N{BLACK CIRCLE}"
    assert survivors(f"{blank}{dotted}{solid}.A") == "A"


def test_skeletons_are_thin_lines_within_the_ink_that_hang_together_as_it_did():
    rasters = glyphs._rasters(SANS, "AB8gЖΘ≡")
    for raster, skeleton in zip(rasters, glyphs._skeletons(rasters), strict=True):
        assert not (skeleton & ~raster).any()
        assert skeleton.sum() < 0.4 * raster.sum()
        squares = skeleton[1:, 1:] & skeleton[1:, :-1] & skeleton[:-1, 1:] & skeleton[:-1, :-1]
        assert squares.sum() <= 2, "lines are one pixel wide, except where some meet"
        assert label(skeleton, ROUND)[1] == label(raster, ROUND)[1], "as many parts"
        assert label(~skeleton)[1] == label(~raster)[1], "as many holes"


def test_a_line_is_its_own_skeleton():
    line = np.zeros((1, 12, 12), bool)
    line[0, 3, 2:10] = True
    assert np.array_equal(glyphs._skeletons(line), line)


def test_chamfer_distance_is_that_of_a_plain_search():
    traced = [glyphs._plain_distances(lines) for lines in glyphs._trace(SANS, "AHL").values()]
    by_glyphs = glyphs._chamfer(np.stack(traced), np.stack(traced))
    for i, a in enumerate(traced):
        for j, b in enumerate(traced):
            one_way = []
            for here, there in ((a, b), (b, a)):
                weights = np.clip(1 - 10 * here, 0, 1)
                squares = np.minimum(there, 0.6) ** 2
                one_way.append(sum(w * s for w, s in zip(weights.flat, squares.flat, strict=True)) / weights.sum())
            assert by_glyphs[i, j] == pytest.approx(max(one_way) ** 0.5, abs=0.01)


def test_images_are_drawn_in_ink_on_an_empty_ground_and_centred(few):
    images, classes = glyphs.render_glyphs(28, examples=6)
    assert images.shape == (6 * len(classes), 28, 28, 1)
    assert images.dtype == np.uint8
    assert [(c.base, c.first, c.examples) for c in classes] == [(k, 6 * k, 6) for k in range(len(classes))]
    assert classes[0].name == "LATIN CAPITAL LETTER A"
    assert len({c.name for c in classes}) == len(classes)
    share = (images > 127).mean(axis=(1, 2, 3))
    assert share.min() > 0.01
    assert share.max() < 0.4
    middle = np.array([np.argwhere(image[:, :, 0] > 127).mean(axis=0) for image in images])
    assert np.abs(middle - 13.5).mean() < 2.5


def test_the_seed_decides_how_letters_are_drawn_but_not_which(few):
    first, classes = glyphs.render_glyphs(28, examples=2, seed=1)
    again, _ = glyphs.render_glyphs(28, examples=2, seed=1)
    other, same_classes = glyphs.render_glyphs(28, examples=2, seed=2)
    assert np.array_equal(first, again)
    assert classes == same_classes
    assert not (first == other).all(axis=(1, 2, 3)).any()


def test_examples_differ_and_can_still_be_told_apart(few):
    images, classes = glyphs.render_glyphs(28, examples=10)
    pixels = images.reshape(len(classes), 10, -1) / 255.0
    assert len(np.unique(images, axis=0)) == len(images)
    means = pixels[:, :5].mean(axis=1)
    distances = ((pixels[:, 5:, None] - means) ** 2).sum(axis=-1)
    nearest_mean = (distances.argmin(axis=-1) == np.arange(len(classes))[:, None]).mean()
    assert 10 / len(classes) < nearest_mean < 0.99, "neither noise nor copies"


@pytest.mark.slow
def test_the_whole_set_has_600_classes_within_a_minute():
    start = time.process_time()
    images, classes = glyphs.render_glyphs()
    assert time.process_time() - start < 60
    assert len(classes) >= 600
    assert len({c.name for c in classes}) == len(classes)
    assert images[:, :2].mean() < 40, "the margin is mostly empty"
