"""Scenarios side by side: what they share is made once; what is new runs alone; methods of one's own come beside."""

import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from helpers.guide import write_example
from helpers.project import error_lines
from helpers.tiniest import call, made, make_project
from helpers.two_scenarios import FIGURES, MINE, SHORT, TWO

GATHERED = {"all", "aggregate", "aggregation", "comparison", "summary", "run_times", "paper_against_ours"}
GATHERED |= {"figure", "figure_across", "page"}
THREE = {"weak": {"attack": {"boost": 1}}, **TWO}  # the new one first, and yet the others keep what they have


def planned(folder: Path, *options: str) -> dict[str, int]:
    """Return how many jobs of each stage a dry run plans, without those that only gather results."""
    run = call(folder, "", "--dry-run", *options)
    assert run.returncode == 0, run.stderr
    table = (run.stdout + run.stderr).partition("Job stats:")[2].partition("\n\n")[0]
    counts = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}
    return {rule: count for rule, count in counts.items() if rule not in GATHERED | {"total"}}


def settings(folder: Path, **changes) -> None:
    """Write changes to a config file that lies over the others."""
    (folder / "mine.yaml").write_text(yaml.safe_dump(changes))


@pytest.fixture
def project(two_scenarios: Path, tmp_path: Path) -> Path:
    subprocess.run(["cp", "-a", two_scenarios, tmp_path / "project"], check=True)
    return tmp_path / "project"


def test_what_two_scenarios_share_is_made_once(two_scenarios, tmp_path):
    folder = make_project(tmp_path / "fresh")
    shutil.copy(two_scenarios / "mine.yaml", folder)
    once = dict.fromkeys(("resize", "augment", "split", "stamp", "contact_sheet", "pretrain"), 1)
    assert planned(folder, *MINE) == {**once, "attack": 2, "meta_train_after": 2, "evaluate": 2, "adapt": 9}
    assert (two_scenarios / "results/plain/omniglot/seed-1/excluded/pretrained.safetensors").exists()
    assert not (two_scenarios / "results/strong/omniglot/seed-1/excluded/pretrained.safetensors").exists()


def test_tables_and_figures_name_the_scenarios(two_scenarios):
    metrics = pd.read_csv(two_scenarios / "results/metrics.csv", keep_default_na=False)
    assert next(iter(metrics.columns)) == "scenario"
    counts = metrics.groupby("scenario").size()
    assert set(counts.index) == {"plain", "strong"}
    assert counts["plain"] == counts["strong"]
    comparison = pd.read_csv(two_scenarios / "results/tables/comparison.csv")
    assert set(comparison.scenario) == {"plain", "strong"}
    assert {"floor", "lift", "half_width"} <= set(comparison.columns)
    decisions = pd.read_csv(two_scenarios / "results/tables/aggregation.csv")
    assert set(decisions.scenario) == {"plain", "strong"}
    folder = two_scenarios / "results/figures"
    figures = {path.relative_to(folder).as_posix() for path in folder.rglob("figure-*.png")}
    assert figures == {
        *(f"{name}/omniglot/figure-{number}.png" for name in TWO for number in (3, 7)),
        "omniglot/figure-scenarios.png",
    }


def test_a_third_scenario_runs_its_own_jobs_alone(project):
    settings(project, scenarios=THREE, figures=FIGURES, defences=SHORT)
    assert planned(project, *MINE) == {"attack": 1, "meta_train_after": 1, "evaluate": 1, "adapt": 3}


@pytest.mark.slow
def test_a_third_scenario_leaves_the_others_as_they_are(project):
    before = made(project)
    settings(project, scenarios=THREE, figures=FIGURES, defences=SHORT)
    run = call(project, "", *MINE)
    assert run.returncode == 0, run.stderr
    after = made(project)
    kept = {path for path in before if path.startswith(("data/", "results/plain/", "results/strong/"))}
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    assert set(pd.read_csv(project / "results/metrics.csv").scenario) == set(THREE)


