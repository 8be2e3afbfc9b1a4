"""Which edits of the project's own files change the code version of which jobs."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers.project import copy_project

from fedmeta import plugins
from fedmeta.settings import with_table
from workflow.lib.code import Code
from workflow.lib.homes import Homes
from workflow.lib.jobs import Jobs
from workflow.lib.stages import CLIENTS_OWN, STAGES
from workflow.lib.takes import Takes

TRAINING = {"pretrain", "attack", "meta_train_after"}
ADAPTING = {"adapt fine_tuning", "adapt matching", "adapt noisy-start-local", "adapt matching-local"}
REPAIRING = {"repair noisy-start-local", "repair matching-local"}
LOOKING = {"detail fine_tuning", "detail matching"}
JOBS = {*STAGES} - {*CLIENTS_OWN} | ADAPTING | REPAIRING | LOOKING


def versions() -> dict[str, dict[str, str]]:
    """Return the code versions that each job has among its params, in a copy of the project."""
    code, jobs = Code(), Jobs(with_table(yaml.safe_load(Path("config.yaml").read_text())))
    takes = Takes(jobs, Homes(jobs, {}), code)
    found = {}
    for job in JOBS:
        stage, _, defence = job.partition(" ")
        wildcards = {
            "scenario": "default",
            "dataset": "glyphs",
            "defence": defence,
            "model": "attacked" if defence else "",
        }
        found[job] = code.of_rule(f"../scripts/{stage}.py") | takes.methods(stage)(wildcards)
    return found


@pytest.fixture
def changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., set[str]]:
    """Return a function that edits a file and returns the jobs whose code version it changes."""
    monkeypatch.chdir(copy_project(tmp_path / "project"))
    monkeypatch.setattr(plugins, "ROOT", tmp_path / "project")
    before = versions()

    def edit(path: str, old: str = "", new: str = "") -> set[str]:
        source = Path(path).read_text()
        text, edits = re.subn(old, new, source) if old else (f"{source}\nedited = True\n", 1)
        assert edits and text != source, path
        Path(path).write_text(text)
        after = versions()
        Path(path).write_text(source)
        return {job for job in JOBS if before[job] != after[job]}

    return edit


@pytest.mark.parametrize(
    ("path", "jobs"),
    [
        ("fedmeta/attacks/one_shot.py", {"attack", "meta_train_after"}),
        ("fedmeta/attacks/given.py", set()),
        ("fedmeta/federation/aggregation/weighted_sum.py", TRAINING),
        ("fedmeta/learning/meta/reptile.py", TRAINING | REPAIRING),
        ("fedmeta/learning/meta/fomaml.py", set()),
        ("fedmeta/defences/matching.py", {"adapt matching", "adapt matching-local", "detail matching"}),
        ("fedmeta/defences/fine_tuning.py", {"adapt fine_tuning", "adapt noisy-start-local", "detail fine_tuning"}),
        ("fedmeta/defences/local_meta_training.py", REPAIRING),
        ("fedmeta/defences/glorot_mix.py", ADAPTING | LOOKING),
        ("fedmeta/data/readers/glyphs.py", {"resize"}),
        ("fedmeta/data/readers/omniglot.py", set()),
        ("fedmeta/reporting/figures/over_rounds.py", set()),
        ("fedmeta/data/trigger.py", {"stamp"}),
    ],
)
def test_an_edit_changes_the_jobs_that_use_it_and_no_others(changed, path, jobs):
    assert changed(path) >= jobs
    assert changed(path) <= jobs


@pytest.mark.parametrize("path", ["fedmeta/plugins.py", "fedmeta/errors.py", "fedmeta/progress.py"])
def test_an_edit_of_what_cannot_change_a_result_changes_no_job(changed, path):
    assert changed(path) == set()


def test_an_edit_of_the_types_of_the_settings_or_of_what_is_said_of_an_option_changes_no_job(changed):
    for path in Path("fedmeta/settings").glob("*.py"):
        assert changed(path.as_posix()) == set()
    for method in ("attacks/one_shot", "attacks/given", "defences/matching", "defences/fine_tuning"):
        assert changed(f"fedmeta/{method}.py", r'description="', 'description="other: ') == set()
    assert changed("fedmeta/defences/local_meta_training.py", r"description=", "description='other' + ") == set()
