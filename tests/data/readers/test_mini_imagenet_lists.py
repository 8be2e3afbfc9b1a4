"""Which images the csv files of mini-ImageNet mean."""

import os
import shutil

import numpy as np
import pytest
from helpers.mini_imagenet_files import (
    SIZE,
    all_members,
    expected_images,
    file_name,
    lay_class_folders_by_part,
    lay_class_folders_numbered_alike,
    lay_zip,
    picture,
    read_all,
    write_lists,
    write_zip,
)
from helpers.picture_files import encoded

from fedmeta.data.readers.mini_imagenet import read
from fedmeta.errors import FedmetaError


def test_a_missing_list_is_named(tmp_path):
    lay_zip(tmp_path)
    (tmp_path / "test.csv").unlink()
    with pytest.raises(FedmetaError, match=r"test\.csv is missing: put the one of Ravi and Larochelle there"):
        read(tmp_path, SIZE)
    (tmp_path / "test.csv").write_text("name,class\n1,2\n")
    with pytest.raises(FedmetaError, match=r"test\.csv is not a table with the columns filename and label"):
        read(tmp_path, SIZE)


def test_a_missing_image_is_named(tmp_path):
    contents = all_members()
    contents.pop(file_name("n03", 1))
    write_zip(tmp_path, contents)
    write_lists(tmp_path)
    with pytest.raises(FedmetaError, match=r"images\.zip lacks n0300000001\.png from test\.csv"):
        read(tmp_path, SIZE)


def test_lists_without_images_are_nothing(tmp_path):
    write_lists(tmp_path)
    with pytest.raises(FedmetaError, match=f"mini-ImageNet is not in {tmp_path}, .*no official download: put there"):
        read(tmp_path, SIZE)


def test_two_images_of_a_listed_name_are_named(tmp_path):
    lay_zip(tmp_path)
    listed = file_name("n01", 2)
    contents = {f"{folder}/{name}": data for name, data in all_members().items() for folder in ("old", "new")}
    write_zip(tmp_path, contents)
    with pytest.raises(FedmetaError, match=r"images/old/n01.*png and images/new/n01.*png have the same name, .* n01"):
        read(tmp_path, SIZE)
    write_zip(tmp_path, {**all_members(), f"n02/{listed}": encoded(picture("n02", 9))})
    images, _ = read_all(tmp_path)
    assert np.abs(images - expected_images()).max() <= 1, "an image in another class's folder is none of the class"


def test_an_image_of_another_class_stands_in_for_none(tmp_path):
    lay_class_folders_numbered_alike(tmp_path)
    shutil.rmtree(tmp_path / "n02")
    with pytest.raises(FedmetaError, match=r"lacks 0\.png from train\.csv"):
        read(tmp_path, SIZE)


def append(path, line):
    with path.open("a") as file:
        file.write(line)


def test_a_class_in_both_lists_is_named(tmp_path):
    """A model would be tested on a class that it was trained on."""
    lay_zip(tmp_path)
    append(tmp_path / "test.csv", f"{file_name('n01', 0)},n01\n")
    with pytest.raises(FedmetaError, match=f"{tmp_path}: class n01 is in both train and test: remove it from one"):
        read(tmp_path, SIZE)


def test_a_class_in_both_folders_is_named(tmp_path):
    lay_class_folders_by_part(tmp_path)
    shutil.copytree(tmp_path / "train/n02", tmp_path / "test/n02")
    with pytest.raises(FedmetaError, match="class n02 is in both train and test: remove it from one"):
        read(tmp_path, SIZE)


@pytest.mark.parametrize(("part", "label"), [("train", "n02"), ("test", "n03"), ("train", "n09")])
def test_an_image_of_two_classes_is_named(tmp_path, part, label):
    lay_zip(tmp_path)
    image = file_name("n01", 3)
    append(tmp_path / f"{part}.csv", f"{image},{label}\n")
    with pytest.raises(FedmetaError, match=rf"images/{image} is listed for both class n01 and class {label}: list it"):
        read(tmp_path, SIZE)


@pytest.mark.parametrize("row", ["n0100000003.png", "n0100000003.png,", ",n01", ","])
def test_a_row_cut_short_is_named(tmp_path, row):
    lay_zip(tmp_path)
    append(tmp_path / "train.csv", row)
    with pytest.raises(FedmetaError, match=r"train\.csv is truncated or damaged in line 9: fetch it again"):
        read(tmp_path, SIZE)


def test_a_class_listed_without_its_images_is_named(tmp_path):
    lay_zip(tmp_path)
    append(tmp_path / "test.csv", "n0700000000.png,n07\n")
    with pytest.raises(FedmetaError, match=r"images\.zip lacks n0700000000\.png from test\.csv: put it there or fix"):
        read(tmp_path, SIZE)


def test_a_list_that_is_no_text_is_named(tmp_path):
    lay_zip(tmp_path)
    for data in (b"\xff\xfe\x00", b"filename,label\n\xff,n01\n", b'filename,label\n"' + b"x" * 200_000):
        (tmp_path / "train.csv").write_bytes(data)
        with pytest.raises(FedmetaError, match=r"train\.csv is (not a table|truncated)"):
            read(tmp_path, SIZE)
    (tmp_path / "train.csv").unlink()
    os.mkdir(tmp_path / "train.csv")
    with pytest.raises(FedmetaError, match=r"train\.csv is not a table with the columns filename and label"):
        read(tmp_path, SIZE)
