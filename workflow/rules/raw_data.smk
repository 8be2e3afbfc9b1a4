# ----------------------------------------------------------------------
# What is in the raw files, without reading all of them whenever the rules are read
# ----------------------------------------------------------------------
import os

# The raw files that can be downloaded, with the MD5 of what is published: where one is missing, just that is.
PUBLISHED = {
    "glyphs": {},
    "omniglot": {
        "images_background.zip": "68d2efa1b9178cc56df9314c21c6e718",
        "images_evaluation.zip": "6b91aef0f799c5bb55b94e3f2daec811",
    },
}
# Those that users put there themselves, with how deep in the folder they are looked for.
LOCAL = {"mini_imagenet": 3, "image_folder": 2}


def raw_folder(dataset):
    """Return the folder of a data set's raw files: of its name, or with a hyphen for the underscore."""
    folders = [Path(config["raw_data"]) / name for name in (dataset, dataset.replace("_", "-"))]
    return next(filter(Path.exists, folders), folders[0])


@cache
def raw_contents(dataset):
    """Return what is in the raw files of a data set, never where they are."""
    if dataset in PUBLISHED:
        return {name: archive_content(dataset, name) for name in PUBLISHED[dataset]}
    contents = sorted(contents_in(str(raw_folder(dataset)), LOCAL[dataset]))
    return {"files": hashlib.md5(json.dumps(contents).encode()).hexdigest()} if contents else {}


def archive_content(dataset, name):
    """Return the MD5 of an archive, or of names and sizes in the folder extracted from it, or what is published."""
    path = raw_folder(dataset) / name
    folder = path.with_suffix("")
    if path.is_file():
        return hashlib.md5(path.read_bytes()).hexdigest()
    if folder.exists():
        sizes = sorted((str(file.relative_to(folder)), file.stat().st_size) for file in folder.rglob("*.png"))
        return hashlib.md5(json.dumps(sizes).encode()).hexdigest()
    return PUBLISHED[dataset][name]


# Images are told by their names and sizes: there may be tens of thousands.
IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".tif", ".tiff", ".webp")


def contents_in(folder, depth, prefix=""):
    """Yield the path of each raw file in a folder and what tells its content, without reading large files."""
    for entry in os.scandir(folder) if os.path.isdir(folder) else ():
        path, suffix = prefix + entry.name, os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from contents_in(entry.path, depth - 1, path + "/") if depth > 1 else ()
        elif suffix in IMAGES:
            yield path, entry.stat().st_size
        elif suffix in TOLD_BY:
            yield path, TOLD_BY[suffix](entry.path)


def size_and_ends(path):
    """Return a file's size, and the MD5 of its ends. A zip archive's last megabytes have all its files' checksums."""
    size, some = os.path.getsize(path), 8_000_000
    with open(path, "rb") as file:
        ends = file.read(some)
        file.seek(max(0, size - some))
        return size, hashlib.md5(ends + file.read()).hexdigest()


TOLD_BY = dict.fromkeys((".zip", ".csv", ".pkl", ".pickle"), size_and_ends)


def check_raw_data(dataset):
    """Raise WorkflowError, before anything is made or unmade, if nobody has put the data set's raw files there."""
    if raw_contents(dataset):
        return
    from fedmeta.data.datasets import read
    from fedmeta.errors import FedmetaError

    try:
        read(dataset, Path(config["raw_data"]), settings(dataset)["data"]["size"])
    except FedmetaError as error:
        raise WorkflowError(str(error))


for dataset in LOCAL.keys() & config["datasets"]:
    check_raw_data(dataset)
