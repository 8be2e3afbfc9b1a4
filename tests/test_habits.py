"""Files for those who work on the project name what there is: targets, versions, tools, files."""

import re
import shutil
import subprocess
import tomllib

import pytest
import yaml
from helpers.project import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKED = dict(line.split("==") for line in (ROOT / "requirements.lock").read_text().split())
VERSIONS = ["3.11", "3.12", "3.13"]
COMMENT = re.compile(r"#.*")


def targets_in(text: str) -> set[str]:
    return set(re.findall(r"\bmake ([a-z][a-z-]*)", text))


def steps(name: str) -> dict[str, list[dict]]:
    """Return the steps of the jobs of a workflow on GitHub."""
    jobs = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())["jobs"]
    assert all(job["timeout-minutes"] <= 360 and job["runs-on"] == "ubuntu-latest" for job in jobs.values())
    return {called: job["steps"] for called, job in jobs.items()}


def test_workflows_on_github_run_what_the_makefile_has():
    checks, weekly = steps("checks.yml"), steps("weekly.yml")
    run = {
        name: [step["run"] for step in each if "run" in step]
        for jobs in (checks, weekly)
        for name, each in jobs.items()
    }
    assert run["lint"] == ["make lint"] and run["test"] == ["make test"] and run["slow"] == ["make test-slow"]
    *_, packages, setup, slurm = run["slurm"]
    assert (setup, slurm) == ("make setup", "sudo make test-slurm-slow")
    continuous = (ROOT / ".ci/run").read_text()
    assert packages.rpartition("--no-install-recommends ")[2] in continuous, "Slurm's packages, as in .ci/run"
    named = {target for commands in run.values() for command in commands for target in targets_in(command)}
    assert named == {"lint", "test", "test-slow", "setup", "test-slurm-slow"}
    assert named | targets_in(continuous) <= TARGETS
    for each in (*checks.values(), *weekly.values()):
        checkout, python = (step["uses"].partition("@") for step in each if "uses" in step)
        assert (checkout[0], python[0]) == ("actions/checkout", "actions/setup-python")
        assert re.fullmatch(r"v\d+", checkout[2]) and re.fullmatch(r"v\d+", python[2])


