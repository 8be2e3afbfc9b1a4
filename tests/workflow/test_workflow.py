"""The real workflow, from raw images to figures, on a tiny config: what a user types, in a copy of the project."""

import csv
import math
import os
import re
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.project import ALL_FIGURES, ROOT, SIDE_BY_SIDE, TINY, copy_project, error_lines, snakemake, typed
from PIL import Image
from safetensors import safe_open

COLUMNS = "scenario,dataset,seed,experiment,model,case,client,defence,delta,step,episode,metric,value"

RUN = "results/default/glyphs/seed-1"
FIGURES = "results/figures/default/glyphs"
# 651 jobs in two rules, with no input functions and no parameters.
PLAIN_JOBS = """
rule all:
    input: expand("copies/{n}", n=range(325))
rule copy:
    input: "originals/{n}"
    output: "copies/{n}"
    shell: "cp {input} {output}"
rule original:
    output: "originals/{n}"
    shell: "touch {output}"
"""
# Beside those of the tiny config; test_mini_imagenet_run draws the others.
OTHER_FIGURES = sorted(set(ALL_FIGURES) - {"3", "4", "5", "6", "7", "8", "A2", "A7", "order"})


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    folder = copy_project(tmp_path_factory.mktemp("project"))
    run = snakemake(folder, *TINY, *SIDE_BY_SIDE, gpus=2)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def every_figure(project, tmp_path_factory) -> Path:
    """A copy of the project in which the other figures have been asked for by name, of case (a) alone."""
    folder = tmp_path_factory.mktemp("figures") / "project"
    shutil.copytree(project, folder)
    targets = [f"{FIGURES}/figure-{name}.png" for name in OTHER_FIGURES]
    run = snakemake(folder, *targets, *TINY, *SIDE_BY_SIDE, 'evaluation={"cases": ["a"]}', gpus=2)
    assert run.returncode == 0, run.stderr[-3000:]
    return folder


def rows_of(table: Path) -> list[dict]:
    with table.open() as file:
        return list(csv.DictReader(file))


