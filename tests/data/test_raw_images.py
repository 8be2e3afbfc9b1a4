"""Broken and hostile images and names: each is one line that says which, and none is a traceback."""

import os

import numpy as np
import pytest
from helpers.omniglot_files import members, write_zip
from helpers.picture_files import encoded, noise
from PIL import EpsImagePlugin, Image

from fedmeta.data.readers import image_folder, mini_imagenet, omniglot
from fedmeta.errors import FedmetaError

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\nshowpage\n%%EOF\n"


def put_folder(raw, data):
    path = raw / "Latin/1.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)


def put_omniglot(raw, data):
    path = "images_background/Latin/character01/0001_02.png"
    for archive in omniglot.ARCHIVES:
        write_zip(raw, archive, members(archive) | ({path: data} if archive == "images_background" else {}))


def put_mini_imagenet(raw, data):
    for path in (raw / "train/Latin/1.png", raw / "test/Greek/1.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def read_all(reader, raw):
    images, _ = reader.read(raw, 12)
    return list(images)


READERS = [(image_folder, put_folder), (omniglot, put_omniglot), (mini_imagenet, put_mini_imagenet)]
each_reader = pytest.mark.parametrize(("reader", "put"), READERS, ids=[reader.__name__ for reader, _ in READERS])


@each_reader
def test_no_other_program_is_run_for_an_image(tmp_path, monkeypatch, reader, put):
    run = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *arguments, **_: run.append(arguments))
    put(tmp_path, EPS)
    with pytest.raises(FedmetaError, match=r"\.png cannot be read as an image \(it is not PNG, .* or WEBP\)"):
        read_all(reader, tmp_path)
    assert not run


@each_reader
@pytest.mark.parametrize("side", [10_000, 20_000])  # Pillow warns of the first, and refuses the second
def test_an_image_of_far_too_many_pixels_is_named(tmp_path, recwarn, reader, put, side):
    put(tmp_path, encoded(np.zeros((side, side), bool)))
    with pytest.raises(FedmetaError, match=r"\.png cannot be read as an image \(it has more than 89 million pixels\)"):
        read_all(reader, tmp_path)
    assert not recwarn.list


def test_a_reason_names_no_object_of_this_program(tmp_path):
    put_folder(tmp_path, b"no image")
    with pytest.raises(FedmetaError, match=r"cannot be read as an image \(it is not PNG, JPEG") as error:
        read_all(image_folder, tmp_path)
    assert "BytesIO" not in str(error.value)


def test_a_tiff_with_a_text_for_a_number_is_named(tmp_path):
    """Pillow raises TypeError for it."""
    whole = encoded(noise(1, shape=(20, 20, 3)), "tiff")
    tag = whole.index((273).to_bytes(2, "little") + (4).to_bytes(2, "little"))  # StripOffsets, a number
    put_folder(tmp_path, whole[: tag + 2] + (2).to_bytes(2, "little") + whole[tag + 4 :])
    with pytest.raises(FedmetaError, match=r"1\.png cannot be read as an image"):
        read_all(image_folder, tmp_path)


@pytest.mark.parametrize("name", [b"caf\xe9", b"a\nb", b"a\rb", b"\xe2\x80\xa8", b"\x1b[1m"])
def test_a_class_folder_whose_name_cannot_be_shown_is_named(tmp_path, name):
    own, mini, archives = (tmp_path / reader for reader in ("own", "mini", "omniglot"))
    for folder in (own, mini / "train", mini / "test", archives / "images_background/Greek"):
        folder.mkdir(parents=True)
        path = os.path.join(os.fsencode(folder), name)
        os.mkdir(path)
        with open(os.path.join(path, b"1.png"), "wb") as file:
            file.write(encoded(noise(1)))
    where = {image_folder: own, mini_imagenet: mini, omniglot: archives}
    for reader, raw in where.items():
        with pytest.raises(FedmetaError, match=r"has a class named .* control characters: rename it") as error:
            reader.read_omniglot(raw, 12) if reader is omniglot else reader.read(raw, 12)
        assert str(error.value).startswith(str(raw))
        assert ascii(os.fsdecode(name))[1:-1] in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_names_in_other_scripts_and_with_signs_are_kept(tmp_path):
    names = sorted(["$x^{$", "日本\u3000語", "👩\u200d🚀", 'a, "b" c', "é"])
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(encoded(noise(1)))
    assert [c.name for c in image_folder.read(tmp_path, 12)[1]] == names


def test_a_broken_image_whose_own_name_is_not_utf_8_is_named_in_one_line(tmp_path):
    (tmp_path / "kind").mkdir()
    with open(os.path.join(os.fsencode(tmp_path), b"kind/\xff\n.png"), "wb") as file:
        file.write(b"no image")
    with pytest.raises(FedmetaError, match=r"kind/\\udcff\\n\.png cannot be read as an image") as error:
        read_all(image_folder, tmp_path)
    str(error.value).encode()


def test_what_is_no_file_is_passed_over(tmp_path):
    put_mini_imagenet(tmp_path, encoded(noise(1)))
    os.mkfifo(tmp_path / "train/Latin/2.png")  # reading it would wait for ever
    (tmp_path / "train/Latin/3.png").mkdir()
    (tmp_path / "train/Latin/4.png").symlink_to("nowhere")
    assert len(read_all(mini_imagenet, tmp_path)) == 2


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    put_folder(tmp_path, encoded(noise(1)))

    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(FedmetaError, match=rf"{tmp_path} cannot be read \(Permission denied\): change its permissions"):
        image_folder.read(tmp_path, 12)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "LAB", "P", "LA", "1", "I;16"])
def test_images_of_every_mode_are_read(tmp_path, mode):
    grey = Image.fromarray(noise(1, shape=(24, 24)))
    image = Image.fromarray(noise(1, shape=(24, 24)).astype(np.uint16)) if mode == "I;16" else grey.convert("RGB")
    (tmp_path / "kind").mkdir()
    (image if mode == "I;16" else image.convert(mode)).save(tmp_path / "kind/1.png", "png" if mode == "LA" else "tiff")
    assert read_all(image_folder, tmp_path)[0].shape[:2] == (12, 12)
