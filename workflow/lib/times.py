"""Run times of stages whose result was there already, or was begun: the time of making it counts, all of it."""

import logging
import os
from pathlib import Path

from fedmeta.errors import FedmetaError
from fedmeta.files import atomic_path

logger = logging.getLogger(__name__)
LOGS, BENCHMARKS = Path("logs"), Path("logs/benchmarks")


def set_aside(log: str, computed: bool) -> None:
    """Before Snakemake writes the time of a stage, keep that of the run that computed its result, if known.

    `log` identifies the stage. `computed`: whether this run computed the result, so that its time counts.
    """
    benchmark = _benchmark(log)
    true_time = _true_time(benchmark)
    if computed:
        true_time.unlink(missing_ok=True)
    elif not true_time.exists() and benchmark.parent.exists():
        if benchmark.exists():
            os.replace(benchmark, true_time)
        else:
            true_time.touch()


def add_earlier(log: str, seconds: float) -> None:
    """Note how many seconds interrupted runs took for what the stage resumed: they are part of its time.

    If that fails, only warn: a finished stage is worth more than its time.
    """
    path = _earlier(_benchmark(log))
    try:
        path.unlink(missing_ok=True)
        if seconds != 0 and path.parent.exists():
            with atomic_path(path) as temporary:
                temporary.write_text(f"{seconds:.2f}\n")
    except (OSError, FedmetaError) as error:
        logger.warning("the time of interrupted runs could not be noted: %s", error)


def put_back(folder: Path = BENCHMARKS) -> dict[Path, float]:
    """Replace the times of links by those set aside, and return all files with a time, and the seconds to add to it."""
    for true_time in folder.rglob(".*.computed"):
        benchmark = true_time.with_name(true_time.name[1:].removesuffix(".computed"))
        if true_time.stat().st_size:
            os.replace(true_time, benchmark)
        else:
            benchmark.unlink(missing_ok=True)
    files = sorted(folder.rglob("*.tsv"))
    return {file: float(_earlier(file).read_text()) if _earlier(file).exists() else 0.0 for file in files}


def _benchmark(log: str) -> Path:
    return BENCHMARKS / Path(log).relative_to(LOGS).with_suffix(".tsv")


def _earlier(benchmark: Path) -> Path:
    return benchmark.with_name(f".{benchmark.name}.earlier")


def _true_time(benchmark: Path) -> Path:
    """Return where the time is while it is set aside; an empty file means that none is known."""
    return benchmark.with_name(f".{benchmark.name}.computed")
