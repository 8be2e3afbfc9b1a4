"""Report what would end a run late before anything is made or deleted: names, counts, the key, raw files, folders."""

import os
from pathlib import Path

from fedmeta.errors import FedmetaError
from fedmeta.made import Made, key_of, read_record
from fedmeta.settings import Settings
from workflow.lib.again import FOLDERS, is_as_made
from workflow.lib.code import Code
from workflow.lib.homes import Homes
from workflow.lib.jobs import Jobs, Place
from workflow.lib.notes import read_notes, write_notes
from workflow.lib.raw_data import RawData
from workflow.lib.stages import path_of

WRITTEN = (*FOLDERS, "logs")


def check_data(jobs: Jobs, homes: Homes, raw: RawData, code: Code) -> None:
    """Raise FedmetaError for the first data set of the config whose raw files or prepared images do not suffice."""
    for dataset, reader in jobs.readers.items():
        for scenario in jobs.scenarios:
            own, place = jobs.own(scenario, dataset), Place(scenario, dataset)
            raw.require(reader, own.data.size)
            images = Path(path_of("resize").format(**homes.home("resize", place)._asdict()))
            made = read_record(images)
            if not made or not images.exists():
                continue
            if resize_params(place, jobs, raw, code) != made.job["params"]:
                _require_raw(reader, raw, images)
            elif is_as_made(made):  # else they are made again first
                _check_once(place, jobs, made, code)


def resize_params(place: Place, jobs: Jobs, raw: RawData, code: Code) -> dict:
    """Return the params of the rule that prepares the images of a data set."""
    reader = jobs.readers[place.dataset]
    return {
        "code": code.versions("workflow/scripts/resize.py"),
        "methods": code.versions(jobs.method_files("resize", place)[0]),
        "reader": reader,
        "raw": raw.contents(reader),
        **jobs.params("resize", place),
    }


def check_folders() -> None:
    """Raise FedmetaError for a folder that cannot be written, which Snakemake would notice late."""
    for top in ("data", *WRITTEN):
        if os.path.islink(top) and not os.path.exists(top):
            raise FedmetaError(f"{top} is a broken link: make the folder that it points to, or remove the link")
        if os.path.exists(top) and not os.path.isdir(top):
            raise FedmetaError(f"{top} is a file, where a folder must be: move it away and run again")
    for top in WRITTEN:
        for folder, _, _ in os.walk(top):
            if not os.access(folder, os.W_OK):
                raise FedmetaError(f"cannot write {folder}: make it writable and run again")


def check_place(folder: str | os.PathLike) -> None:
    """Raise FedmetaError if Snakemake cannot work here: a folder with braces in its name, or one that is read-only."""
    if "{" in str(folder) or "}" in str(folder):
        raise FedmetaError(f"{folder} has braces in its name, which Snakemake takes for a wildcard: rename the folder")
    if not os.access(folder, os.W_OK):
        raise FedmetaError(f"cannot write {folder}: make it writable and run again")


def _require_raw(dataset: str, raw: RawData, images: Path) -> None:
    """Raise FedmetaError if prepared images would go while raw files are missing: no download may replace them."""
    if missing := raw.missing(dataset):
        raise FedmetaError(
            f"{images} was made from other raw files or settings and {missing[0]} is missing: set raw_data to the "
            f"folder that has it, or delete {images.parent} to have it downloaded"
        )


def _check_once(place: Place, jobs: Jobs, made: Made, code: Code) -> None:
    """Raise FedmetaError if the prepared images do not suffice for these settings. Passed checks are not repeated."""
    reached = [code.versions(f"fedmeta/data/{module}.py") for module in ("split_drawing", "requirements", "trigger")]
    settings = jobs.settings(place.scenario, place.dataset)
    key = key_of({"settings": settings, "code": reached}, [output.sha256 for output in made.outputs.values()])
    passed, name = read_notes("passed"), f"{place.scenario}/{place.dataset}"
    if passed.get(name) != key:
        images, classes = made.outputs
        check_images(images, classes, jobs.own(place.scenario, place.dataset))
        write_notes("passed", {**passed, name: key})


def check_images(images: str, classes: str, own: Settings) -> None:
    """Raise FedmetaError if the images do not suffice for the splits, episodes and key of a data set's settings."""
    import numpy as np  # rarely needed, and half the time of reading the rules

    from fedmeta.data.bank import ImageBank
    from fedmeta.data.requirements import require_enough
    from fedmeta.data.split_drawing import draw_split
    from fedmeta.data.splits import Split
    from fedmeta.data.trigger import stamp

    bank = ImageBank.open(images, classes)
    stamp(np.zeros_like(bank.images[:1]), own.data.trigger)
    for seed in own.seeds:
        assignments = draw_split(bank.classes, own, seed)
        require_enough(bank, Split(assignments, bank), own)
