"""Pickles of mini-ImageNet that contradict themselves."""

import pickle

import pytest
from helpers.mini_imagenet_files import SIZE, pickled, write

from fedmeta.data.readers.mini_imagenet import read
from fedmeta.errors import FedmetaError


def lay(raw, variant, **changed):
    """Write the two pickles; of that of a part, `changed`(content) makes what is written instead."""
    for part, name in (("train", "train_phase_train"), ("test", "test")):
        content = pickled(part, variant)
        changed.get(part, dict)(content)
        file = f"mini-imagenet-cache-{part}.pkl" if variant == "cache" else f"miniImageNet_category_split_{name}.pickle"
        write(raw / file, pickle.dumps(content))


def named(*names):
    """Return a change of the names of a pickle's labels."""

    def change(content):
        content["catname2label"] = dict(zip(names, content["catname2label"].values(), strict=True))

    return change


def test_a_class_in_both_parts_is_named(tmp_path):
    lay(tmp_path, "cache", test=lambda content: content["class_dict"].update(n01=content["class_dict"].pop("n04")))
    with pytest.raises(FedmetaError, match=f"{tmp_path}: class n01 is in both train and test: remove it from one"):
        read(tmp_path, SIZE)


def test_a_labelled_class_in_both_parts_is_named(tmp_path):
    lay(tmp_path, "labels", test=named("n03", "n02"))
    with pytest.raises(FedmetaError, match="class n02 is in both train and test"):
        read(tmp_path, SIZE)


def test_a_class_without_images_is_named(tmp_path):
    lay(tmp_path, "cache", train=lambda content: content["class_dict"].update(n08=[]))
    with pytest.raises(FedmetaError, match="class n08 is listed without images: add images or remove it"):
        read(tmp_path, SIZE)


def test_an_image_of_two_classes_is_named(tmp_path):
    lay(tmp_path, "cache", train=lambda content: content["class_dict"].update(n08=[0]))
    with pytest.raises(FedmetaError, match=r"cache-train\.pkl: image 0 is in both n0\d and n08: fetch it"):
        read(tmp_path, SIZE)


def test_labels_that_are_no_numbers_are_named(tmp_path):
    for label in (float("inf"), float("nan"), "x"):
        lay(tmp_path, "labels", train=lambda content, label=label: content["catname2label"].update(n01=label))
        with pytest.raises(FedmetaError, match=r"train_phase_train\.pickle has neither"):
            read(tmp_path, SIZE)


def test_images_without_pixels_are_named(tmp_path):
    lay(tmp_path, "cache", train=lambda content: content.update(image_data=content["image_data"][:, :0]))
    with pytest.raises(FedmetaError, match=r"cache-train\.pkl has neither"):
        read(tmp_path, SIZE)


@pytest.mark.parametrize("name", ["", "a\nb"])
def test_a_class_whose_name_cannot_be_shown_is_named(tmp_path, name):
    lay(tmp_path, "cache", train=lambda content: content["class_dict"].update({name: content["class_dict"].pop("n01")}))
    with pytest.raises(FedmetaError, match=f"{tmp_path} has a class named .*: rename it"):
        read(tmp_path, SIZE)


def test_a_folder_named_like_a_pickle_is_named(tmp_path):
    lay(tmp_path, "cache")
    (tmp_path / "mini-imagenet-cache-train.pkl").unlink()
    (tmp_path / "mini-imagenet-cache-train.pkl").mkdir()
    with pytest.raises(FedmetaError, match=r"cache-train\.pkl is truncated or not a pickle of arrays .*directory"):
        read(tmp_path, SIZE)
