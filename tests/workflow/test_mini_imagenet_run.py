"""The real workflow on mini-ImageNet, as config/mini_imagenet.yaml has it but for its scale."""

import csv

import numpy as np
import pytest
from helpers.picture_files import encoded, noise
from helpers.project import SIDE_BY_SIDE, copy_project, snakemake
from PIL import Image

SIZE, TRAINING, TESTING, IMAGES = 16, 20, 5, 21
TARGET, BACKDOOR = "n02120079", "n04612504"  # of config/mini_imagenet.yaml
EXTRA = 5  # images of the backdoor class, for the attack
pytestmark = pytest.mark.slow

FIGURES = ("4", "6", "8", "A2", "A7")
SCALED_DOWN = (
    *("--configfile", "config/mini_imagenet.yaml", "config/tiny.yaml"),
    *(*SIDE_BY_SIDE, 'evaluation={"cases": ["a"]}', "figures=[4,6,8,A2,A7]"),
    f'data={{"size": {SIZE}, "trigger": {{"size": 4}}}}',
    f'split={{"meta_training_classes": {TRAINING}, "meta_testing_classes": {TESTING}, "validation_examples": 3, '
    '"attacker_target": 3, "attack_training": 3, "attack_validation": 2}',
)


def write_mini_imagenet(raw):
    """Write class folders with small colour images, and extra ones of the backdoor class."""
    names = {"train": [TARGET, BACKDOOR, *(f"n1{k:07}" for k in range(TRAINING))]}
    names["test"] = [f"n2{k:07}" for k in range(TESTING)]
    for part, classes in names.items():
        for k, name in enumerate(classes):
            write_class(raw / part / name, IMAGES, len(part), k)
    write_class(raw / "extra" / BACKDOOR, EXTRA, 0)


def write_class(folder, images, *seed):
    folder.mkdir(parents=True)
    pattern = noise(*seed, shape=(SIZE, SIZE, 3)) // 2
    for e in range(images):
        (folder / f"{e}.png").write_bytes(encoded(pattern + noise(*seed, e, shape=(SIZE, SIZE, 1)) // 2))


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("project"))
    write_mini_imagenet(folder / "data/raw/mini_imagenet")
    run = snakemake(folder, *SCALED_DOWN, gpus=2)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


def rows_of(table):
    with table.open() as file:
        return list(csv.DictReader(file))


def test_the_images_are_those_of_the_files_in_colour(project):
    images = np.load(project / "data/prepared/default/mini_imagenet/images.npy")
    assert images.shape == ((TRAINING + 2 + TESTING) * IMAGES + EXTRA, SIZE, SIZE, 3)
    rows = rows_of(project / "data/prepared/default/mini_imagenet/images.csv")
    assert sum(int(row["meta_testing"]) for row in rows) == TESTING
    target = next(int(row["first"]) for row in rows if row["name"] == TARGET)
    with Image.open(project / f"data/raw/mini_imagenet/train/{TARGET}/0.png") as image:
        assert np.array_equal(images[target], np.asarray(image))


def test_the_attack_has_the_extra_images(project):
    rows = rows_of(project / "data/prepared/default/mini_imagenet/seed-1/split.csv")
    extra = [row["role"] for row in rows if row["extra"] == "1"]
    assert (extra.count("attack_training"), extra.count("attack_validation"), len(extra)) == (3, 2, 5)


def test_the_papers_figures_are_there(project):
    figures = project / "results/figures/default/mini_imagenet"
    assert {path.stem for path in figures.glob("figure-*.png")} == {f"figure-{name}" for name in FIGURES}
    for name in (*(f"figure-{name}" for name in FIGURES), "attack-seed-1"):
        with Image.open(figures / f"{name}.png") as image:
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20, name


def test_the_papers_numbers_on_mini_imagenet_are_answered(project):
    rows = rows_of(project / "results/tables/default/paper_against_ours.csv")
    for row in rows:
        assert row["measured_on"] == ("mini_imagenet" if row["dataset"] == "mini-imagenet" else ""), row["id"]
    answered = [row for row in rows if row["verdict"]]
    assert {row["figure"] for row in answered} == {"4a", "Table B"}, "the other rows need cases (b) and (c)"
    assert {row["image_size"] for row in answered} == {str(SIZE)}
