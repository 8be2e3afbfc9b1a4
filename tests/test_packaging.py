"""What is said of the project in several places is the same in all of them."""

import re
import subprocess
import sys
import tomllib

import yaml
from helpers.interruption import STAGES
from helpers.project import ROOT
from invalidation import RULES

CONDA_NAMES = {"torch": "pytorch"}


def test_the_conda_environment_holds_what_the_stages_need():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    conda = yaml.safe_load((ROOT / "workflow/envs/fedmeta.yaml").read_text())["dependencies"]
    conda = [*conda[:-2], *conda[-1]["pip"]]  # pip itself, and what it installs
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


def rules() -> dict[str, str]:
    """Return the text of each rule by its name."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    parts = re.split(r"^rule (\w+):\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_stage_is_killed_in_the_tests_and_has_its_place_on_a_cluster():
    stages = rules()
    with_gpu = {name for name, text in stages.items() if "gpu=1" in text}
    at_login = {name for name, text in stages.items() if "localrule: True" in text}
    assert {stage.split()[0] for stage in STAGES} == with_gpu  # a defence may stand behind the rule
    assert set(RULES) == set(stages)

    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    on_gpus = {name for name, asked in profile["set-resources"].items() if asked.get("slurm_partition") == "gpu"}
    assert on_gpus == set(profile["set-threads"]) == with_gpu
    assert set(profile["groups"]) == set(stages) - with_gpu - at_login
    document = (ROOT / "docs/slurm.md").read_text()
    assert not {name for name in set(stages) - at_login if f"`{name}`" not in document}
