"""Another workflow uses this one as a Snakemake module: `use rule * from fedmeta`, beside rules of its own."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from helpers.interruption import draw_characters
from helpers.project import ROOT
from helpers.tiniest import TINIEST, call, made, make_project

PREPARED = "data/prepared/default/omniglot"
OTHER = f"""
configfile: "settings.yaml"


rule all:
    input:
        "count.txt",
        "results/metrics.csv",


rule count:
    input:
        "{PREPARED}/resized.csv",
    output:
        "count.txt",
    script:
        "scripts/count.py"


module fedmeta:
    snakefile:
        "{ROOT}/Snakefile"
    config:
        config["fedmeta"]


use rule * from fedmeta as fedmeta_*


onstart:
    fedmeta.onstart()


assert config == {{"mine": 3, "fedmeta": {TINIEST}}}, "its config is left alone"
"""
COUNT = """
import json
from pathlib import Path

lines = Path(snakemake.input[0]).read_text().splitlines()
Path(snakemake.output[0]).write_text(json.dumps([len(lines), snakemake.config["mine"], dict(snakemake.params.items())]))
"""


@pytest.fixture
def other(tmp_path) -> Path:
    """A folder with a workflow in the usual layout; raw images, and the settings that differ from config.yaml."""
    (tmp_path / "workflow/scripts").mkdir(parents=True)
    (tmp_path / "workflow/Snakefile").write_text(OTHER)
    (tmp_path / "workflow/scripts/count.py").write_text(COUNT)
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump({"mine": 3, "fedmeta": TINIEST}))
    draw_characters(tmp_path / "data/raw/omniglot", 36)
    return tmp_path


def edit(folder: Path, before: str, after: str) -> None:
    text = (folder / "workflow/Snakefile").read_text()
    assert before in text
    (folder / "workflow/Snakefile").write_text(text.replace(before, after))


def dry_run(folder: Path, *targets: str) -> subprocess.CompletedProcess:
    return call(folder, "", "--dry-run", *targets)


def test_its_own_targets_come_first_and_ask_for_our_files(other):
    run = dry_run(other)
    assert run.returncode == 0, run.stderr
    listed = dict(re.findall(r"^(\w+) +(\d+)$", run.stdout + run.stderr, re.MULTILINE))
    for rule in ("fedmeta_resize", "fedmeta_attack", "fedmeta_aggregate", "count", "all"):
        assert listed.get(rule) == "1", rule
    assert "fedmeta_all" not in listed, "the first rule is the default target, as ever"
    assert not (other / "results").exists()


def test_its_rules_run_beside_ours(other):
    run = call(other, "count.txt")
    assert run.returncode == 0, run.stderr
    lines, mine, params = json.loads((other / "count.txt").read_text())
    assert (lines, mine, params) == (36 + 1, 3, {})  # a line for each class, under a heading
    assert (other / "results/.homes.json").exists(), "its onstart called ours"
    again = dry_run(other, "count.txt")
    assert "Nothing to be done" in again.stdout + again.stderr


@pytest.mark.slow
def test_a_whole_run_gives_the_files_that_we_make_alone(other, tmp_path_factory):
    alone = make_project(tmp_path_factory.mktemp("alone") / "project")
    for folder, target in ((alone, "all"), (other, "fedmeta_all")):
        run = call(folder, target)
        assert run.returncode == 0, run.stderr
    assert made(other) == made(alone)
    assert "results/default/omniglot/seed-1/excluded/attacked.safetensors" in made(other)


@pytest.mark.parametrize(
    ("before", "after", "line"),
    [
        ('config["fedmeta"]', 'config["fedmeta"] | {"seed": 1}', "config: unknown key 'seed' in the config"),
        ("    snakefile:", '    prefix: "elsewhere"\n    snakefile:', "keeps its paths: give it no prefix"),
        ("    snakefile:", '    replace_prefix: {"results/": "r/"}\n    snakefile:', "keeps its paths"),
    ],
)
def test_what_cannot_work_is_said_in_one_line(other, before, after, line):
    edit(other, before, after)
    run = dry_run(other)
    assert run.returncode
    told = [each for each in (run.stdout + run.stderr).splitlines() if line in each]
    assert len(told) == 1
    assert "Traceback" not in run.stdout + run.stderr