def test_an_option_of_a_defence_runs_one_job(project):
    changed = {**TWO, "strong": {**TWO["strong"], "defences": {"matching": {"scale": 5}}}}
    settings(project, scenarios=changed, figures=FIGURES, defences=SHORT)
    # The control is like it; each adapts the clean model and the attacked one.
    assert planned(project, *MINE) == {"adapt": 4}
    changed["strong"]["defences"] = {"fine_tuning": {"delta": 0.5}}
    settings(project, scenarios=changed, figures=FIGURES, defences=SHORT)
    assert planned(project, *MINE) == {"adapt": 2}


def test_a_scenario_that_leaves_takes_nothing_along(project):
    before = made(project)
    settings(project, scenarios={"strong": TWO["strong"]}, figures=FIGURES, defences=SHORT)
    assert planned(project, *MINE) == {}  # though the other one keeps what both share
    run = call(project, "", *MINE)
    assert run.returncode == 0, run.stderr
    after = made(project)
    models = {path for path in before if path.startswith(("data/", "results/plain/", "results/strong/"))}
    assert {path: after.get(path) for path in models} == {path: before[path] for path in models}
    assert "Nothing to be done" in call(project, "", *MINE).stderr
    settings(project, scenarios=TWO, figures=FIGURES, defences=SHORT)
    assert planned(project, *MINE) == {}


def test_a_grid_is_scenarios(project):
    settings(project, grid={"attack.boost": [3, 5, 7]}, figures=[3], defences=SHORT)
    # Those with boost 3 and 5 are there by other names.
    assert planned(project, *MINE) == {"attack": 1, "meta_train_after": 1, "evaluate": 1}
    assert "boost=7: attacking on omniglot" in call(project, "", "--dry-run", *MINE).stdout


def test_methods_of_ones_own_need_no_edit_and_rerun_nothing(project):
    """Whole methods, as docs/extending.md shows them, each in a file beside the config."""
    examples = {"Attack": "attack", "Aggregation": "aggregation", "Defence": "defence"}
    files = {name: write_example(section, project / f"my_{name}.py") for section, name in examples.items()}
    assert all(len(file.read_text().splitlines()) < 40 for file in files.values())
    before = made(project)
    theirs = {
        "attack": {"method": "./my_attack.py", "bound": 2},
        "federation": {"aggregation": {"method": "./my_aggregation.py"}},
    }
    settings(
        project,
        scenarios={**TWO, "own": theirs},
        defences={**SHORT, "mine": {"method": "./my_defence.py", "iterations": [0, 1]}},
        figure_table={"mine": {"kind": "over_iterations", "defences": ["mine"]}},
        figures=["mine"],
    )
    # The aggregation concerns pre-training; the defence is evaluated in the scenarios that were there, too.
    assert planned(project, *MINE) == {"pretrain": 1, "attack": 1, "adapt": 5}
    run = call(project, "", *MINE)
    assert run.returncode == 0, run.stderr
    after = made(project)
    kept = {path for path in before if path.startswith(("data/", "results/plain/", "results/strong/"))}
    assert {path: after[path] for path in kept} == {path: before[path] for path in kept}
    metrics = pd.read_csv(project / "results/metrics.csv", keep_default_na=False)
    assert {"plain", "strong", "own"} == set(metrics[metrics.defence == "mine"].scenario)
    assert "Nothing to be done" in call(project, "", *MINE).stderr

    # An edit of one of them concerns what it has made, and no more.
    file = files["defence"]
    file.write_text(file.read_text().replace("normal(0, ", "normal(0.0001, "))
    assert planned(project, *MINE) == {"adapt": 5}
    file.write_text(file.read_text().replace("normal(0.0001, ", "nosuch(0, "))
    run = call(project, "", *MINE)
    assert run.returncode != 0


def test_a_misspelt_option_of_ones_own_method_is_one_line(project):
    write_example("Defence", project / "my_defence.py")
    settings(project, defences={"mine": {"method": "./my_defence.py", "deviatoin": 1}})
    lines = error_lines(call(project, "", *MINE))
    assert lines == ["config: unknown key 'deviatoin' in defences.mine; did you mean 'deviation'?"]
