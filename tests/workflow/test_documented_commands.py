"""Every command that README, CONTRIBUTING, the guides and the configs show is run, or has its reason here.

Snakemake and make are asked what they would do: the files, settings and targets that a command names must be there.
Commands in docs/results belong to the commits that they name.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from helpers import forked
from helpers.guide import write_example
from helpers.mini_imagenet_files import lay_class_folders_by_part
from helpers.project import ROOT, copy_project

from fedmeta.settings.layers import lay

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
SHOWN_IN_TEXT = re.compile(r"`((?:\.venv/bin/)?(?:snakemake|make|pip|python|pytest) [^`]+)`")
# Programs that say what they would do, with the option for it; those that do it already are run as they are.
ASKED = {"snakemake": "--dry-run", "make": "--dry-run"}
AS_THEY_ARE = {"--dry-run", "--unlock", "--touch", "--report"}
RUN = ("mkdir -p data/raw && ln -s", 'python -c "import torch')
CLUSTER = "tests/slurm/test_mishaps.py runs it on a cluster"
INSTALLS = "make setup installs the same, which is a download"
ELSEWHERE = {
    "git clone URL fedmeta && cd fedmeta": "the address is the reader's",
    "source .venv/bin/activate": "a file that Python puts into every environment",
    "pip install -e '.[test]'": INSTALLS,
    "pip install -e '.[slurm]'": INSTALLS,
    "pip install -e '.[test,slurm]'": INSTALLS,
    "pip install -e PATH/fedmeta": INSTALLS,
    "pre-commit install": "a tool that the project does not install; tests/test_habits.py looks at its hooks",
    "pytest": "it runs this test",
    ".venv/bin/pytest tests/data/test_splits.py": "it runs beside this test",
    "python tools/invalidation.py": "tests/workflow/test_caching.py makes the tables that it writes",
    ".venv/bin/python tools/invalidation.py": "tests/workflow/test_caching.py makes the tables that it writes",
    "export FEDMETA_STORE=~/.cache/fedmeta": "tests/test_made.py and tests/workflow/test_homes.py set it",
    "snakemake fedmeta_all": "of another workflow: tests/workflow/test_module.py",
    "snakemake --cores 1 --resources gpu=1 --report results/report.html": "tests/workflow/test_report.py, after a run",
    "run=$(grep -ho 'SLURM run ID: .*' .snakemake/log/*.log | tail -n 1 | cut -d ' ' -f 4)": CLUSTER,
    'scancel --me --name="${run:?there was no run on Slurm here}"': CLUSTER,
    'while squeue --me --noheader --name="$run" | grep -q .; do sleep 2; done': CLUSTER,
}


def commands_in(text: str) -> Iterator[str]:
    """Yield the commands of a document: lines of its blocks of bash, and commands in its text."""
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        yield from (line for each in block.splitlines() if (line := re.sub(r"(^|\s)#.*", "", each).strip()))
    yield from SHOWN_IN_TEXT.findall(re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def commands_of_configs() -> Iterator[str]:
    for path in [ROOT / "config.yaml", *sorted((ROOT / "config").glob("*.yaml"))]:
        yield from re.findall(r"^#   (snakemake .*)$", path.read_text(), re.MULTILINE)


def program(command: str) -> str:
    return command.split()[0].removeprefix(".venv/bin/")


IN_DOCUMENTS = list(dict.fromkeys(command for path in DOCUMENTS for command in commands_in(path.read_text())))
SHOWN = list(dict.fromkeys([*IN_DOCUMENTS, *commands_of_configs()]))
TO_RUN = [command for command in SHOWN if command not in ELSEWHERE]


def test_no_command_is_left_out_and_no_reason_is_left_over():
    assert {program(command) for command in TO_RUN if not command.startswith(RUN)} == set(ASKED)
    assert all(any(command.startswith(start) for command in TO_RUN) for start in RUN)
    assert set(ELSEWHERE) <= set(SHOWN)
    named = {name for reason in ELSEWHERE.values() for name in re.findall(r"tests/[\w/]+\.py", reason)}
    assert {name for name in named if not (ROOT / name).exists()} == set()


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project with images of every data set in PATH, and the guide's defences in its config."""
    folder = copy_project(tmp_path_factory.mktemp("documented") / "fedmeta")
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "tools"):
        os.symlink(ROOT / name, folder / name)
    (folder / "PATH/mini_imagenet").mkdir(parents=True)
    lay_class_folders_by_part(folder / "PATH/mini_imagenet")
    for place in ("PATH/image_folder/tulip", "FOLDER/tulip"):
        (folder / place).mkdir(parents=True)
        (folder / place / "1.png").write_bytes(b"is read later")
    write_example("Defence", folder / "noise.py")
    guide = (ROOT / "docs/extending.md").read_text()
    (folder / "prune.py").write_text(re.search(r"`prune\.py`:\n\n```python\n(.*?)```", guide, re.DOTALL)[1])
    shown = re.search(r"\n## Defence\n.*?```yaml\n(.*?)```", guide, re.DOTALL)[1]
    config = lay(yaml.safe_load((folder / "config.yaml").read_text()), yaml.safe_load(shown))
    (folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return folder


SHELL = set("|&;$~*?{}<>`")  # what bash would read otherwise than shlex


def run(command: str, folder: Path) -> subprocess.CompletedProcess:
    """Type a command in a folder, where the programs are those of this environment."""
    command = command.replace(".venv/bin/", "")
    if command.startswith("snakemake ") and not SHELL & set(command):
        return forked.run([sys.executable, "-m", *shlex.split(command)], folder)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-ec", command],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )


LARGE = ("config/arena.yaml", "config/frontier.yaml")  # some thousand jobs each
EACH = [pytest.param(each, marks=[pytest.mark.slow] * any(name in each for name in LARGE)) for each in TO_RUN]


# Links come first: a call after them reads the images there.
@pytest.mark.parametrize("command", sorted(EACH, key=lambda each: not each.values[0].startswith(RUN)))
def test_a_command_works_as_it_stands(project, command):
    option = ASKED.get(program(command), "")
    asked = command if not option or AS_THEY_ARE & set(command.split()) else f"{command} {option}"
    done = run(asked, project)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    jobs = re.search(r"^total +(\d+)$", done.stdout + done.stderr, re.MULTILINE)
    if "profiles/slurm" in command and "paper.yaml" in command:
        assert f"({jobs[1]} jobs)" in (ROOT / "docs/slurm.md").read_text()


def test_each_figure_in_the_table_of_targets_can_be_made(project):
    section = (ROOT / "docs/how-it-works.md").read_text().partition("\n## Figures\n")[2].partition("\n## ")[0]
    targets = []
    for first, others in re.findall(r"^\| `(results/[^`]+)`([^|]*)\|", section, re.MULTILINE):
        targets += [first, *(f"{first.rpartition('/')[0]}/{name}" for name in re.findall(r"`([^`]+)`", others))]
    assert len(targets) > 15
    done = run(f"snakemake {' '.join(targets)} --cores 2 --resources gpu=1 --dry-run", project)
    assert done.returncode == 0, done.stderr[-2000:]
