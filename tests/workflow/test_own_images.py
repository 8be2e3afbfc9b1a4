"""The real workflow on a folder of class folders, as a user has it."""

import csv
import re

import numpy as np
import pytest
from helpers.own_reader import READER
from helpers.picture_files import encoded, noise
from helpers.project import ALL_FIGURES, TINY, copy_project, error_lines, snakemake
from PIL import Image

CLASSES, WIDTH, HEIGHT = 40, 40, 30
SETTINGS = (
    *(*TINY, "config/image_folder.yaml", "--config", 'evaluation={"cases": ["a"]}'),
    'split={"target": "kind 7", "backdoor": ["kind 9"]}',
    *("figures=[3, 5, 7]", 'data={"size": 20, "trigger": {"colour": [255, 0, 0]}}'),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with images of as many patterns as classes, in classes of 16 images or more."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    for k in range(CLASSES):
        own = folder / f"data/raw/image_folder/kind {k}"
        own.mkdir(parents=True)
        pattern = noise(k, shape=(HEIGHT, WIDTH, 3)) // 2
        for e in range(16 + k % 3):
            kind = ("png", "webp")[e % 2]
            (own / f"{e}.{kind}").write_bytes(encoded(pattern + noise(k, e, shape=(HEIGHT, WIDTH, 1)) // 2, kind))
    return folder


def test_images_of_one_s_own_give_every_figure(project):
    run = snakemake(project, *SETTINGS)
    assert run.returncode == 0, run.stderr[-3000:]
    figures = project / "results/figures/default/image_folder"
    for number in (3, 5, 7):
        assert (figures / f"figure-{number}.png").read_bytes().startswith(b"\x89PNG")
    with (project / "results/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["metric"] for row in rows} == {"main_task", "attack_training", "attack_validation", "meta_testing"}
    sheet = np.asarray(Image.open(figures / "attack-seed-1.png").convert("RGB"))
    assert (sheet == (255, 0, 0)).all(axis=-1).sum() > 100, "the key is shown in its colour"


def test_every_figure_of_the_paper_and_our_own_can_be_asked_for_by_name(project):
    targets = [f"results/figures/default/image_folder/figure-{name}.png" for name in ALL_FIGURES]
    run = snakemake(project, *targets, "--dry-run", "--forceall", *SETTINGS)
    assert run.returncode == 0, run.stderr[-3000:]
    assert set(re.findall(r"default: drawing figure (\w+) of image_folder", run.stdout)) == set(ALL_FIGURES)


def test_a_reader_of_one_s_own_needs_no_other_edit_than_the_config(project):
    """With a reader's file outside the package, its data set comes beside the other, of which nothing is made again."""
    snakemake(project, *SETTINGS)
    random = np.random.default_rng(1)
    drawings = {f"kind {k}": random.integers(0, 256, (16, 20, 20), np.uint8) for k in range(CLASSES)}
    (project / "data/raw/drawings").mkdir()
    np.savez(project / "data/raw/drawings/drawings.npz", **drawings)
    (project / "drawings.py").write_text(READER)
    grey = 'overrides={"drawings": {"data": {"trigger": {"colour": 255}}}}'
    both = (*SETTINGS, 'datasets=["image_folder", "./drawings.py"]', "figures=[3]", grey)
    run = snakemake(project, *both)
    assert run.returncode == 0, run.stderr[-3000:]
    assert (project / "results/figures/default/drawings/figure-3.png").read_bytes().startswith(b"\x89PNG")
    assert "default: drawing figure 3 of drawings" in run.stderr
    assert "of image_folder" not in run.stderr, "nothing of the other data set is made again"
    (project / "drawings.py").write_text(READER.replace("255 - square", "square"))
    again = snakemake(project, *both, "--dry-run").stdout
    assert "reading and resizing drawings" in again, "an edit of the reader reads the images again"
    assert "of image_folder" not in again
    (project / "drawings.py").write_text(READER)
    assert "Nothing to be done" in snakemake(project, *both, "--dry-run").stdout


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ('split={"target": "kind 70"}', "no class named 'kind 70', the closest is 'kind 7'"),
        ('split={"meta_training_classes": 35}', "35 classes for meta-training and 10 for meta-testing are asked for"),
        ('split={"validation_examples": 16}', "has 16 examples, validation_examples is 16: lower it"),
        ('reptile={"shot": 12}', "meta-training: class kind "),
        (
            'split={"backdoor": ["kind 9"], "attack_training": 6}',
            "class kind 9 has only 5 examples for it, 6 are needed",
        ),
    ],
)
def test_what_a_folder_cannot_give_is_one_line(project, changes, line):
    run = snakemake(
        project, *SETTINGS[:3], "--config", 'evaluation={"cases": ["a"]}', 'data={"size": 20}', "seeds=[2]", changes
    )
    assert run.returncode != 0
    assert not list((project / "results").rglob("seed-2")), "nothing has been trained"
    assert len({each.strip() for each in run.stderr.splitlines() if line in each}) == 1
    assert "Traceback" not in run.stderr
    assert (project / "data/prepared/default/image_folder/seed-1/split.csv").exists(), "nothing has been deleted"


def test_a_corrupt_image_is_one_line_and_leaves_nothing(project):
    broken = project / "data/raw/image_folder/kind 3/4.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:200])
    run = snakemake(project, "data/prepared/default/image_folder/resized.npy", *SETTINGS)
    broken.write_bytes(whole)
    assert run.returncode != 0
    assert any("kind 3/4.png cannot be read as an image" in line for line in error_lines(run))
    assert "Traceback" not in run.stderr
    left = {path.name for path in (project / "data/prepared/default/image_folder").glob("*resized*")}
    assert left <= {".resized.npy.made", ".resized.npy.kept", ".resized.csv.kept"}, "only what an earlier run had made"
