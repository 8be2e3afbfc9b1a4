"""A finished run that several files of tests start from."""

import os
from pathlib import Path

import pytest
import yaml
from filelock import FileLock
from helpers.tiniest import call, make_project
from helpers.two_scenarios import FIGURES, MINE, SHORT, TWO


@pytest.fixture(scope="session")
def two_scenarios(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which two scenarios have run, and what that printed in run.log: to be copied, not written to.

    It is made once, also where several processes run the tests.
    """
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    folder = common / "two_scenarios"
    with FileLock(f"{folder}.lock"):
        if not (folder / "run.log").exists():
            make_project(folder)
            settings = {"scenarios": TWO, "figures": FIGURES, "defences": SHORT}
            (folder / "mine.yaml").write_text(yaml.safe_dump(settings))
            run = call(folder, "", *MINE)
            assert run.returncode == 0, run.stderr[-3000:]
            (folder / "run.log").write_text(run.stderr)
    return folder
