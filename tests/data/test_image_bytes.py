"""What archives and files of images may not be, each said in one line before anything large is unpacked."""

import tracemalloc
import zipfile

import numpy as np
import pytest
from helpers import mini_imagenet_files, omniglot_files
from helpers.archives import encrypted, of_method, of_size, zipped
from helpers.picture_files import encoded

from fedmeta.data.image_bytes import MOST_BYTES, zip_members
from fedmeta.data.readers import image_folder, mini_imagenet, omniglot
from fedmeta.errors import FedmetaError

UNUSUAL = {
    "encrypted": (encrypted, "is encrypted: zip the images again without a password"),
    "of an unknown method": (lambda data: of_method(data, 99), r"by an unsupported method \(99\): zip the images"),
    "of bzip2": (lambda data: of_method(data, zipfile.ZIP_BZIP2), r"by an unsupported method \(12\): zip the images"),
    "far too large": (
        lambda data: of_size(data, 3 << 30),
        "would unpack to 3,221 MB, more than the 100 MB that an image may have",
    ),
}


def everything(name):
    return True


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_archive_of_omniglot_is_named(tmp_path, kind):
    change, line = UNUSUAL[kind]
    for archive in omniglot.ARCHIVES:
        (tmp_path / f"{archive}.zip").write_bytes(change(zipped(omniglot_files.members(archive))))
    with pytest.raises(FedmetaError, match=rf"images_background\.zip: images_background/Latin/.*png .*{line}"):
        omniglot.read(tmp_path, 28)


@pytest.mark.parametrize("kind", UNUSUAL)
def test_an_unusual_archive_of_mini_imagenet_is_named(tmp_path, kind):
    change, line = UNUSUAL[kind]
    mini_imagenet_files.write_lists(tmp_path)
    (tmp_path / "images.zip").write_bytes(change(zipped(mini_imagenet_files.all_members())))
    with pytest.raises(FedmetaError, match=rf"images\.zip: n0200000000\.png .*{line}"):
        mini_imagenet.read(tmp_path, 21)


def test_what_is_not_wanted_of_an_archive_may_be_unusual(tmp_path):
    path = tmp_path / "images.zip"
    path.write_bytes(encrypted(zipped({"notes.txt": b"secret", "1.png": b"image"})))
    members = zip_members(path, lambda name: name.endswith(".png"))
    assert {name: read() for name, read in members.items()} == {"1.png": b"image"}


def test_no_more_is_unpacked_than_an_archive_declares(tmp_path):
    path = tmp_path / "images.zip"
    path.write_bytes(of_size(zipped({"1.png": bytes(3 * MOST_BYTES)}), 1000))
    (read,) = zip_members(path, everything).values()
    tracemalloc.start()
    with pytest.raises(zipfile.BadZipFile):
        read()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < MOST_BYTES / 5


@pytest.mark.parametrize("damage", [lambda data: data[:-30], lambda data: b"", lambda data: b"no archive"])
def test_what_is_no_archive_is_named(tmp_path, damage):
    path = tmp_path / "images.zip"
    path.write_bytes(damage(zipped({"1.png": b"image"})))
    with pytest.raises(FedmetaError, match=r"images\.zip is truncated or not a zip file: delete it and fetch it again"):
        zip_members(path, everything)


def test_an_archive_of_a_future_version_or_with_broken_names_is_named(tmp_path):
    path = tmp_path / "images.zip"
    whole = zipped({"ü.png": b"image"})
    central = whole.index(b"PK\x01\x02")
    future = whole[: central + 6] + b"\xff" + whole[central + 7 :]
    for data in (future, whole.replace("ü".encode(), b"\xff\xff")):
        path.write_bytes(data)
        with pytest.raises(FedmetaError, match=r"images\.zip is truncated or not a zip file"):
            zip_members(path, everything)


def test_a_folder_named_like_an_archive_is_named(tmp_path):
    (tmp_path / "images_background.zip/Greek/character01").mkdir(parents=True)
    with pytest.raises(FedmetaError, match=r"background\.zip is a folder, not a zip .*rename it to images_background$"):
        omniglot.read_omniglot(tmp_path, 28)
    mini_imagenet_files.write_lists(tmp_path)
    (tmp_path / "images.zip").mkdir()
    with pytest.raises(FedmetaError, match=r"images\.zip is a folder, not a zip file: rename it to images$"):
        mini_imagenet.read(tmp_path, 28)


def test_a_file_that_is_far_too_large_is_named_and_not_read(tmp_path):
    path = tmp_path / "kind/1.png"
    path.parent.mkdir()
    path.write_bytes(encoded(np.zeros((4, 4), np.uint8)))
    with open(path, "ab") as file:
        file.truncate(MOST_BYTES + 1)
    with pytest.raises(FedmetaError, match=r"1\.png cannot be read as an image \(it is larger than 100 MB\)"):
        image_folder.read(tmp_path, 12)
