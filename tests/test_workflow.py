"""The real workflow, from raw images to figures, on a tiny config: what a user types, in a copy of the project."""

import csv
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors import safe_open

ROOT = Path(__file__).parents[1]
PARTS = ("Snakefile", "config.yaml", "config", "workflow", "profiles", "fedmeta")
COLUMNS = "dataset,seed,experiment,model,case,client,defence,delta,step,episode,metric,value"
TINY = ("--configfile", "config/tiny.yaml")


def copy_project(folder: Path) -> Path:
    """Copy what a run needs into `folder`, compiled kernels too where there are some."""
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, folder / part, ignore=shutil.ignore_patterns("*.pyc"))
        else:
            shutil.copy(source, folder / part)
    return folder


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run snakemake in a copy of the project; the stages use that copy's modules, whichever are installed."""
    return subprocess.run(
        # Targets come first: Snakemake would take one after --resources for a resource.
        [sys.executable, "-m", "snakemake", *arguments, "--cores", "2", "--resources", "gpu=1"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def error_lines(run: subprocess.CompletedProcess) -> list[str]:
    return [line for line in run.stderr.splitlines() if "error: " in line or "config: " in line]


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    run = snakemake(folder, *TINY)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


def test_a_run_ends_with_the_papers_figures_and_tables(project):
    figures = project / "results/figures/glyphs"
    for number in (3, 5, 7):
        assert (figures / f"figure-{number}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (figures / f"figure-{number}.svg").read_text()[:1000]
    assert (figures / "attack-seed-1.png").exists()
    assert (project / "results/tables/summary.csv").stat().st_size > 1000
    times = list(csv.DictReader((project / "results/tables/run_times.csv").open()))
    assert {"pretrain", "attack", "meta_train_after", "fine_tune", "defend"} <= {row["rule"] for row in times}


def test_the_papers_numbers_stand_beside_those_of_the_run(project):
    rows = list(csv.DictReader((project / "results/tables/paper_against_ours.csv").read_text().splitlines()))
    stated = list(csv.DictReader((ROOT / "fedmeta/reporting/paper_numbers.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == [row["id"] for row in stated]
    answered = [row for row in rows if row["verdict"]]
    assert {row["measured_on"] for row in answered} == {"glyphs"}
    assert {row["figure"].rstrip("abc") for row in answered} >= {"3", "5", "7", "Table B"}
    attack = next(row for row in rows if row["id"] == "O-1a-train")
    with (project / "results/metrics.csv").open() as file:
        name = ("meta_training", "attacked", "a", "1", "attack_training")
        columns = ("experiment", "model", "case", "step", "metric")
        values = [float(row["value"]) for row in csv.DictReader(file) if tuple(map(row.get, columns)) == name]
    assert float(attack["mean"]) == pytest.approx(100 * sum(values) / 3, abs=1e-4)
    assert (attack["step"], attack["filters"], attack["n_episodes"]) == ("round 1", "8", "3")
    assert (project / "results/figures/paper_against_ours.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (project / "results/figures/paper_against_ours.svg").read_text()[:1000]


def test_metrics_have_every_measurement_once(project):
    with (project / "results/metrics.csv").open() as file:
        assert file.readline().strip() == COLUMNS
        file.seek(0)
        rows = list(csv.DictReader(file))
    assert len({tuple(row.values())[:-1] for row in rows}) == len(rows)
    steps = {"meta_training": 3, "fine_tuning": 3, "matching": 3}
    for experiment, count in steps.items():
        own = [row for row in rows if row["experiment"] == experiment]
        # models x cases x steps x episodes x metrics
        assert len(own) == 2 * 3 * count * 3 * 4, experiment
        assert {(row["model"], row["case"]) for row in own} == {(m, c) for m in ("attacked", "clean") for c in "abc"}
    assert all(0 <= float(row["value"]) <= 1 for row in rows)
    assert {row["defence"] + row["delta"] for row in rows} == {"", "matching0.3"}


def test_before_the_attack_attacked_and_clean_are_the_same_model(project):
    with (project / "results/metrics.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if (row["experiment"], row["step"]) == ("meta_training", "0")]
    by_model = {model: [row["value"] for row in rows if row["model"] == model] for model in ("attacked", "clean")}
    assert len(by_model["clean"]) == 36
    assert by_model["attacked"] == by_model["clean"]


def test_models_say_where_they_come_from(project):
    with safe_open(project / "results/glyphs/seed-1/included/attacked.safetensors", "np") as file:
        provenance = file.metadata()["provenance"]
        assert file.get_tensor("conv1.kernel").shape == (8, 1, 3, 3)
    assert '"scope": "included"' in provenance
    assert '"boost": 3' in provenance


def test_a_second_call_does_nothing_in_under_ten_seconds(project):
    began = time.monotonic()
    run = snakemake(project, *TINY)
    assert "Nothing to be done" in run.stdout + run.stderr
    assert time.monotonic() - began < 10


def test_misspelt_and_illegal_keys_are_one_clear_line(tmp_path):
    folder = copy_project(tmp_path)
    (folder / "wrong.yaml").write_text("reptile: {inner_stepz: 3}\n")
    run = snakemake(folder, "--configfile", "wrong.yaml")
    assert run.returncode != 0
    assert "config: unknown key 'inner_stepz' in reptile; did you mean 'inner_steps'?" in run.stderr
    (folder / "wrong.yaml").write_text("reptile: {inner_steps: -3}\n")
    run = snakemake(folder, "--configfile", "wrong.yaml")
    assert "config: reptile.inner_steps: -3 is less than the minimum of 1" in run.stderr
    (folder / "wrong.yaml").write_text("evaluation: {clients: [1]}\n")
    run = snakemake(folder, "--configfile", "wrong.yaml")
    assert "config: evaluation.clients: user 1 is the attacker" in run.stderr
    assert "Traceback" not in run.stderr


def test_a_truncated_archive_is_one_clear_line_and_leaves_nothing(tmp_path):
    folder = copy_project(tmp_path)
    raw = folder / "data/raw/omniglot"
    raw.mkdir(parents=True)
    for name in ("images_background.zip", "images_evaluation.zip"):
        (raw / name).write_bytes(b"PK\x03\x04 cut short")
    run = snakemake(folder, *TINY, "--config", 'datasets=["omniglot"]')
    assert run.returncode != 0
    assert any("images_background.zip" in line for line in error_lines(run))
    assert "Traceback" not in run.stderr
    assert not [path for path in (folder / "data/prepared").rglob("*") if path.is_file()]


def test_diverging_training_is_one_clear_line_and_leaves_nothing(project):
    run = snakemake(project, "results/glyphs/seed-9/excluded/pretrained.safetensors", *TINY, "--config", "seeds=[9]",
                    'overrides={"glyphs": {"reptile": {"inner_learning_rate": 1.0e+30}}}')  # fmt: skip
    assert run.returncode != 0
    assert any("training diverged" in line and "lower inner_learning_rate" in line for line in error_lines(run))
    assert "Traceback" not in run.stderr
    assert not list((project / "results/glyphs/seed-9").rglob("*.safetensors"))
