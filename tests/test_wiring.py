"""Which files a job gets: those of its own data set, seed, scope and client, by a dry run of everything."""

import re

import pytest
from test_workflow import ALL_FIGURES, TINY, copy_project, snakemake

JOB = re.compile(r"^(?:local)?rule (\w+):\n((?:    .*\n)+)", re.MULTILINE)
PLACES = {"scope": r"/(excluded|included)/", "seed": r"/seed-(\d+)/", "client": r"/client-(\d+)"}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory):
    """Return (rule, inputs, outputs) of every job of a run with two seeds and two clients."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    figures = "figures=[" + ",".join(ALL_FIGURES) + "]"
    changes = (figures, "seeds=[1,2]", 'evaluation={"clients": [2, 3]}')
    run = snakemake(folder, "--dry-run", "--printshellcmds", *TINY, "--config", *changes)
    assert run.returncode == 0, run.stderr
    found = []
    for rule, text in JOB.findall(run.stdout):
        files = {
            name: re.findall(r"[^\s,]+", listed[1]) if (listed := re.search(rf"    {name}: (.*)", text)) else []
            for name in ("input", "output")
        }
        found.append((rule, files["input"], files["output"]))
    return found


def test_a_job_gets_the_models_and_images_of_its_own_case_seed_and_client(jobs):
    checked = set()
    for rule, inputs, outputs in jobs:
        for what, pattern in PLACES.items():
            own, theirs = (
                {found for path in files for found in re.findall(pattern, path)} for files in (outputs, inputs)
            )
            if len(own) == 1 and theirs:
                assert theirs <= own, (rule, outputs, inputs)
                checked.add((rule, what))
    trained = {"attack", "meta_train_after", "local_meta_train", "evaluate", "fine_tune", "defend"}
    assert {(rule, what) for rule in trained for what in ("scope", "seed")} <= checked


def test_an_evaluation_gets_the_model_before_and_the_one_after_the_attack(jobs):
    for rule, inputs, _ in jobs:
        if rule in ("evaluate", "fine_tune", "defend"):
            models = sorted(path.rsplit("/", 1)[1] for path in inputs if path.endswith(".safetensors"))
            after = ["after.safetensors"] if rule == "evaluate" else []
            assert models == [*after, "attacked.safetensors", "pretrained.safetensors"]
