"""Working copies of a workflow, and calls of Snakemake in them."""

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from cluster import Cluster, wait_until
from helpers.interruption import timeless
from helpers.project import ROOT

# A test has no time for what a large cluster needs: Slurm to learn of a job, a file to appear.
HASTE = ("--slurm-init-seconds-before-status-checks", "2", "--latency-wait", "15")

# The Python of the tests is that of the jobs, whether or not its environment is activated.
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
    "OMP_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Workflow:
    """What the tests need to know of a workflow.

    `rule` is the stage that they interrupt: with its script, one output (`target`) and the log of that job.
    """

    files: dict[Path, str]  # what is copied, and under which name
    folders: tuple[str, ...]  # what it writes
    arguments: tuple[str, ...] = ()
    rule: str = ""
    script: str = ""
    target: str = ""
    log: str = ""


TOY = Workflow(
    files={**{path: path.name for path in (ROOT / "tests/slurm/toy").iterdir()}, ROOT / "profiles": "profiles"},
    folders=("data", "results"),
)
TINY = Workflow(
    files={ROOT / name: name for name in ("Snakefile", "config.yaml", "config", "workflow", "fedmeta", "profiles")},
    folders=("data", "results"),
    arguments=("--configfile", "config/tiny.yaml", "--config", "evaluation={cases: [a]}", "figures=[3, 7]"),
    rule="pretrain",
    script="pretrain.py",
    target="results/default/glyphs/seed-1/excluded/pretrained.safetensors",
    log="logs/pretrain/default/glyphs/seed-1/excluded.log",
)


class Call:
    """One running call of Snakemake. `finish` returns its exit status and everything that it printed."""

    def __init__(self, cluster: Cluster, folder: Path, *arguments: str):
        self.cluster = cluster
        self.output = folder / f"call-{len(list(folder.glob('call-*')))}.txt"
        with open(self.output, "w") as output:
            self.process = cluster.start(
                "snakemake", *arguments, cwd=folder, env=ENVIRONMENT,
                stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def finish(self, seconds: float = 240) -> tuple[int, str]:
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"no end after {seconds} s:\n{self.text()}") from None
        return status, self.text()

    def text(self) -> str:
        return self.output.read_text()

    def kill(self) -> None:
        """SIGKILL Snakemake itself, as a login node does that runs out of memory; its Slurm jobs go on."""
        self.cluster.signal(self.process, signal.SIGKILL)
        self.process.wait(30)

    def job(self) -> str:
        """Number of the first Slurm job that this call submitted."""
        return re.search(r"submitted with SLURM jobid (\d+)", self.text())[1]


class WorkingCopy:
    """A workflow in a folder of its own."""

    def __init__(self, cluster: Cluster, workflow: Workflow, folder: Path):
        self.cluster, self.workflow, self.folder = cluster, workflow, folder
        folder.mkdir(exist_ok=True)
        for source, name in workflow.files.items():
            if source.is_dir():
                shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("*.pyc"))
            else:
                shutil.copyfile(source, folder / name)

    def twin(self, folder: Path) -> "WorkingCopy":
        """This working copy with all that it has made, again in another folder."""
        shutil.copytree(self.folder, folder)
        twin = object.__new__(WorkingCopy)
        twin.cluster, twin.workflow, twin.folder = self.cluster, self.workflow, folder
        return twin

    def on_slurm(self, *targets: str, profile: str = "profiles/slurm") -> Call:
        """Start a call on the cluster, for targets that options may follow."""
        return self._call("--workflow-profile", profile, *HASTE, *targets)

    def locally(self, *targets: str) -> Call:
        """Start a call on this machine alone."""
        return self._call(*targets, "--cores", "4")

    def _call(self, *arguments: str) -> Call:
        return Call(self.cluster, self.folder, *arguments, *self.workflow.arguments)

    def type(self, commands: str) -> None:
        """Run what a person would type at a login node, in this folder; every command must succeed."""
        bash = self.cluster.start("bash", "-euo", "pipefail", "-c", commands, cwd=self.folder, env=ENVIRONMENT)
        assert bash.wait(60) == 0

    def scripts(self) -> list[int]:
        """Processes that run the script of the interrupted stage in this folder, workers of theirs apart."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                program, *arguments = (process / "cmdline").read_bytes().decode().rstrip("\0").split("\0")
                here = Path(os.readlink(process / "cwd")) == self.folder
            except (OSError, UnicodeDecodeError):
                continue  # it has ended meanwhile
            if here and "python" in Path(program).name and f".{self.workflow.script}" in "".join(arguments[-1:])[-40:]:
                found.append(int(process.name))
        return sorted(found)

    def freeze(self, call: Call) -> int:
        """Stop the script of the interrupted stage once it has begun; return its process number."""
        target = self.folder / self.workflow.target
        lock = target.with_name(f".{target.name}.lock")
        assert wait_until(lambda: lock.exists() and self.scripts(), 120, every=0.02), call.text()
        script = self.scripts()[0]
        os.kill(script, signal.SIGSTOP)
        assert lock.exists(), "the stage had ended before it could be stopped"
        return script

    def slurm_log(self) -> str:
        """What Slurm has logged of the interrupted stage's jobs."""
        logs = (self.folder / ".snakemake/slurm_logs" / f"rule_{self.workflow.rule}").rglob("*.log")
        return "".join(log.read_text() for log in logs)

    def files(self) -> dict[str, bytes]:
        """Content of every file that the runs have made, hidden ones too, by path."""
        paths = (path for name in self.workflow.folders for path in sorted((self.folder / name).rglob("*")))
        return {str(path.relative_to(self.folder)): timeless(path) for path in paths if path.is_file()}
