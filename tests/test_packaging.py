"""What is said of the project in several places is the same in all of them."""

import subprocess
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch"}


def test_the_conda_environment_holds_what_the_stages_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "workflow/envs/fedmeta.yaml").read_text())["dependencies"]
    needed = [requirement for requirement in project["dependencies"] if not requirement.startswith("snakemake")]
    named = [requirement.partition(">=") for requirement in needed]
    assert set(conda) == {
        f"python{project['requires-python']}",
        *(f"{CONDA_NAMES.get(name, name)}{relation}{version}" for name, relation, version in named),
    }


def test_snakemakes_own_lint_has_no_complaint():
    lint = subprocess.run([sys.executable, "-m", "snakemake", "--lint"], cwd=ROOT, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout + lint.stderr
    assert "in a good condition" in lint.stderr
