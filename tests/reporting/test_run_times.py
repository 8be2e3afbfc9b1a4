import math
import subprocess
import sys

import pandas as pd
import pytest

from fedmeta.errors import FedmetaError
from fedmeta.reporting.run_times import run_times

METHODS = {"default": {"plain": "fine_tuning", "mine": "matching"}, "other": {"plain": "matching"}}
BENCHMARK = (
    "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    "90.50\t0:01:30\t512.25\t900.00\t400.00\t450.00\t0.04\t0.00\t98.00\t88.70\n"
)


def write(path, text):
    path.write_text(text)
    return path


def benchmark(folder, name, text=BENCHMARK):
    path = folder / "logs/benchmarks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return write(path, text)


@pytest.mark.parametrize(
    ("name", "rule", "dataset", "seed", "scope", "wildcards", "paper_minutes"),
    [
        ("aggregate.tsv", "aggregate", "", None, "", "", None),
        ("resize/default/glyphs.tsv", "resize", "glyphs", None, "", "", None),
        ("split/default/omniglot/seed-0.tsv", "split", "omniglot", 0, "", "", None),
        ("pretrain/default/omniglot/seed-12/excluded.tsv", "pretrain", "omniglot", 12, "excluded", "", 250),
        ("attack/default/mini_imagenet/seed-1/included.tsv", "attack", "mini_imagenet", 1, "included", "", 450),
        ("attack/default/glyphs/seed-1/included.tsv", "attack", "glyphs", 1, "included", "", None),
        (
            "adapt/default/omniglot/seed-0/plain/client-2/attacked.tsv",
            "adapt",
            "omniglot",
            0,
            "",
            "plain/client-2/attacked",
            130,
        ),
        (
            "adapt/default/omniglot/seed-0/included/mine/client-2/attacked.tsv",
            "adapt",
            "omniglot",
            0,
            "included",
            "mine/client-2/attacked",
            None,
        ),
        (
            "adapt/other/omniglot/seed-0/included/plain/client-2/attacked.tsv",
            "adapt",
            "omniglot",
            0,
            "included",
            "plain/client-2/attacked",
            None,
        ),
    ],
)
def test_a_benchmarks_path_names_its_job(tmp_path, name, rule, dataset, seed, scope, wildcards, paper_minutes):
    folder = tmp_path / "logs/benchmarks/project"
    (row,) = run_times({benchmark(folder, name): 0.0}, METHODS).to_dict("records")
    assert (row["rule"], row["dataset"], row["scope"], row["wildcards"]) == (rule, dataset, scope, wildcards)
    assert (None if pd.isna(row["seed"]) else row["seed"]) == seed
    assert (None if pd.isna(row["paper_minutes"]) else row["paper_minutes"]) == paper_minutes
    assert (row["seconds"], row["max_rss_mb"], row["cpu_seconds"]) == (90.5, 512.25, 88.7)


def test_repeated_and_unmeasured_benchmarks(tmp_path):
    repeated = BENCHMARK + "30.50\t0:00:30\t600.00\t900.00\t400.00\t450.00\t0.04\t0.00\t98.00\t10.70\n"
    unmeasured = BENCHMARK.splitlines()[0] + "\n0.02\t0:00:00" + "\tNA" * 8 + "\n"
    paths = [benchmark(tmp_path, "b.tsv", unmeasured), benchmark(tmp_path, "a.tsv", repeated)]
    first, second = run_times(dict.fromkeys(paths, 0.0), METHODS).to_dict("records")
    assert (first["seconds"], first["max_rss_mb"]) == (60.5, 600)
    assert first["cpu_seconds"] == pytest.approx(49.7)
    assert second["seconds"] == 0.02
    assert math.isnan(second["max_rss_mb"])
    assert math.isnan(second["cpu_seconds"])


def test_interrupted_runs_of_a_job_are_part_of_its_seconds(tmp_path):
    whole, resumed, unknown = (benchmark(tmp_path, f"{name}.tsv") for name in "abc")
    table = run_times({whole: 0.0, resumed: 600.0, unknown: math.nan}, METHODS)
    assert table.seconds.tolist() == pytest.approx([90.5, 690.5, math.nan], nan_ok=True)
    assert table.cpu_seconds.tolist() == pytest.approx([88.7, math.nan, math.nan], nan_ok=True)


def test_what_snakemake_writes_is_read(tmp_path):
    (tmp_path / "Snakefile").write_text(
        "rule nap:\n"
        "    output: 'out.txt'\n"
        "    benchmark: 'logs/benchmarks/nap/default/glyphs/seed-3/excluded.tsv'\n"
        "    shell: 'sleep 0.3; touch {output}'\n"
    )
    subprocess.run([sys.executable, "-m", "snakemake", "--cores", "1"], cwd=tmp_path, check=True, capture_output=True)
    (row,) = run_times(dict.fromkeys(tmp_path.glob("logs/benchmarks/**/*.tsv"), 0.0), METHODS).to_dict("records")
    assert (row["rule"], row["dataset"], row["seed"], row["scope"]) == ("nap", "glyphs", 3, "excluded")
    assert 0.3 <= row["seconds"] < 30


def test_what_is_no_benchmark_is_refused(tmp_path):
    broken = [
        write(tmp_path / "elsewhere.tsv", BENCHMARK),
        benchmark(tmp_path, "attack/default/omniglot/0/excluded.tsv"),
        benchmark(tmp_path, "attack/default/omniglot/seed-0/words.tsv", "a\tb\nc\td\n"),
        benchmark(tmp_path, "attack/default/omniglot/seed-0/empty.tsv", ""),
        tmp_path / "logs/benchmarks/absent.tsv",
    ]
    for path in broken:
        with pytest.raises(FedmetaError) as error:
            run_times({path: 0.0}, METHODS)
        assert str(path) in str(error.value)


def test_without_benchmarks_the_table_is_empty(tmp_path):
    table = run_times({}, METHODS)
    assert len(table) == 0
    assert list(table) == list(run_times({benchmark(tmp_path, "split/omniglot/seed-0.tsv"): 0.0}, METHODS))
