import numpy as np
import pytest
from PIL import Image

from fedmeta.data.augment import rotate_classes
from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.errors import FedmetaError


def bank_of(height, width):
    images = np.random.default_rng(0).integers(0, 256, (5, height, width, 1), dtype=np.uint8)
    return ImageBank(images, [ImageClass("a", 0, 0, 0, 2), ImageClass("b", 0, 1, 2, 3)])


def test_each_rotation_is_a_class_whose_images_are_turned():
    bank = bank_of(6, 6)
    images, classes = rotate_classes(bank, [0, 90, 180, 270])
    images = np.stack(list(images))
    assert [(c.name, c.rotation, c.base) for c in classes] == [
        (name, degrees, base) for base, name in enumerate("ab") for degrees in (0, 90, 180, 270)
    ]
    rotated = ImageBank(images, classes)
    for k, c in enumerate(classes):
        for row, upright in zip(rotated.rows(k), bank.rows(c.base), strict=True):
            by_pillow = Image.fromarray(bank.images[upright, :, :, 0]).rotate(c.rotation)
            assert np.array_equal(images[row, :, :, 0], np.asarray(by_pillow))


def test_no_rotation_changes_nothing():
    bank = bank_of(4, 6)
    images, classes = rotate_classes(bank, [0])
    assert np.array_equal(np.stack(list(images)), bank.images)
    assert tuple(classes) == bank.classes


@pytest.mark.parametrize("rotations", [[], [45], [0, 0], [0, 360]])
def test_angles_that_make_no_new_class_are_refused(rotations):
    with pytest.raises(FedmetaError, match="multiples of 90"):
        rotate_classes(bank_of(6, 6), rotations)


def test_images_that_are_not_square_take_no_quarter_turn():
    with pytest.raises(FedmetaError, match="4 x 6"):
        rotate_classes(bank_of(4, 6), [0, 90])
