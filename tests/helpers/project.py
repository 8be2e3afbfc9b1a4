"""Copies of the project, calls of Snakemake in them, and what these print and make."""

import shutil
import subprocess
import sys
from pathlib import Path

from helpers import forked

ROOT = Path(__file__).parents[2]
PARTS = ("Snakefile", "config.yaml", "config", "workflow", "profiles", "fedmeta")
TINY = ("--configfile", "config/tiny.yaml")
SIDE_BY_SIDE = ("--config", "threads=1")  # a core for each stage, where there is a GPU for each
# Files with measured times in them: all others are the same bytes in every run.
MEASURED = {"run_times.csv", "run_times.html"}
MEASURED |= {f"paper_against_ours.{suffix}" for suffix in ("csv", "html", "png", "svg")}


def is_measured(path: str | Path) -> bool:
    """Tell whether a file, or what is kept of one, has measured times in it."""
    return Path(path).name.removeprefix(".").removesuffix(".kept") in MEASURED


ALL_FIGURES = [*"345678", *(f"A{number}" for number in range(1, 12)), "order", "ablation", "delta"]


def copy_project(folder: Path) -> Path:
    """Copy what a run needs into `folder`, with what has been compiled."""
    folder.mkdir(exist_ok=True)
    half_written = shutil.ignore_patterns("*.pyc.*")  # by other processes that run tests
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=half_written)
        else:
            shutil.copy(source, folder / part)
    return folder


def command(*arguments: str, gpus: int = 1) -> list[str]:
    """Return a call of Snakemake. Targets come first: it would take one after --resources for a resource."""
    return [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--resources", f"gpu={gpus}"]


def snakemake(folder: Path, *arguments: str, gpus: int = 1) -> subprocess.CompletedProcess:
    """Run snakemake in a copy of the project; the stages use that copy's modules, whichever are installed."""
    return forked.run(command(*arguments, gpus=gpus), folder)


def typed(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """The same in a process that starts anew, as from a shell, where its time counts."""
    return subprocess.run(command(*arguments), cwd=folder, capture_output=True, text=True)


def error_lines(run: subprocess.CompletedProcess) -> list[str]:
    return [line for line in run.stderr.splitlines() if "error: " in line or "config: " in line]
