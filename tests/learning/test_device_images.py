"""Images gathered on a device are those that NumPy picks from the arrays."""

import numpy as np
import pytest
import torch

from fedmeta.data.bank import ImageBank, Images
from fedmeta.learning.device_images import DeviceImages

RANDOM = np.random.default_rng(1)
BANKS = [ImageBank(RANDOM.integers(0, 256, (count, 3, 2, 1), np.uint8), ()) for count in (9, 4)]
ROWS = [[(0, [8, 0, 3]), (1, [3, 3])], [(1, [0]), (0, [1, 1, 1]), (1, [2])], [(0, [5, 4, 3, 2, 1])]]


def episodes(rows) -> tuple[list[Images], list[np.ndarray]]:
    """Return the images of each episode by row, and as NumPy picks them."""
    named = [Images.joined([BANKS[bank].at(np.array(own)) for bank, own in parts]) for parts in rows]
    picked = [np.concatenate([BANKS[bank].images[own] for bank, own in parts]) for parts in rows]
    return named, picked


def test_an_array_of_images_has_their_pixels_in_order():
    for named, picked in zip(*episodes(ROWS), strict=True):
        assert len(named) == len(picked)
        assert np.array_equal(named, picked)
        assert np.asarray(named, float).dtype == float


def test_joined_images_can_be_joined_again():
    (first, second, _), (picked, other, _) = episodes(ROWS)
    assert np.array_equal(Images.joined([first, second, first]), np.concatenate([picked, other, picked]))


def test_images_of_several_banks_are_stacked_as_numpy_stacks_them():
    named, picked = episodes(ROWS)
    images = DeviceImages("cpu")
    for _ in range(2):
        assert np.array_equal(images.stacked(named).numpy(), np.stack(picked))
    assert len(images.kept) == 2, "each bank travels once"


def test_shorter_episodes_are_repeated_to_the_longest():
    named, picked = episodes([ROWS[0], [(1, [2, 0])]])
    expected = [picked[0], picked[1][[0, 1, 0, 1, 0]]]
    assert np.array_equal(DeviceImages("cpu").stacked(named).numpy(), np.stack(expected))


@pytest.mark.parametrize("plain", [[0, 1, 2], [1]])
def test_plain_arrays_are_stacked_too(plain):
    named, picked = episodes(ROWS)
    mixed = [picked[k] if k in plain else images for k, images in enumerate(named)]
    images = DeviceImages("cpu")
    assert np.array_equal(images.stacked(mixed).numpy(), np.stack(picked))
    assert not images.kept, "images of one episode stay nowhere"


def test_a_mapped_bank_is_not_copied_on_the_cpu(tmp_path):
    np.save(tmp_path / "bank.npy", BANKS[0].images)
    mapped = np.lib.format.open_memmap(tmp_path / "bank.npy", mode="r")
    images = DeviceImages("cpu")
    stacked = images.stacked([ImageBank(mapped, ()).at(np.array([7, 2]))])
    assert torch.equal(stacked[0], torch.from_numpy(BANKS[0].images[[7, 2]]))
    assert np.shares_memory(images.images_of(mapped).numpy(), mapped)


def test_no_images_are_no_images():
    empty = np.empty(0, np.uint8)
    assert DeviceImages("cpu").stacked([empty, empty]).shape == (2, 0)
