"""A wrong config ends a run with one line, before anything is made: keys given twice, and what Snakemake prints."""

from pathlib import Path

import pytest
from helpers.project import copy_project, snakemake

from fedmeta.errors import FedmetaError
from fedmeta.settings.repeated_keys import refuse_repeated_keys


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("seeds: [1]\nthreads: 2\nseeds: [2]\n", 3, "seeds"),
        ("model:\n  filters: 8\n  batch_norm: batch\n  filters: 16\n", 4, "filters"),
        ("overrides: {glyphs: {model: {filters: 8}},\n  glyphs: {}}\n", 2, "glyphs"),
        ("a: [{b: 1, b: 2}]\n", 1, "b"),
        ('a: 1\n"a": 2\n', 2, "a"),
        ('{"a": 1,\n "b": {"c": 1, "c": 1}}\n', 2, "c"),
        ("a: &same {b: 1, b: 2}\nc: *same\n", 1, "b"),
    ],
)
def test_a_key_given_twice_is_named_with_its_line(tmp_path, monkeypatch, text, line, key):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(
        FedmetaError, match=rf"^config: own\.yaml, line {line}: key '{key}' is given twice; remove one$"
    ):
        refuse_repeated_keys([file])


def test_keys_that_only_look_the_same_pass(tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("a: {b: 1}\nc: {b: 1}\n5: x\n'5': y\nd: &d {e: 1}\nf: {<<: *d, e: 2}\ng: &g [*d, *d]\n")
    refuse_repeated_keys([file])


@pytest.mark.parametrize("text", ["", "# nothing\n", "a: &a [*a]\n", "a: [", "\0"])
def test_what_others_will_complain_of_or_what_is_empty_passes(tmp_path, text):
    file = tmp_path / "own.yaml"
    file.write_text(text)
    refuse_repeated_keys([file, tmp_path / "not there.yaml"])


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    return copy_project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("datasets: null", "datasets: must be a list of names, not null (such as [glyphs]; the path"),
        ("evaluation: null", "evaluation: must be a section with the keys episodes, episode_seed,"),
        ("seeds: [12345678901234567890]", "seeds: must be a list of whole numbers from 0 to 9223372036854775807,"),
        ("attack: {backdoor_to_target: [19, 1]}", "attack.backdoor_to_target: 19 to 1 among reptile.shot = 10 images"),
        ("threads: 1\nseeds: [1]\nthreads: 2", "wrong.yaml, line 3: key 'threads' is given twice; remove one"),
    ],
)
def test_a_run_with_a_wrong_config_prints_that_line_and_no_traceback(project, text, line):
    (project / "wrong.yaml").write_text(f"{text}\n")
    run = snakemake(project, "--configfile", "wrong.yaml")
    assert run.returncode != 0
    said = [each for each in run.stderr.splitlines() if each.startswith("config: ")]
    assert len(said) == 1, run.stderr
    assert said[0].startswith(f"config: {line}")
    assert "Traceback" not in run.stderr


def test_a_key_given_twice_in_the_default_config_is_found_too(project):
    default = project / "config.yaml"
    text = default.read_text()
    default.write_text(text + "threads: 2\n")
    run = snakemake(project)
    default.write_text(text)
    assert f"config: config.yaml, line {len(text.splitlines()) + 1}: key 'threads' is given twice" in run.stderr


def test_the_largest_seed_can_be_planned(project):
    run = snakemake(project, "--dry-run", "--config", f"seeds=[{2**63 - 1}]")
    assert run.returncode == 0, run.stderr
    assert f"seed-{2**63 - 1}" in run.stdout
