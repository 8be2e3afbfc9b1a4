import csv

import numpy as np
import pytest

from fedmeta.data.bank import ImageBank, ImageClass, write_bank
from fedmeta.errors import FedmetaError

CLASSES = [ImageClass("Greek/alpha, small", 0, 0, 0, 3), ImageClass("b", 90, 1, 3, 2)]


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)


@pytest.fixture
def paths(tmp_path, images):
    paths = tmp_path / "images.npy", tmp_path / "classes.csv"
    write_bank(*paths, images, CLASSES)
    return paths


def test_a_bank_is_read_as_it_was_written(paths, images):
    bank = ImageBank.open(*paths)
    assert np.array_equal(bank.images, images)
    assert bank.classes == tuple(CLASSES)
    assert bank.rows(1).tolist() == [3, 4]


def test_the_files_are_plain_numpy_and_csv(paths, images):
    assert np.array_equal(np.load(paths[0], allow_pickle=False), images)
    with open(paths[1], newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["Greek/alpha, small", "b"]


def test_a_row_s_class_is_the_one_whose_rows_hold_it(paths):
    bank = ImageBank.open(*paths)
    assert [bank.class_of(row) for k in range(2) for row in bank.rows(k)] == [*CLASSES[:1] * 3, *CLASSES[1:] * 2]


def test_images_are_mapped_and_cannot_be_changed(paths):
    images = ImageBank.open(*paths).images
    assert isinstance(images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        images[0] = 0


def test_an_iterator_gives_the_same_bytes_as_an_array(paths, images, tmp_path):
    write_bank(tmp_path / "again.npy", tmp_path / "again.csv", iter(images), CLASSES)
    assert (tmp_path / "again.npy").read_bytes() == paths[0].read_bytes()


@pytest.mark.parametrize("which", [0, 1])
def test_a_file_cut_short_is_named(paths, which):
    whole = paths[which].read_bytes()
    for kept in (0, 5, len(whole) // 2, len(whole) - 7):
        paths[which].write_bytes(whole[:kept])
        with pytest.raises(FedmetaError, match=f"{paths[which].name}.*delete"):
            ImageBank.open(*paths)


def test_other_arrays_are_refused(paths, images):
    for other in (images[0], images.astype(np.float32), np.array([{}]), images[:4], np.asfortranarray(images)):
        np.save(paths[0], other)
        with pytest.raises(FedmetaError, match=r"images\.npy"):
            ImageBank.open(*paths)


def test_rows_outside_the_images_are_refused(paths):
    paths[1].write_text(paths[1].read_text().replace("3,2", "3,9"))
    with pytest.raises(FedmetaError, match=r"classes\.csv does not belong to .*images\.npy"):
        ImageBank.open(*paths)


def test_a_missing_file_is_named(paths):
    paths[1].unlink()
    with pytest.raises(FedmetaError, match=r"classes\.csv is missing"):
        ImageBank.open(*paths)


def test_a_failed_write_leaves_the_old_bank(paths, images):
    with pytest.raises(ValueError, match="cover"):
        write_bank(*paths, images[:4], CLASSES)
    assert np.array_equal(ImageBank.open(*paths).images, images)
    assert sorted(p.name for p in paths[0].parent.iterdir()) == ["classes.csv", "images.npy"]
