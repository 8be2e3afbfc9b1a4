"""Run times of stages whose result was there already: the time of making it counts, not that of linking it."""

import os
from pathlib import Path

LOGS, BENCHMARKS = Path("logs"), Path("logs/benchmarks")


def set_aside(log: str, computed: bool) -> None:
    """Before Snakemake writes the time of a stage, keep that of the run that computed its result, if known.

    `log` identifies the stage. `computed`: whether this run computed the result, so that its time counts.
    """
    benchmark = BENCHMARKS / Path(log).relative_to(LOGS).with_suffix(".tsv")
    true_time = _true_time(benchmark)
    if computed:
        true_time.unlink(missing_ok=True)
    elif not true_time.exists() and benchmark.parent.exists():
        if benchmark.exists():
            os.replace(benchmark, true_time)
        else:
            true_time.touch()


def put_back(folder: Path = BENCHMARKS) -> list[Path]:
    """Replace the times of links by those set aside, and return all files with a time."""
    for true_time in folder.rglob(".*.computed"):
        benchmark = true_time.with_name(true_time.name[1:].removesuffix(".computed"))
        if true_time.stat().st_size:
            os.replace(true_time, benchmark)
        else:
            benchmark.unlink(missing_ok=True)
    return sorted(folder.rglob("*.tsv"))


def _true_time(benchmark: Path) -> Path:
    """Return where the time is while it is set aside; an empty file means that none is known."""
    return benchmark.with_name(f".{benchmark.name}.computed")
