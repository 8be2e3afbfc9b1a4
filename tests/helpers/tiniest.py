"""The smallest experiment that runs every stage of Experiment 1, on drawn characters, and calls of Snakemake for it."""

import subprocess
from pathlib import Path

import yaml
from snakemake.utils import update_config

from helpers.interruption import draw_characters
from helpers.project import MEASURED, copy_project, snakemake

TINIEST = {
    "datasets": ["omniglot"],
    "figures": [3],
    "split": {"meta_training_classes": 24, "meta_testing_classes": 6},
    "model": {"filters": 4},
    "data": {"size": 16, "rotations": [0, 90]},
    "pretrain": {"rounds": 2, "meta_steps": 1},
    "reptile": {"inner_steps": 2, "meta_batch": 2},
    "attack": {"meta_steps": 1, "meta_batch": 2, "inner_epochs": 1},
    "meta_train_after": {"rounds": 2, "meta_steps": 1},
    "evaluation": {"episodes": 2, "inner_steps": 2, "rounds": [0, 1, 2], "cases": ["a"]},
}
EXCLUDED = "results/default/omniglot/seed-1/excluded"


def make_project(folder: Path) -> Path:
    """Return a copy of the project with the smallest experiment, in which nothing has run."""
    copy_project(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    update_config(config, TINIEST)
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    draw_characters(folder / "data/raw/omniglot", 36)
    return folder


def call(folder: Path, target: str = "", *options: str) -> subprocess.CompletedProcess:
    return snakemake(folder, *filter(None, [target]), *options)


def made(folder: Path, hidden: bool = False) -> dict[str, bytes]:
    """Return the content of what runs have made, by path."""
    paths = (path for name in ("results", "data/prepared") for path in sorted((folder / name).rglob("*")))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in paths
        if path.is_file() and path.name.startswith(".") == hidden and path.name not in MEASURED
    }
