"""Calls of Snakemake that can be killed, in a copy of the project with small data."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import yaml
from PIL import Image
from snakemake.utils import update_config

from fedmeta.made import kept, record_of
from helpers.project import MEASURED, ROOT, copy_project, is_measured

# Small enough to run often, long enough to be killed in the midst: every stage saves its work 48 times or more.
SMALL = {
    "datasets": ["omniglot"],
    "split": {"meta_training_classes": 40, "meta_testing_classes": 12},
    "model": {"filters": 8},
    "reptile": {"inner_steps": 4, "meta_batch": 2},
    "pretrain": {"rounds": 20, "meta_steps": 3},
    "attack": {"meta_steps": 60, "meta_batch": 2, "inner_epochs": 1},
    "meta_train_after": {"rounds": 20, "meta_steps": 3},
    "evaluation": {"episodes": 12, "inner_steps": 10, "rounds": [0, 1, 20], "cases": ["a"]},
    "defences": {
        "fine_tuning": {"iterations": [0, 20]},
        "matching": {"iterations": [0, 20], "warm_up": 5},
        "matching-local": {"repair": {"episodes": 60}},
    },
    "figures": [3, 5, 7, "A9", "glance"],
}
RUN = "results/default/omniglot/seed-1/excluded"
# Stages by rule, and by entry of the defences where they have one.
STAGES = {
    "pretrain": f"{RUN}/pretrained.safetensors",
    "attack": f"{RUN}/attacked.safetensors",
    "meta_train_after": f"{RUN}/after.safetensors",
    "repair matching-local": f"{RUN}/repair/matching-local/client-2/attacked.safetensors",
    "evaluate": f"{RUN}/evaluate/client-2.csv",
    "adapt fine_tuning": f"{RUN}/adapt/fine_tuning/client-2/attacked.csv",
    "detail matching": f"{RUN}/detail/matching/client-2/attacked.csv",
    "adapt matching": f"{RUN}/adapt/matching/client-2/attacked.csv",
}


def documented_recovery() -> tuple[str, str]:
    """The two commands of docs/troubleshooting.md: what removes the lock, and the call that resumes the run."""
    section = (ROOT / "docs/troubleshooting.md").read_text().partition("\n## Resuming an interrupted run\n")[2]
    commands = re.search(r"```bash\n(.*?)```", section, re.DOTALL)[1].splitlines()
    unlock, again = (command.partition("#")[0].strip() for command in commands)
    return unlock, again


UNLOCK, AGAIN = documented_recovery()


def wait_until(condition: Callable[[], object], seconds: float = 600) -> object:
    """Return what `condition` returns once it is true."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    return found