def test_workflows_on_github_begin_when_they_should():
    checks = yaml.safe_load((ROOT / ".github/workflows/checks.yml").read_text())
    weekly = yaml.safe_load((ROOT / ".github/workflows/weekly.yml").read_text())
    assert checks[True] == ["push", "pull_request"]  # YAML 1.1 reads `on` as true
    (schedule,) = weekly[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* [0-6]", schedule["cron"]), "once a week"
    assert checks["jobs"]["test"]["strategy"]["matrix"]["python-version"] == VERSIONS


def test_the_supported_versions_of_python_are_the_same_everywhere():
    classifiers = PROJECT["project"]["classifiers"]
    named = [each.rpartition(" ")[2] for each in classifiers if each.startswith("Programming Language :: Python :: 3.")]
    assert named == VERSIONS
    assert PROJECT["project"]["requires-python"] == f">={VERSIONS[0]}"
    for document in ("README.md", "CONTRIBUTING.md"):
        assert f"Python {VERSIONS[0]} to {VERSIONS[-1]}" in (ROOT / document).read_text(), document
    base = re.search(r"^FROM .*python:([\d.]+)-slim$", (ROOT / "Containerfile").read_text(), re.MULTILINE)
    assert base and base[1] in VERSIONS


def test_one_version_is_named_everywhere():
    """pyproject.toml has it; no module does, for a new version would be new code of every job."""
    version = PROJECT["project"]["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    headings = re.findall(r"^## \[([\d.]+)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0][0] == version
    assert headings == sorted(headings, key=lambda each: [*map(int, each[0].split("."))], reverse=True)
    assert headings == sorted(headings, key=lambda each: each[1], reverse=True), "later versions are of later days"
    assert not [path for path in (ROOT / "fedmeta").rglob("*.py") if "__version__" in path.read_text()]


def test_documents_name_targets_that_the_makefile_has():
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    named = {target for each in documents for code in quoted(each.read_text()) for target in targets_in(code)}
    assert {"setup", "lint", "test", "test-slow", "test-slurm", "mutants", "schema", "lock"} <= named <= TARGETS
    links = re.findall(r"\]\((docs/extending\.md)#([a-z-]+)\)", (ROOT / "CONTRIBUTING.md").read_text())
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/extending.md").read_text(), re.MULTILINE)
    assert len(links) == 6
    assert {anchor for _, anchor in links} <= {heading.lower().replace(" ", "-") for heading in headings}


def quoted(text: str) -> list[str]:
    """Return what a document shows as code, without comments."""
    blocks = re.findall(r"```\w*\n(.*?)```", text, re.DOTALL)
    return [COMMENT.sub("", each) for each in (*blocks, *re.findall(r"`([^`\n]+)`", text))]


def test_hooks_run_the_versions_of_the_lock():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    hooks = {hook["id"]: hook for hook in local["hooks"]}
    assert set(hooks) == {"ruff", "ruff-format", "snakefmt", "codespell"}
    for called, hook in hooks.items():
        (requirement,) = hook["additional_dependencies"]
        name, version = requirement.split("==")
        assert name == called.removesuffix("-format") == hook["entry"].split()[0]
        assert version == LOCKED.get(name, version), f"{name}: requirements.lock has another version"
    rules = [path.relative_to(ROOT).as_posix() for path in (ROOT / "workflow").rglob("*.smk")]
    assert all(re.search(hooks["snakefmt"]["files"], path) for path in ["Snakefile", *rules])


def test_editors_are_told_what_the_formatters_do():
    text = (ROOT / ".editorconfig").read_text()
    parts = re.split(r"^\[(.+)\]\n", text, flags=re.MULTILINE)
    settings = {
        name: dict(line.split(" = ") for line in body.split("\n") if " = " in line)
        for name, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    everywhere = settings["*"]
    for tool in ("ruff", "snakefmt"):
        assert PROJECT["tool"][tool].get("line-length", PROJECT["tool"][tool].get("line_length")) == 120
    assert (everywhere["max_line_length"], everywhere["end_of_line"], everywhere["indent_size"]) == ("120", "lf", "4")
    assert settings["Makefile"]["indent_style"] == "tab"
    for path in (ROOT / ".editorconfig", ROOT / "Makefile", *(ROOT / ".github/workflows").iterdir()):
        content = path.read_bytes()
        assert content.endswith(b"\n") and not content.endswith(b"\n\n") and b"\r" not in content, path


def test_the_catalog_is_told_how_to_run_the_workflow():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert set(usage) == {"mandatory-flags", "software-stack-deployment"}
    assert usage["mandatory-flags"]["flags"] in MAKEFILE, "as make calls Snakemake"
    software = usage["software-stack-deployment"]
    assert set(software) == {"conda", "apptainer", "apptainer+conda", "report"}
    assert (ROOT / "workflow/envs/fedmeta.yaml").exists() == software["conda"]
    assert (ROOT / "config/README.md").exists(), "which the catalog shows"
    shown = set(re.findall(r"`(\w+\.yaml)`", (ROOT / "config/README.md").read_text())) - {"config.yaml"}
    assert shown == {path.name for path in (ROOT / "config").glob("*.yaml")}


def test_the_container_is_made_of_files_that_are_there():
    lines = (ROOT / "Containerfile").read_text().splitlines()
    copied = [line.split() for line in lines if line.startswith("COPY")]
    sources = [name for _, *names, _ in copied for name in names if not name.startswith("--")]
    assert {"pyproject.toml", "requirements.lock", "fedmeta/__init__.py", "."} <= set(sources)
    left_out = (ROOT / ".dockerignore").read_text().split()
    for name in sources:
        assert (ROOT / name).exists() and name not in left_out
    assert {".git", ".venv", "data", "results"} <= set(left_out)
    (index,) = re.findall(r"^ARG TORCH_INDEX=(.+)$", "\n".join(lines), re.MULTILINE)
    assert f"TORCH_INDEX ?= {index}\n" in MAKEFILE
    users = [line.split()[1] for line in lines if line.startswith("USER")]
    assert users and users[-1] not in ("root", "0")
    assert not any(line.startswith("RUN") and "make" in line.split() for line in lines)


def engine() -> str:
    """Return a container engine that works on this machine, "" without one."""
    for name in ("podman", "docker"):
        if shutil.which(name) and not subprocess.run([name, "info"], capture_output=True, check=False).returncode:
            return name
    return ""


@pytest.mark.slow
def test_the_container_is_built_and_says_what_it_would_run():
    if not (name := engine()):
        pytest.skip("no container engine works here: neither podman nor docker answers")
    tag = "fedmeta-test"
    build = subprocess.run(
        [name, "build", "--tag", tag, "--file", "Containerfile", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert build.returncode == 0, build.stdout[-2000:] + build.stderr[-2000:]
    command = [name, "run", "--rm", tag, "snakemake", "--cores", "2", "--resources", "gpu=1", "--dry-run", "--quiet"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "pretrain" in run.stdout + run.stderr
