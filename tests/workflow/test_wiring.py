"""Which files a job gets, as Snakemake records them: those of its own data set, seed, scope and client; and when."""

import csv
import itertools
import re

import pytest
from finished import Finished
from helpers.project import snakemake

PLACES = {"scope": r"/(excluded|included)/", "seed": r"/seed-(\d+)/", "client": r"/client-(\d+)"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Finished:
    two_of_each = {"seeds": [1, 2], "evaluation": {"clients": [2, 3]}, "figures": [3, 7, "A8"]}
    return Finished(tmp_path_factory.mktemp("wiring") / "project", two_of_each)


@pytest.fixture(scope="module")
def jobs(project):
    """Return (rule, inputs, output) of every file that a run with two seeds and two clients makes."""
    run = snakemake(project.folder, "--detailed-summary")
    assert run.returncode == 0, run.stderr
    rows = csv.DictReader(run.stdout.splitlines(), delimiter="\t")
    return [(row["rule"], row["input-file(s)"].split(","), row["output_file"]) for row in rows]


def test_a_job_gets_the_models_and_images_of_its_own_case_seed_and_client(jobs):
    checked = set()
    for rule, inputs, output in jobs:
        for what, pattern in PLACES.items():
            own, theirs = (
                {found for path in files for found in re.findall(pattern, path)} for files in ([output], inputs)
            )
            if len(own) == 1 and theirs:
                assert theirs <= own, (rule, output, inputs)
                checked.add((rule, what))
    trained = {"attack", "meta_train_after", "repair", "evaluate", "adapt"}
    assert {(rule, what) for rule in trained for what in ("scope", "seed")} <= checked
    assert ("adapt", "client") in checked, "a client adapts the model that it has repaired itself"


def test_an_evaluation_gets_all_models_and_a_client_adapts_the_one_that_its_table_is_named_after(jobs):
    for rule, inputs, output in jobs:
        models = sorted(path.rsplit("/", 1)[1] for path in inputs if path.endswith(".safetensors"))
        if rule == "evaluate":
            assert models == ["after.safetensors", "attacked.safetensors", "pretrained.safetensors"]
        if rule in ("repair", "adapt"):
            assert models == [f"{output.rsplit('/', 1)[1].partition('.')[0]}.safetensors"]


def test_a_defence_with_a_repair_gets_the_repaired_models_and_the_others_do_not(jobs):
    repaired = {
        output: all("/repair/" in path for path in inputs if path.endswith(".safetensors"))
        for rule, inputs, output in jobs
        if rule == "adapt"
    }
    expected = {
        f"results/default/glyphs/seed-{seed}/{scope}/adapt/noisy-start-local/client-{client}/{model}.csv"
        for seed, scope, client, model in itertools.product(
            (1, 2), ("excluded", "included"), (2, 3), ("pretrained", "attacked")
        )
    }
    assert {output for output, from_repair in repaired.items() if from_repair} == expected


def test_models_are_trained_before_any_is_evaluated(project):
    """Each training waits for another, so one that starts late would leave cores without work at the end."""
    jobs = re.findall(r"^Job \d+: default: (.*) on glyphs", project.log, re.M)
    first = next(n for n, job in enumerate(jobs) if job == "evaluating rounds" or " model " in job)
    training = ("pre-training", "attacking", "meta-training after the attack")
    assert [jobs[:first].count(stage) for stage in training] == [4, 4, 4], "two seeds in both scopes"
    assert [jobs[first:].count(stage) for stage in training] == [0, 0, 0]
