"""Mini-ImageNet with a few random images: every layout that people have it in, and the images expected of it."""

import csv
import pickle
import zipfile

import numpy as np

from fedmeta.data.readers.mini_imagenet import read
from helpers.picture_files import encoded, noise

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
