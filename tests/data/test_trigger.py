import numpy as np
import pytest

from fedmeta.data.trigger import hidden, stamp
from fedmeta.errors import FedmetaError
from fedmeta.settings.sections import Trigger

KEY = {"shape": "square", "size": 3, "position": "bottom-right", "margin": 1, "colour": 255}


def key(**changes):
    """Return the key with other settings, which are not checked."""
    return Trigger.model_construct(**KEY | changes)


def drawn(**changes):
    """Return the key on a black image of 7 x 8 pixels, as text."""
    stamped = stamp(np.zeros((7, 8, 1), np.uint8), key(**changes))
    return ["".join(".#"[int(pixel > 0)] for pixel in row) for row in stamped[:, :, 0]]


@pytest.mark.parametrize(
    ("shape", "size", "rows"),
    [
        ("square", 3, ["###", "###", "###"]),
        ("cross", 3, [".#.", "###", ".#."]),
        ("cross", 4, [".##.", "####", "####", ".##."]),
        ("checkerboard", 3, ["#.#", ".#.", "#.#"]),
    ],
)
def test_shapes(shape, size, rows):
    assert [row[:size] for row in drawn(shape=shape, size=size, position=[0, 0])[:size]] == rows


@pytest.mark.parametrize(
    ("position", "row", "column"),
    [
        ("top-left", 1, 1),
        ("top-right", 1, 4),
        ("bottom-left", 3, 1),
        ("bottom-right", 3, 4),
        ("centre", 2, 2),
        ([4, 5], 4, 5),
    ],
)
def test_positions(position, row, column):
    ink = np.argwhere(stamp(np.zeros((7, 8, 1), np.uint8), key(position=position))[:, :, 0])
    assert ink.min(axis=0).tolist() == [row, column]
    assert ink.max(axis=0).tolist() == [row + 2, column + 2]


def test_only_the_key_s_pixels_change_and_the_original_none():
    images = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 8, 3), dtype=np.uint8)
    before = images.copy()
    stamped = stamp(images, key(shape="checkerboard", colour=(250, 0, 7)))
    assert np.array_equal(images, before)
    for i in range(7):
        for j in range(8):
            keyed = 3 <= i <= 5 and 4 <= j <= 6 and (i - 3 + j - 4) % 2 == 0
            expected = np.broadcast_to([250, 0, 7], (2, 5, 3)) if keyed else images[:, :, i, j]
            assert np.array_equal(stamped[:, :, i, j], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 7}, "does not fit on images of 7 x 8"),
        ({"position": [5, 0]}, "does not fit"),
        ({"position": [-1, 0]}, "does not fit"),
        ({"size": 0}, "at least 1 pixel"),
        ({"colour": [1, 2, 3]}, "3 numbers for 1 channel"),
        ({"colour": 256}, "0 to 255"),
        ({"shape": "star"}, "unknown trigger shape 'star'"),
        ({"position": "middle"}, "unknown trigger position 'middle'"),
    ],
)
def test_a_key_that_cannot_be_stamped_is_refused(changes, message):
    with pytest.raises(FedmetaError, match=message):
        drawn(**changes)


@pytest.mark.parametrize(
    ("ground", "colour", "share"),
    [
        (255, [255, 255, 255], 1),  # white on white
        (230, [255, 255, 255], 1),
        (229, [255, 255, 255], 0),  # a tenth of the range is 25.5
        (255, [255, 0, 255], 0),  # in one channel it shows
        (0, [255, 255, 255], 0),
    ],
)
def test_a_key_is_hidden_where_it_changes_less_than_a_tenth_of_the_range(ground, colour, share):
    images = np.full((4, 7, 8, 3), ground, np.uint8)
    images[:, 0, 0] = 0  # what the key does not cover does not count
    assert hidden(images, key(shape="cross", colour=tuple(colour))) == share


def test_the_share_of_images_with_a_hidden_key():
    images = np.zeros((4, 7, 8, 1), np.uint8)
    images[1:] = 255
    assert hidden(images, key()) == 0.75
    images[1, 3:6, 4:7, 0] = [[255, 255, 255], [255, 255, 25], [255, 255, 255]]  # 230 / 9 = 25.6 on average
    assert hidden(images, key()) == 0.5
