import zipfile

import numpy as np
import pytest
from helpers.omniglot_files import DRAWINGS, members, paper, png, write_zip

from fedmeta.data.readers.omniglot import ARCHIVES, fetch_omniglot, read_omniglot
from fedmeta.errors import FedmetaError


@pytest.fixture
def raw(tmp_path):
    for archive in ARCHIVES:
        write_zip(tmp_path, archive, members(archive))
    return tmp_path


def test_characters_and_drawings_come_in_order_of_their_names(raw):
    images, classes = read_omniglot(raw, 35)
    assert [c.name for c in classes] == [
        "Greek/character01", "Latin/character01", "Latin/character02", "Angelic/character01",
    ]  # fmt: skip
    assert [(c.rotation, c.base, c.first, c.examples) for c in classes] == [(0, k, 3 * k, 3) for k in range(4)]
    assert images.shape == (12, 35, 35, 1)
    assert images.dtype == np.uint8


def test_pixels_are_the_mean_ink_of_their_area(raw):
    images, classes = read_omniglot(raw, 35)
    for c in classes:
        for drawing in range(DRAWINGS):
            ink = 255.0 * ~paper(c.name, drawing + 1)
            mean = ink.reshape(35, 3, 35, 3).mean(axis=(1, 3))
            assert np.abs(images[c.first + drawing, :, :, 0] - mean).max() <= 1


def test_the_paper_s_size_keeps_the_amount_of_ink(raw):
    images, classes = read_omniglot(raw, 28)
    assert images.shape[1:] == (28, 28, 1)
    ink = 255.0 * ~paper(classes[0].name, 1)
    assert images[0].mean() == pytest.approx(ink.mean(), rel=0.02)


def test_extracted_folders_give_the_same_images(raw, tmp_path):
    from_zips = read_omniglot(raw, 28)
    with zipfile.ZipFile(raw / "images_background.zip") as file:
        file.extractall(raw)
    (raw / "images_background.zip").unlink()
    images, classes = read_omniglot(raw, 28)
    assert np.array_equal(images, from_zips[0])
    assert classes == from_zips[1]


def test_what_packing_programs_add_is_passed_over(raw):
    expected = read_omniglot(raw, 28)[1]
    write_zip(raw, "images_evaluation", members("images_evaluation") | {"__MACOSX/Angelic/character01/._1.png": b"no"})
    assert read_omniglot(raw, 28)[1] == expected


def test_a_missing_archive_is_named(raw):
    (raw / "images_evaluation.zip").unlink()
    with pytest.raises(FedmetaError, match=r"neither images_evaluation\.zip nor a folder images_evaluation"):
        read_omniglot(raw, 28)


def test_an_archive_cut_short_is_named(raw):
    path = raw / "images_background.zip"
    whole = path.read_bytes()
    for kept in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:kept])
        with pytest.raises(FedmetaError, match=r"images_background\.zip is truncated.*delete it"):
            read_omniglot(raw, 28)


def test_an_archive_of_something_else_is_named(raw):
    write_zip(raw, "images_background", {"cats/1.png": png(paper("cat", 1))})
    with pytest.raises(FedmetaError, match=r"images_background\.zip holds no images_background/ALPHABET"):
        read_omniglot(raw, 28)


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:60], lambda data: data[:-40], lambda data: b"x"]
)
def test_a_corrupt_drawing_is_named(raw, damage):
    contents = members("images_background")
    path = "images_background/Latin/character01/0001_02.png"
    write_zip(raw, "images_background", contents | {path: damage(contents[path])})
    with pytest.raises(
        FedmetaError,
        match=r"background\.zip: .*/0001_02\.png cannot be read as an image .*fetch it again",
    ):
        read_omniglot(raw, 28)


def test_a_damaged_byte_in_an_archive_is_found(raw):
    path = raw / "images_evaluation.zip"
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(FedmetaError, match=r"evaluation\.zip: .*png cannot be read as an image .*fetch it again"):
        read_omniglot(raw, 28)


def test_a_character_that_lacks_a_drawing_is_named(raw):
    contents = members("images_evaluation")
    contents.pop("images_evaluation/Angelic/character01/0000_03.png")
    write_zip(raw, "images_evaluation", contents)
    with pytest.raises(FedmetaError, match="Angelic/character01 has 2 drawings, but Greek/character01 has 3"):
        read_omniglot(raw, 28)


def test_only_what_is_missing_is_fetched_and_nothing_half_is_left(tmp_path, monkeypatch):
    import torchvision.datasets.utils as torchvision_utils

    write_zip(tmp_path, "images_background", members("images_background"))
    asked = []

    def cut_short(url, root, filename, md5):
        asked.append((url.rsplit("/", 1)[1], md5))
        (tmp_path / root / filename).write_bytes(b"half")
        raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(torchvision_utils, "download_url", cut_short)
    with pytest.raises(FedmetaError, match=r"put images_background\.zip and images_evaluation\.zip .* into"):
        fetch_omniglot(tmp_path)
    assert asked == [("images_evaluation.zip", "6b91aef0f799c5bb55b94e3f2daec811")]
    assert [path.name for path in tmp_path.iterdir()] == ["images_background.zip"]

    def whole(url, root, filename, md5):
        (tmp_path / root / filename).write_bytes(b"whole")

    monkeypatch.setattr(torchvision_utils, "download_url", whole)
    fetch_omniglot(tmp_path)
    assert (tmp_path / "images_evaluation.zip").read_bytes() == b"whole"