def test_a_run_ends_with_the_papers_figures_and_tables(project):
    figures = project / FIGURES
    for name in (3, 5, 7, "order"):
        assert (figures / f"figure-{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (figures / f"figure-{name}.svg").read_text()[:1000]
    assert (figures / "attack-seed-1.png").exists()
    for table in ("summary", "comparison"):
        assert (project / f"results/tables/{table}.csv").stat().st_size > 1000
    times = list(csv.DictReader((project / "results/tables/run_times.csv").open()))
    assert {"pretrain", "attack", "meta_train_after", "evaluate", "adapt"} <= {row["rule"] for row in times}


@pytest.mark.slow
def test_every_figure_of_the_paper_and_our_own_is_made_by_its_name(every_figure):
    for name in ("3", "5", "7", "order", *OTHER_FIGURES):
        with Image.open(every_figure / f"{FIGURES}/figure-{name}.png") as image:
            assert image.size[0] == 1400, name
            assert len(image.convert("RGB").getcolors(1 << 24)) > 20, name
        assert (every_figure / f"{FIGURES}/figure-{name}.svg").exists()


@pytest.mark.slow
def test_each_defence_is_evaluated_under_its_name(every_figure):
    """Every table says the method and delta, has both models, and no two entries give the same numbers."""
    delta_of = {f"matching-{delta}": delta for delta in ("0.2", "0.4", "0.6")}
    delta_of |= {"matching": "0.3", "fresh-network": "0"}
    delta_of |= {"other-episodes": "0.3", "other-episodes-fresh-network": "0"}
    delta_of |= dict.fromkeys(("no-gates", "no-scales", "no-warm-up", "matching-local", "matching-local-longer"), "0.3")
    delta_of |= {f"sweep,norms=fresh,delta={delta}": f"{float(delta):g}" for delta in ("0.3", "1.0")}
    delta_of["sweep,norms=shared,delta=1.0"] = "1"  # what no-mix is, too; config/tiny.yaml names the sweep first
    supervised = {"fine_tuning": "", "target-random": ""}
    supervised |= dict.fromkeys(("noisy-start", "noisy-start-local", "noisy-start-local-longer"), "0.3")
    folder = every_figure / RUN / "excluded/adapt"
    assert {path.name for path in folder.iterdir()} == set(delta_of | supervised)
    for method, deltas in (("matching", delta_of), ("fine_tuning", supervised)):
        values = set()
        for name, delta in deltas.items():
            tables = [rows_of(folder / name / f"client-2/{model}.csv") for model in ("attacked", "pretrained")]
            rows = [row for table in tables for row in table if row["case"] == "a"]
            assert {row["experiment"] for row in rows} == {method}
            assert {f"{float(row['delta']):g}" if row["delta"] else "" for row in rows} == {delta}
            assert {row["model"] for row in rows} == {"attacked", "clean"}
            assert len(rows) == 2 * 3 * 3 * 4  # models x iterations x episodes x metrics
            if not name.startswith("no-"):  # a few steps without gates may change no prediction
                values.add(tuple(row["value"] for row in rows))
        assert len(values) == len([name for name in deltas if not name.startswith("no-")]), "entries differ in nothing"


@pytest.mark.slow
def test_local_meta_training_is_reptile_by_the_client_alone(every_figure):
    """Against the formula: theta + epsilon (mean theta_j - theta) of five episodes of the client's own classes."""
    import torch  # here, so that test_caching, which uses this module, can do without

    from fedmeta.checkpoints import read_tensors
    from fedmeta.data.bank import ImageBank
    from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
    from fedmeta.data.splits import Split, read_split
    from fedmeta.federation.models import from_named
    from fedmeta.learning.conv4 import Conv4
    from fedmeta.learning.engine import Serial, Work
    from fedmeta.learning.reptile import Supervised

    excluded, prepared = every_figure / RUN / "excluded", every_figure / "data/prepared/default/glyphs"
    bank = ImageBank.open(prepared / "images.npy", prepared / "images.csv")
    split = Split(read_split(prepared / "seed-1/split.csv"), bank)
    network, shape = Conv4(1, 28, 5, 8), EpisodeShape(5, 10, 10, 10)
    sampler = BenignEpisodes(bank, split.training(2), shape, 1, "local meta-training")
    for model in ("pretrained", "attacked"):
        before, after = (
            from_named(network, read_tensors(path)[0])
            for path in (
                excluded / f"{model}.safetensors",
                excluded / f"repair/noisy-start-local/client-2/{model}.safetensors",
            )
        )
        works = [Work(0, "own", ((0, 2, episode),)) for episode in range(5)]
        with Serial(Supervised(network, 0.001), {"own": sampler}) as engine:
            outcomes = list(engine.run([before.start_of(2, before.shared)], works))
        adapted = sum(outcome.adapted.parameters for outcome in outcomes) / 5
        torch.testing.assert_close(after.shared, before.shared + 0.1 * (adapted - before.shared))
        assert not torch.equal(after.shared, before.shared)
        assert after.taken[2] == before.taken[2] + 10


@pytest.mark.slow
def test_kernel_norms_are_those_of_the_models(every_figure):
    rows = rows_of(every_figure / "results/tables/default/kernel_norms-glyphs.csv")
    assert len(rows) == 2 * 4  # models x kernels
    with safe_open(every_figure / RUN / "excluded/attacked.safetensors", "np") as file:
        kernel = file.get_tensor("conv2.kernel")
    (row,) = [row for row in rows if (row["model"], row["kernel"]) == ("attacked", "conv2.kernel")]
    bound = math.sqrt(6 / (9 * (8 + 8)))
    fresh = np.random.default_rng(0).uniform(-bound, bound, (1000, *kernel.shape))
    assert float(row["norm"]) == pytest.approx(math.sqrt(float((kernel**2).sum())), rel=1e-4)
    assert float(row["fresh_norm"]) == pytest.approx(np.linalg.norm(fresh.reshape(1000, -1), axis=1).mean(), rel=0.01)
    assert float(row["ratio"]) == pytest.approx(float(row["norm"]) / float(row["fresh_norm"]), rel=1e-4)


def test_a_figure_by_its_name_evaluates_what_it_needs_and_no_more(project):
    run = snakemake(project, f"{FIGURES}/figure-A6.png", "--dry-run", "--quiet", "rules", *TINY)
    jobs = dict(re.findall(r"^(\w+) +(\d+)$", run.stdout + run.stderr, re.M))
    assert jobs == {"adapt": "4", "figure": "1", "total": "5"}


def test_the_papers_numbers_stand_beside_those_of_the_run(project):
    rows = list(csv.DictReader((project / "results/tables/default/paper_against_ours.csv").read_text().splitlines()))
    stated = list(csv.DictReader((ROOT / "fedmeta/paper/numbers.csv").read_text().splitlines()))
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
    assert (project / "results/figures/default/paper_against_ours.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (project / "results/figures/default/paper_against_ours.svg").read_text()[:1000]


def test_metrics_have_every_measurement_once(project):
    with (project / "results/metrics.csv").open() as file:
        assert file.readline().strip() == COLUMNS
        file.seek(0)
        rows = list(csv.DictReader(file))
    assert len({tuple(row.values())[:-1] for row in rows}) == len(rows)
    # Fine-tuning, where the target class stands in either order of the classes; matching, and its control.
    defences = {"", "fine_tuning", "target-last", "target-random", "matching", "fresh-network"}
    assert {row["defence"] for row in rows} == defences
    for defence in defences:
        own = [row for row in rows if row["defence"] == defence]
        # models x cases x steps x episodes x metrics
        assert len(own) == 2 * 3 * 3 * 3 * 4, defence
        assert {(row["model"], row["case"]) for row in own} == {(m, c) for m in ("attacked", "clean") for c in "abc"}
    assert all(0 <= float(row["value"]) <= 1 for row in rows)
    assert {row["experiment"] + row["delta"] for row in rows} == {
        *("meta_training", "fine_tuning", "matching0.3", "matching0.0")
    }


def test_before_the_attack_attacked_and_clean_are_the_same_model(project):
    rows = rows_of(project / "results/metrics.csv")
    rows = [row for row in rows if (row["experiment"], row["step"]) == ("meta_training", "0")]
    by_model = {model: [row["value"] for row in rows if row["model"] == model] for model in ("attacked", "clean")}
    assert len(by_model["clean"]) == 36
    assert by_model["attacked"] == by_model["clean"]


def test_models_say_where_they_come_from(project):
    with safe_open(project / RUN / "included/attacked.safetensors", "np") as file:
        provenance = file.metadata()["provenance"]
        assert file.get_tensor("conv1.kernel").shape == (8, 1, 3, 3)
    assert '"scope": "included"' in provenance
    assert '"boost": 3' in provenance


def test_a_second_call_does_nothing_in_under_ten_seconds(project):
    began = time.monotonic()
    run = typed(project, *TINY)
    assert "Nothing to be done" in run.stdout + run.stderr
    assert time.monotonic() - began < 10


def processor_seconds(folder: Path, *arguments: str) -> tuple[float, subprocess.CompletedProcess]:
    before = os.times()
    run = typed(folder, *arguments)
    after = os.times()
    assert run.returncode == 0, run.stderr
    return sum(after[2:4]) - sum(before[2:4]), run


def jobs_in(run: subprocess.CompletedProcess) -> int:
    return int(re.search(r"^total +(\d+)$", run.stdout, re.MULTILINE)[1])


def test_a_dry_run_of_the_papers_scale_takes_little_longer_than_one_of_as_many_plain_jobs(tmp_path):
    """Measured: 5.1 s against 2.5. Processors differ and others use them, so the least of three ratios counts."""
    folder = copy_project(tmp_path)
    raw = folder / "data/raw/mini_imagenet"
    raw.mkdir(parents=True)
    for name in ("train.csv", "test.csv"):
        (raw / name).touch()
    with zipfile.ZipFile(raw / "images.zip", "w") as archive:
        for number in range(60_000):
            archive.writestr(f"images/n0153282900{number:06}.jpg", b"")
    plain = tmp_path / "plain"
    plain.mkdir()
    (plain / "Snakefile").write_text(PLAIN_JOBS)
    ratios = []
    while len(ratios) < 3 and min(ratios, default=2.5) >= 2.5:
        own, run = processor_seconds(folder, "--dry-run", "--configfile", "config/paper.yaml")
        baseline, plain_run = processor_seconds(plain, "--dry-run")
        assert jobs_in(run) >= jobs_in(plain_run) > 600
        ratios.append(own / baseline)
    assert min(ratios) < 2.5, ratios


def test_misspelt_and_illegal_keys_are_one_clear_line(tmp_path):
    folder = copy_project(tmp_path)
    (folder / "wrong.yaml").write_text("reptile: {inner_stepz: 3}\n")
    run = snakemake(folder, "--configfile", "wrong.yaml")
    assert run.returncode != 0
    assert "config: unknown key 'inner_stepz' in reptile; did you mean 'inner_steps'?" in run.stderr
    (folder / "wrong.yaml").write_text("reptile: {inner_steps: -3}\n")
    run = snakemake(folder, "--configfile", "wrong.yaml")
    assert "config: reptile.inner_steps: must be a whole number from 1 to 1000000, not -3" in run.stderr
    (folder / "wrong.yaml").write_text("evaluation: {clients: [1]}\n")
    run = snakemake(folder, "--configfile", "wrong.yaml")
    assert "config: evaluation.clients: user 1 is an attacker" in run.stderr
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
    model = "results/default/glyphs/seed-9/excluded/pretrained.safetensors"
    overrides = 'overrides={"glyphs": {"federation": {"weight": 1.0e+38}}}'
    run = snakemake(project, model, *TINY, "--config", "seeds=[9]", overrides)
    assert run.returncode != 0
    assert any("training diverged" in line and "lower inner_learning_rate" in line for line in error_lines(run))
    assert "Traceback" not in run.stderr
    assert not list((project / "results/default/glyphs/seed-9").rglob("*.safetensors"))