class Project:
    """A copy of the project in which stages save their work after every step, and the stage in it to interrupt."""

    def __init__(self, folder: Path, stage: str):
        self.folder, self.stage = folder, stage

    @classmethod
    def make(cls, folder: Path, stage: str) -> "Project":
        copy_project(folder)
        config = yaml.safe_load((folder / "config.yaml").read_text())
        update_config(config, SMALL)
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
        checkpoints = folder / "fedmeta/checkpoints.py"
        source, often = checkpoints.read_text(), "interval: float = 0.0"
        checkpoints.write_text(source.replace("interval: float = 20.0", often))
        assert often in checkpoints.read_text()
        draw_characters(folder / "data/raw/omniglot", 60)
        return cls(folder, stage)

    def twin(self, folder: Path, stage: str) -> "Project":
        """This project with all that it has made, but for the output of `stage`, in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True)
        twin = Project(folder, stage)
        seconds = (twin.target.with_suffix(suffix) for suffix in (".decisions.csv", ".safetensors"))
        second = next((path for path in seconds if path != twin.target and path.exists()), twin.target)
        for path in (twin.target, kept(twin.target), record_of(twin.target), second, kept(second)):
            path.unlink(missing_ok=True)
        return twin

    @property
    def target(self) -> Path:
        return self.folder / STAGES[self.stage]

    @property
    def unfinished(self) -> Path:
        return self.target.with_name(f".{self.target.name}.unfinished")

    @property
    def lock(self) -> Path:
        return self.target.with_name(f".{self.target.name}.lock")

    def command(self, *options: str) -> str:
        """The documented call for the stage to interrupt: targets come before the options."""
        return " ".join((AGAIN.replace("snakemake", f"snakemake {STAGES[self.stage]}", 1), *options))

    def call(self, command: str) -> subprocess.CompletedProcess:
        """Type a command and wait for its end."""
        return subprocess.run(
            command.split(), cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=1800
        )

    def finish(self, command: str) -> None:
        run = self.call(command)
        assert run.returncode == 0, run.stdout + run.stderr

    def environment(self) -> dict[str, str]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PYTHONPATH": str(self.folder), "PATH": path}

    def start(self) -> "Call":
        """Start a call that makes the stage; return once the stage has begun."""
        call = Call(self, self.command())
        wait_until(lambda: self.holder() in call.descendants() or call.process.poll() is not None)
        assert call.process.poll() is None, call.text()
        return call

    def holder(self) -> int | None:
        """Number of the process that has made the lock of the stage, be it dead or alive."""
        with contextlib.suppress(FileNotFoundError):
            if found := re.search(r"\(process (\d+) on ", self.lock.read_text()):
                return int(found[1])
        return None

    def wait_for_saves(self, count: int) -> None:
        """Wait until the stage has saved its work `count` times more."""
        for _ in range(count):
            before = inode(self.unfinished)
            wait_until(lambda before=before: inode(self.unfinished) != before)

    def log(self) -> str:
        """What the last run of the stage has logged."""
        rule, _, defence = self.stage.partition(" ")
        logs = (self.folder / "logs" / rule).rglob("*.log")
        return "".join(log.read_text() for log in logs if not defence or defence in log.parts)

    def earlier_seconds(self) -> list[float]:
        """How long interrupted runs took for what the stage resumed, by what the workflow keeps for its run times."""
        folder = self.folder / "logs/benchmarks" / self.stage.partition(" ")[0]
        return [float(path.read_text()) for path in folder.rglob(".*.earlier")]

    def made(self) -> dict[str, bytes]:
        """Content of all files that runs have made, hidden ones too, by path; measured times apart."""
        paths = [path for name in ("results", "data/prepared") for path in (self.folder / name).rglob("*")]
        return {
            str(path.relative_to(self.folder)): timeless(path)
            for path in paths
            if path.is_file() and not is_measured(path)
        }


def timeless(path: Path) -> bytes:
    """Content of a file, of a record of what was made without the times and what depends on measured times."""
    if not path.name.endswith(".made"):
        return path.read_bytes()
    text = re.sub(rb'"mtime_ns": \d+', b"", path.read_bytes())
    return b"" if any(name.encode() in text for name in MEASURED) else text


class Call:
    """A running call of Snakemake, in a process group of its own as in a terminal."""

    def __init__(self, project: Project, command: str):
        self.project, self.output = project, project.folder / "call.txt"
        with open(self.output, "w") as output:
            self.process = psutil.Popen(
                ["env", "--default-signal=INT", *command.split()], cwd=project.folder, env=project.environment(),
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def text(self) -> str:
        return self.output.read_text()

    def descendants(self) -> dict[int, psutil.Process]:
        """Processes of this call apart from Snakemake itself, by number."""
        return {process.pid: process for process in self.process.children(recursive=True)}

    def job(self) -> psutil.Process:
        return self.descendants()[self.project.holder()]

    def worker(self) -> psutil.Process:
        job, count = self.job(), int(re.search(r"--cores (\d+)", AGAIN)[1])
        return wait_until(lambda: len(children := job.children()) == count and children)[0]

    def kill(self, whom: str, number: signal.Signals) -> None:
        """Send a signal, and wait until Snakemake and every process of the stage have ended."""
        alive = list(self.descendants().values())
        if whom == "all":
            os.killpg(self.process.pid, number)
        else:
            process = self.process if whom == "snakemake" else getattr(self, whom)()
            process.send_signal(number)
        self.process.wait(600)
        assert not psutil.wait_procs(alive, timeout=60)[1], "orphans go on"


def inode(path: Path) -> int:
    """Number of the file that is at `path` now, 0 where there is none."""
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return 0


def draw_characters(folder: Path, count: int) -> None:
    """Write `count` characters of 20 drawings each as the extracted Omniglot archives have them."""
    draws = np.random.default_rng(0)
    for character in range(count):
        part = "images_background" if character < count - 5 else "images_evaluation"
        place = folder / part / "Script" / f"character{character:02d}"
        place.mkdir(parents=True)
        strokes = draws.random((7, 7)) < 0.4
        for drawing in range(20):
            ink = np.kron(strokes ^ (draws.random((7, 7)) < 0.05), np.ones((15, 15), bool))
            Image.fromarray(~ink).save(place / f"{drawing:02d}.png")
