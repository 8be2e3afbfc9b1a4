"""How long the jobs of a run took, beside the paper's run times."""

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from fedmeta.errors import FedmetaError

# Minutes on one T4 GPU, by the rule that does the same work. Source: the paper's Appendix B, run-time table.
PAPER_MINUTES = {
    ("pretrain", "omniglot"): 250,
    ("pretrain", "mini_imagenet"): 250,
    ("attack", "omniglot"): 1250,
    ("attack", "mini_imagenet"): 450,
    ("adapt", "omniglot"): 130,
    ("adapt", "mini_imagenet"): 130,
    ("meta_train_after", "omniglot"): 80,
    ("meta_train_after", "mini_imagenet"): 120,
}
BENCHMARK_PATH = re.compile(
    r"(.*/)?logs/benchmarks/(?P<rule>[^/]+)(/(?P<scenario>[^/]+)(/(?P<dataset>[^/]+)"
    r"(/seed-(?P<seed>[0-9]+)(/(?P<scope>excluded|included))?(/(?P<wildcards>.+))?)?)?)?\.tsv"
)
ORDER = ["rule", "scenario", "dataset", "seed", "scope", "wildcards"]
COLUMNS = [*ORDER, "seconds", "max_rss_mb", "cpu_seconds", "paper_minutes"]


def run_times(
    benchmark_files: Mapping[str | os.PathLike, float], methods: Mapping[str, Mapping[str, str]]
) -> pd.DataFrame:
    """Return one row for each of Snakemake's benchmark files, sorted by what was run.

    Each file comes with the seconds that interrupted runs took for what its job resumed, NaN if that is not known.

    A path reads `logs/benchmarks/{rule}[/{scenario}[/{dataset}[/seed-{seed}[/{scope}][/{rest}]]]].tsv`, with the parts
    that the rule has: `logs/benchmarks/adapt/default/omniglot/seed-0/included/fine_tuning/client-2.tsv`. The
    columns are `rule`, `scenario`, `dataset`, `seed`, `scope` (whether benign data `excluded` or `included` backdoor
    classes), `wildcards` (the rest), `seconds` (wall clock), `max_rss_mb` (peak resident memory), `cpu_seconds` and
    `paper_minutes`: what the paper's Appendix B reports for the whole stage, at the paper's scale, of which a row here
    may be one job of many. `methods` are those of the defences, by scenario and name: the paper's minutes are for
    supervised fine-tuning. For repeated measurements, the mean time and the highest memory are given; what Snakemake
    could not measure is empty. `seconds` of a job that was interrupted and resumed is the time of all its parts;
    its `cpu_seconds` is empty. No files, no rows.

    Raises FedmetaError naming the file if its path or content is not a benchmark's.
    """
    rows = [_run_time(Path(path).as_posix(), seconds, methods) for path, seconds in benchmark_files.items()]
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"seed": "Int64", "paper_minutes": "Int64"})
    return table.sort_values(ORDER, na_position="first", ignore_index=True)


def _run_time(path: str, earlier: float, methods: Mapping[str, Mapping[str, str]]) -> dict:
    """Return the row of one benchmark file as described in `run_times`."""
    match = BENCHMARK_PATH.fullmatch(path)
    if not match:
        raise FedmetaError(
            f"{path} is not of the form logs/benchmarks/rule/scenario/dataset/seed-0/rest.tsv: rename it"
        )
    job = match.groupdict(default="")
    try:
        measured = pd.read_csv(path, sep="\t")[["s", "max_rss", "cpu_time"]].apply(pd.to_numeric)
    except (OSError, ValueError, KeyError) as error:
        raise FedmetaError(f"{path} is not a benchmark of Snakemake: delete it and run its rule again") from error
    method = methods.get(job["scenario"], {}).get(job["wildcards"].partition("/")[0])
    of_the_paper = job["rule"] != "adapt" or method == "fine_tuning"
    return {
        **job,
        "seed": int(job["seed"]) if job["seed"] else None,
        "seconds": measured["s"].mean() + earlier,
        "max_rss_mb": measured["max_rss"].max(),
        "cpu_seconds": measured["cpu_time"].mean() if earlier == 0 else None,
        "paper_minutes": PAPER_MINUTES.get((job["rule"], job["dataset"])) if of_the_paper else None,
    }
