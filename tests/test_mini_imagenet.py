import csv
import pickle
import struct
import zipfile

import numpy as np
import pytest
from picture_files import encoded, noise
from PIL import Image

from fedmeta.data.readers.mini_imagenet import read
from fedmeta.errors import FedmetaError

SIZE = 21
# Class -> images; not in order, and of different numbers.
PARTS = {"train": {"n02": 3, "n01": 4}, "val": {"n05": 1}, "test": {"n04": 2, "n03": 2}}
ORDER = ["n01", "n02", "n03", "n04"]


def picture(name, k):
    """Return the pixels of a class's image number k."""
    return noise(int(name[1:]), k)


def file_name(name, k):
    return f"{name}{k:08}.png"


def members(part):
    """Return {file name: bytes} of the images of a part."""
    return {file_name(c, k): encoded(picture(c, k)) for c, count in PARTS[part].items() for k in range(count)}


def write(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_lists(raw, parts=PARTS):
    for part in parts:
        with open(raw / f"{part}.csv", "w", newline="") as file:
            rows = [(file_name(c, k), c) for c, count in PARTS[part].items() for k in range(count)]
            csv.writer(file).writerows([("filename", "label"), *rows])


def write_zip(raw, contents, prefix="images/"):
    with zipfile.ZipFile(raw / "images.zip", "w") as file:
        for name, data in contents.items():
            file.writestr(prefix + name, data)


def all_members():
    return {name: data for part in PARTS for name, data in members(part).items()}


def pickled(part, variant):
    """Return the content of a pickle of the part, with the images in another order than the classes'."""
    rows, pixels = {}, []
    for k in range(4):
        for c, count in PARTS[part].items():
            if k < count:
                rows.setdefault(c, []).append(len(pixels))
                pixels.append(picture(c, k))
    if variant == "cache":
        return {"image_data": np.stack(pixels), "class_dict": rows}
    numbers = {c: n + 60 for n, c in enumerate(sorted(rows))}
    labels = [numbers[c] for row in range(len(pixels)) for c in rows if row in rows[c]]
    return {"data": np.stack(pixels), "labels": labels, "catname2label": numbers}


def lay_zip(raw):
    write_zip(raw, all_members())
    write_lists(raw)


def lay_images(raw):
    for name, data in all_members().items():
        write(raw / "images" / name, data)
    write_lists(raw, ("train", "test"))


def lay_class_folders_with_lists(raw):
    for name, data in all_members().items():
        write(raw / name[:3] / name, data)
    write_lists(raw)


def lay_class_folders_of_other_names(raw):
    for name, data in all_members().items():
        write(raw / name[:3] / f"{name[3:]}.JPEG", data)
    write_lists(raw)


def lay_class_folders_numbered_alike(raw):
    """Each class has an image 0.png, and is listed with it."""
    for name, data in all_members().items():
        write(raw / name[:3] / f"{int(name[3:11])}.png", data)
    for part in PARTS:
        rows = "".join(f"{k}.png,{c}\n" for c, count in PARTS[part].items() for k in range(count))
        (raw / f"{part}.csv").write_text(f"filename,label\n{rows}")


def lay_class_folders_by_part(raw):
    for part in PARTS:
        for name, data in members(part).items():
            write(raw / part / name[:3] / name[3:], data)


def lay_hidden_copies(raw):
    """What file managers and notebooks leave: a hidden folder with a class's images again, as folders and zipped."""
    lay_class_folders_by_part(raw)
    for name, data in members("train").items():
        write(raw / ".checkpoints" / name[:3] / name[3:], data)
        write(raw / "train" / ".checkpoints" / name[3:], data)


def lay_zip_with_hidden_copies(raw):
    lay_zip(raw)
    with zipfile.ZipFile(raw / "images.zip", "a") as file:
        for name, data in all_members().items():
            file.writestr(f".thumbnails/{name}", data)


def lay_zipped_class_folders(raw):
    names = {name: f"{part}/{name[:3]}/{name}" for part in PARTS for name in members(part)}
    write_zip(raw, {names[name]: data for name, data in all_members().items()}, "mini/")


def lay_cache_pickles(raw):
    for part in PARTS:
        write(raw / f"mini-imagenet-cache-{part}.pkl", pickle.dumps(pickled(part, "cache")))


def lay_labelled_pickles(raw):
    for name, part in (("train_phase_train", "train"), ("test", "test")):
        path = raw / f"miniImageNet_category_split_{name}.pickle"
        write(path, pickle.dumps(pickled(part, "labels"), 2))


LAYOUTS = [
    lay_zip,
    lay_images,
    lay_class_folders_with_lists,
    lay_class_folders_of_other_names,
    lay_class_folders_numbered_alike,
    lay_class_folders_by_part,
    lay_hidden_copies,
    lay_zip_with_hidden_copies,
    lay_zipped_class_folders,
    lay_cache_pickles,
    lay_labelled_pickles,
]


def read_all(raw, size=SIZE):
    images, classes = read(raw, size)
    return np.stack(list(images)), classes


def expected_images():
    counts = PARTS["train"] | PARTS["test"]
    pictures = np.stack([picture(c, k) for c in ORDER for k in range(counts[c])]).astype(float)
    by = 84 // SIZE
    return pictures.reshape(-1, SIZE, by, SIZE, by, 3).mean(axis=(2, 4))


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
    with pytest.raises(FedmetaError, match="extra/n20: mini-ImageNet has no class of this name"):
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
    with pytest.raises(FedmetaError, match=r"images\.zip is cut short or not a zip file"):
        read(tmp_path, SIZE)
    damaged = bytearray(whole)
    damaged[200] ^= 0xFF
    archive.write_bytes(damaged)
    with pytest.raises(FedmetaError, match=r"images\.zip: images/n02.*png cannot be read as an image"):
        read_all(tmp_path)
    write(tmp_path / "mini-imagenet-cache-train.pkl", b"\x80\x04")
    write(tmp_path / "mini-imagenet-cache-test.pkl", b"\x80\x04")
    with pytest.raises(FedmetaError, match=r"cache-train\.pkl is cut short or not a pickle of arrays"):
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
    with pytest.raises(FedmetaError, match=r"train\.pkl holds neither image_data and class_dict nor data and labels"):
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
