import pickle
import struct

import numpy as np
import pytest
from helpers.mini_imagenet_files import (
    LAYOUTS,
    ORDER,
    SIZE,
    expected_images,
    lay_cache_pickles,
    lay_class_folders_of_other_names,
    lay_zip,
    pickled,
    picture,
    read_all,
    write,
)
from helpers.picture_files import encoded, noise
from PIL import Image

from fedmeta.data.readers.mini_imagenet import read
from fedmeta.errors import FedmetaError


@pytest.mark.parametrize("lay", LAYOUTS, ids=lambda lay: lay.__name__.removeprefix("lay_"))
def test_every_layout_gives_the_same_images_and_classes(tmp_path, lay):
    lay(tmp_path)
    images, classes = read_all(tmp_path)
    assert [(c.name, c.examples, c.meta_testing) for c in classes] == [
        ("n01", 4, 0), ("n02", 3, 0), ("n03", 2, 1), ("n04", 2, 1),
    ]  # fmt: skip
    assert images.shape == (11, SIZE, SIZE, 3)
    assert np.abs(images - expected_images()).max() <= 1


def test_at_its_own_size_an_image_is_left_as_it_is(tmp_path):
    lay_zip(tmp_path)
    images, _ = read_all(tmp_path, 84)
    assert np.array_equal(images[4], picture("n02", 0))


def test_pickles_that_python_2_wrote_are_read(tmp_path):
    """Written by hand, opcode by opcode: names of keys and pixels are Python 2's strings."""
    for part in ("train", "test"):
        content = pickled(part, "cache")
        pixels, rows = content["image_data"], content["class_dict"]
        classes = b"".join(
            b"U\x03" + c.encode() + b"](" + b"".join(b"K" + bytes([row]) for row in own) + b"e"
            for c, own in rows.items()
        )
        dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
        array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        array += b"(K\x01(K" + bytes([len(pixels)]) + b"KTKTK\x03t" + dtype
        array += b"\x89T" + struct.pack("<i", pixels.size) + pixels.tobytes() + b"tb"
        data = b"\x80\x02}(U\nimage_data" + array + b"U\nclass_dict}(" + classes + b"uu."
        write(tmp_path / f"mini-imagenet-cache-{part}.pkl", data)
    images, classes = read_all(tmp_path)
    assert [c.name for c in classes] == ORDER
    assert np.abs(images - expected_images()).max() <= 1


def test_extra_images_come_after_the_class_s_own_and_are_squeezed(tmp_path):
    lay_zip(tmp_path)
    wide = noise(9, shape=(84, 168, 3))
    write(tmp_path / "extra/n02/n02_7.JPEG", encoded(wide))
    write(tmp_path / "extra/n02/n02_8.png", encoded(picture("n02", 8)))
    images, classes = read_all(tmp_path)
    assert [(c.first, c.examples, c.extra) for c in classes] == [(0, 4, 0), (4, 5, 2), (9, 2, 0), (11, 2, 0)]
    mean = wide.astype(float).reshape(SIZE, 4, SIZE, 8, 3).mean(axis=(1, 3))
    assert np.abs(images[7] - mean).max() <= 1
    write(tmp_path / "extra/n20/1.png", encoded(wide))
    with pytest.raises(FedmetaError, match="extra/n20: mini-ImageNet has no class with this name"):
        read(tmp_path, SIZE)


def test_where_nothing_is_one_line_names_the_layouts(tmp_path):
    for raw in (tmp_path / "mini_imagenet", tmp_path):
        with pytest.raises(FedmetaError, match=f"not in {raw}, .*no official download: put there .1. images.zip") as e:
            read(raw, SIZE)
        assert all(part in str(e.value) for part in ("train.csv", "train/CLASS/", "mini-imagenet-cache-train.pkl"))
        assert "\n" not in str(e.value)


def test_the_training_part_alone_is_not_enough(tmp_path):
    lay_cache_pickles(tmp_path)
    (tmp_path / "mini-imagenet-cache-test.pkl").unlink()
    with pytest.raises(FedmetaError, match="mini-ImageNet is not in"):
        read(tmp_path, SIZE)


def test_broken_files_are_named(tmp_path):
    lay_zip(tmp_path)
    archive = tmp_path / "images.zip"
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-100])
    with pytest.raises(FedmetaError, match=r"images\.zip is truncated or not a zip file"):
        read(tmp_path, SIZE)
    damaged = bytearray(whole)
    damaged[200] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(FedmetaError, match=r"images\.zip: images/n02.*png cannot be read as an image"):
        read_all(tmp_path)
    write(tmp_path / "mini-imagenet-cache-train.pkl", b"\x80\x04")
    write(tmp_path / "mini-imagenet-cache-test.pkl", b"\x80\x04")
    with pytest.raises(FedmetaError, match=r"cache-train\.pkl is truncated or not a pickle of arrays"):
        read(tmp_path, SIZE)


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {"images": noise(1, shape=(2, 84, 84, 3))},
        {"image_data": noise(1, shape=(2, 84, 84, 3))},
        {"image_data": noise(1, shape=(2, 84, 84)), "class_dict": {"a": [0, 1]}},
        {"image_data": np.zeros((2, 84, 84, 3)), "class_dict": {"a": [0, 1]}},
        {"image_data": noise(1, shape=(2, 84, 84, 3)), "class_dict": {"a": [0, 2]}},
        {"image_data": noise(1, shape=(2, 84, 84, 3)), "class_dict": {"a": ["0"]}},
        {"data": [[1, 2]], "labels": [0, 1]},
    ],
)
def test_pickles_of_something_else_are_named(tmp_path, content):
    for part in ("train", "test"):
        write(tmp_path / f"mini-imagenet-cache-{part}.pkl", pickle.dumps(content))
    with pytest.raises(FedmetaError, match=r"train\.pkl has neither image_data and class_dict nor data and labels"):
        read(tmp_path, SIZE)


def test_labels_without_names_are_names(tmp_path):
    for name, part in (("train_phase_train", "train"), ("test", "test")):
        content = pickled(part, "labels")
        del content["catname2label"]
        content["labels"] = np.array(content["labels"]) + 40 * (part == "test")
        write(tmp_path / f"miniImageNet_category_split_{name}.pickle", pickle.dumps(content))
    _, classes = read_all(tmp_path)
    assert [c.name for c in classes] == ["60", "61", "100", "101"]


def test_large_photographs_of_a_class_are_reduced(tmp_path):
    lay_class_folders_of_other_names(tmp_path)
    rows, columns = np.mgrid[:336, :420]
    ramp = np.stack([rows / 335 * 255, columns / 419 * 255, 0 * rows], axis=-1).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "n01/00000000.png.JPEG", quality=95)
    images, _ = read_all(tmp_path)
    expected = ramp.reshape(SIZE, 16, SIZE, 20, 3).mean(axis=(1, 3))
    assert np.abs(images[0] - expected).max() < 6
