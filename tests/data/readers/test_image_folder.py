import numpy as np
import pytest
from helpers.picture_files import encoded, noise
from PIL import Image

from fedmeta.data.raw_images import SUFFIXES
from fedmeta.data.readers.image_folder import read
from fedmeta.errors import FedmetaError


def put(folder, pictures):
    """Write {CLASS/NAME: bytes}."""
    for name, data in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def read_all(folder, size=12):
    images, classes = read(folder, size)
    return np.stack(list(images)), classes


def test_classes_and_images_come_in_order_of_their_names_and_may_be_ragged(tmp_path):
    pixels = {name: noise(k, shape=(12, 12, 3)) for k, name in enumerate(["b/2.png", "b/1.PNG", "a/z.bmp", "b/3.png"])}
    put(tmp_path, {name: encoded(p, "bmp" if "bmp" in name else "png") for name, p in pixels.items()})
    images, classes = read_all(tmp_path)
    assert [(c.name, c.first, c.examples) for c in classes] == [("a", 0, 1), ("b", 1, 3)]
    assert np.array_equal(images, np.stack([pixels[n] for n in ("a/z.bmp", "b/1.PNG", "b/2.png", "b/3.png")]))


def test_the_centred_square_is_reduced_to_the_mean_of_each_area(tmp_path):
    wide, high = noise(1, shape=(36, 50, 3)), noise(2, shape=(40, 24, 3))
    put(tmp_path, {"a/high.png": encoded(high), "a/wide.png": encoded(wide)})
    images, _ = read_all(tmp_path)
    squares = high[8:32].astype(float), wide[:, 7:43].astype(float)
    for image, square in zip(images, squares, strict=True):
        by = len(square) // 12
        mean = square.reshape(12, by, 12, by, 3).mean(axis=(1, 3))
        assert np.abs(image - mean).max() <= 1


def test_a_large_photograph_keeps_its_colours_and_places(tmp_path):
    rows, columns = np.mgrid[:480, :640]
    ramp = np.stack([rows / 479 * 255, columns / 639 * 255, 0 * rows], axis=-1).astype(np.uint8)
    put(tmp_path, {"a/1.jpg": encoded(ramp, "jpeg", quality=95)})
    images, _ = read_all(tmp_path, 16)
    expected = ramp[:, 80:560].reshape(16, 30, 16, 30, 3).mean(axis=(1, 3))
    assert np.abs(images[0] - expected).max() < 6


def test_small_images_are_enlarged_smoothly(tmp_path):
    put(tmp_path, {"a/1.png": encoded(np.array([[0, 240]] * 2, np.uint8))})
    images, _ = read_all(tmp_path, 16)
    assert len(np.unique(images)) > 6


def test_grey_images_have_one_channel_with_black_255(tmp_path):
    grey = noise(1, shape=(12, 12))
    as_colour = np.repeat(grey[..., None], 3, axis=-1)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    bits = encoded(grey // 128 * 255)
    put(tmp_path, {"a/1.png": encoded(grey), "a/2.png": encoded(as_colour), "b/1.png": bits})
    deep.save(tmp_path / "b/2.png")
    images, _ = read_all(tmp_path)
    assert images.shape == (4, 12, 12, 1)
    assert np.array_equal(images[..., 0], 255 - np.stack([grey, grey, grey // 128 * 255, grey]))


@pytest.mark.parametrize("kind", ["jpeg", "webp"])
def test_grey_images_compressed_as_colour_are_grey(tmp_path, kind):
    grey = np.repeat(noise(1, shape=(24, 24, 1)), 3, axis=-1)
    put(tmp_path, {f"a/{quality}.{kind}": encoded(grey, kind, quality=quality) for quality in (40, 75, 95)})
    images, _ = read_all(tmp_path)
    assert images.shape == (3, 12, 12, 1)


def test_one_colour_image_makes_all_of_them_colour(tmp_path):
    grey, colour = noise(1, shape=(12, 12)), noise(2, shape=(12, 12, 3))
    put(tmp_path, {"a/1.png": encoded(grey), "b/1.png": encoded(colour)})
    images, _ = read_all(tmp_path)
    assert np.array_equal(images[0], np.repeat(grey[..., None], 3, axis=-1))
    assert np.array_equal(images[1], colour)


def test_what_is_transparent_is_white(tmp_path):
    pixels = np.dstack([noise(1, shape=(12, 12, 3)), np.full((12, 12), 255, np.uint8)])
    pixels[:6, :, 3] = 0
    put(tmp_path, {"a/1.png": encoded(pixels)})
    images, _ = read_all(tmp_path)
    assert (images[0, :6] == 255).all()
    assert np.array_equal(images[0, 6:], pixels[6:, :, :3])


def test_photographs_are_shown_upright(tmp_path):
    pixels = np.zeros((24, 24, 3), np.uint8)
    pixels[:12, :, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by a quarter, clockwise, to show it
    put(tmp_path, {"a/1.png": encoded(pixels, exif=exif)})
    images, _ = read_all(tmp_path)
    assert np.array_equal(images[0], np.rot90(pixels[::2, ::2], -1))


def test_other_files_are_passed_over(tmp_path):
    put(
        tmp_path,
        {"a/1.png": encoded(noise(1)), "a/notes.txt": b"no", "a/.2.png": b"no", ".b/1.png": b"no", "c.png": b""},
    )
    images, classes = read_all(tmp_path)
    assert len(images) == 1
    assert [c.name for c in classes] == ["a"]


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "webp", "tiff"])
def test_a_corrupt_image_is_named(tmp_path, kind):
    whole = encoded(noise(1), kind)
    name = f"b/2.{kind}"
    assert name.endswith(SUFFIXES)
    for data in (b"", b"no image", whole[: len(whole) // 2]):
        put(tmp_path, {"a/1.png": encoded(noise(1)), name: data})
        with pytest.raises(FedmetaError, match=rf"{name} cannot be read as an image \(.*fix or remove it"):
            read_all(tmp_path)


def test_missing_classes_and_images_are_named(tmp_path):
    for folder in (tmp_path / "missing", tmp_path):
        with pytest.raises(FedmetaError, match=f"{folder} has no class folders"):
            read(folder, 12)
    put(tmp_path, {"full/1.png": encoded(noise(1)), "empty/notes.txt": b""})
    with pytest.raises(FedmetaError, match=r"empty has no images \(\.jpg"):
        read(tmp_path, 12)
