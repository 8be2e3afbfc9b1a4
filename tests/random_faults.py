"""Random pairs of an edit and a fault: after the same call again, all is as in a run that nothing has disturbed.

    python tests/random_faults.py [PAIRS [SEED [FOLDER]]]

Each pair begins with a finished run of a tiny experiment on drawn characters. Something is edited, a fault strikes
before or during a call, and the same call is repeated. Its files must be the bytes of a call after the same edit that
nothing has disturbed, and another call must find nothing to do.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import psutil
import yaml
from helpers.tiniest import call, command, made, make_project
from snakemake.utils import update_config

RULES = ("resize", "augment", "split", "stamp", "pretrain", "attack", "meta_train_after", "evaluate", "aggregate")
RULES += ("figure", "summary", "comparison", "aggregation", "contact_sheet", "paper_against_ours", "page")
TARGETS = (
    "",
    "",
    "results/figures/default/omniglot/figure-3.png",
    "results/default/omniglot/seed-1/excluded/evaluate/client-2.csv",
    "results/metrics.csv",
)
SETTINGS = (
    {"pretrain": {"rounds": 3}},
    {"attack": {"boost": 5}},
    {"evaluation": {"episodes": 3}},
    {"meta_train_after": {"outer_learning_rate": 0.2}},
    {"data": {"trigger": {"size": 3}}},
    {"split": {"validation_examples": 4}},
)
MODULES = (
    "fedmeta/data/trigger.py",
    "fedmeta/evaluation/measuring.py",
    "workflow/scripts/attack.py",
    "fedmeta/data/readers/omniglot.py",
)
EDITS = ("nothing", "raw", *map(str, range(len(SETTINGS))), *MODULES)


def edit(folder: Path, what: str) -> None:
    """Change a setting, a module so that its code differs, or a raw file."""
    if what.isdigit():
        config = yaml.safe_load((folder / "config.yaml").read_text())
        update_config(config, SETTINGS[int(what)])
        (folder / "config.yaml").write_text(yaml.safe_dump(config))
    elif what == "raw":
        images = sorted((folder / "data/raw").rglob("*.png"))
        shutil.copyfile(images[1], images[0])
    elif what != "nothing":
        module = folder / what
        module.write_text(module.read_text() + "\nEDITED = True\n")


class Pair:
    """An edit, a target, and a fault that strikes a call for it."""

    def __init__(self, folder: Path, draws: random.Random):
        self.folder, self.draws, self.target = folder, draws, draws.choice(TARGETS)
        self.rule = draws.choice(RULES)

    def raise_in_a_stage(self) -> None:
        """A stage fails; its code is as it was afterwards."""
        script = self.folder / f"workflow/scripts/{self.rule}.py"
        source = script.read_text()
        script.write_text(source.replace("def main(job) -> None:\n", "def main(job) -> None:\n    1 / 0\n"))
        call(self.folder, self.target, *self.draws.choice([(), ("--keep-going",)]))
        script.write_text(source)

    def misspell(self) -> None:
        call(self.folder, self.target, "--config", "split={target: nosuch}")

    def forget_raw_data(self) -> None:
        call(self.folder, self.target, "--config", "raw_data=nowhere")

    def kill_a_stage(self) -> None:
        self._strike(lambda process: self._stage(process), signal.SIGKILL)

    def kill_snakemake(self) -> None:
        moment = time.monotonic() + self.draws.uniform(1, 15)
        self._strike(lambda process: time.monotonic() > moment and process, signal.SIGKILL)
        call(self.folder, self.target, "--unlock")

    def interrupt(self) -> None:
        moment = time.monotonic() + self.draws.uniform(1, 15)
        self._strike(lambda process: time.monotonic() > moment and process, signal.SIGINT)

    def delete_outputs(self) -> None:
        outputs = sorted(made(self.folder))
        for path in self.draws.sample(outputs, self.draws.randint(1, 4)):
            (self.folder / path).unlink()

    def delete_kept(self) -> None:
        for path in self.draws.sample(sorted(made(self.folder, hidden=True)), 3):
            (self.folder / path).unlink()
        self.delete_outputs()

    def flip_a_bit(self) -> None:
        path = self.folder / self.draws.choice(sorted(made(self.folder)))
        content = bytearray(path.read_bytes())
        content[self.draws.randrange(len(content))] ^= 1 << self.draws.randrange(8)
        path.write_bytes(content)

    def forget_records(self) -> None:
        shutil.rmtree(self.folder / ".snakemake")

    def delete_logs(self) -> None:
        shutil.rmtree(self.folder / "logs")

    def live_in_the_future(self) -> None:
        path = self.folder / self.draws.choice(sorted(made(self.folder)))
        os.utime(path, (time.time() + 9999, time.time() + 9999))

    def _stage(self, snakemake: psutil.Process) -> psutil.Process | None:
        """Return the process of the stage to kill, a random moment after its start."""
        for process in snakemake.children(recursive=True):
            try:
                if f"{self.rule}.py" in " ".join(process.cmdline()) and "python" in process.name():
                    time.sleep(self.draws.uniform(0, 2.5))
                    return process
            except psutil.Error:
                continue
        return None

    def _strike(self, whom: Callable[[psutil.Process], psutil.Process | None], number: signal.Signals) -> None:
        """Start the call, send a signal as soon as `whom` returns a process, and wait until all have ended."""
        process = psutil.Popen(
            command(self.target), cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None:
            if struck := whom(process):
                children = process.children(recursive=True)
                with contextlib.suppress(psutil.NoSuchProcess):
                    struck.send_signal(number)
                process.wait()
                psutil.wait_procs(children, timeout=60)
                break
            time.sleep(0.02)


FAULTS = [
    *(Pair.raise_in_a_stage, Pair.misspell, Pair.forget_raw_data, Pair.kill_a_stage, Pair.kill_snakemake),
    *(Pair.interrupt, Pair.delete_outputs, Pair.delete_kept, Pair.flip_a_bit, Pair.forget_records),
    *(Pair.delete_logs, Pair.live_in_the_future),
]


class Trial:
    """A finished run, and what a call after it gives with each edit when nothing disturbs it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.base = make_project(folder / "base")
        run = call(self.base)
        assert run.returncode == 0, run.stderr
        self.expected = {"nothing": made(self.base)}

    def undisturbed(self, what: str) -> dict[str, bytes]:
        """Return the files after an edit and a call."""
        folder = self.copy(f"undisturbed-{os.getpid()}")
        edit(folder, what)
        run = call(folder)
        assert run.returncode == 0, run.stderr
        return made(folder)

    def copy(self, name: str) -> Path:
        """Return a copy of the finished run, hard links as they are."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        subprocess.run(["cp", "-a", self.base, self.folder / name], check=True)
        return self.folder / name

    def run(self, number: int, seed: int) -> tuple[str, list[str]]:
        """Return what was done in a pair, and what was wrong then; keep the folder of a pair that failed."""
        began, draws = time.monotonic(), random.Random(f"{seed} {number}")
        folder = self.copy(f"pair-{os.getpid()}")
        what, fault, pair = draws.choice(EDITS), draws.choice(FAULTS), Pair(folder, draws)
        sources = {name: (folder / name).read_bytes() for name in ("config.yaml", *MODULES)}
        edit(folder, what)
        fault(pair)
        taken_back = what not in ("raw", "nothing") and draws.random() < 0.25
        if taken_back:
            for name, content in sources.items():
                (folder / name).write_bytes(content)
        problems = self.wrong(folder, pair.target, self.expected["nothing" if taken_back else what])
        if problems:
            shutil.rmtree(self.folder / f"failed-{number}", ignore_errors=True)
            folder.rename(self.folder / f"failed-{number}")
        said = f"{what}, {fault.__name__} {pair.rule}, target {pair.target or 'all'}{', taken back' * taken_back}"
        return f"{time.monotonic() - began:.0f} s: {said}", problems

    def wrong(self, folder: Path, target: str, expected: dict[str, bytes]) -> list[str]:
        """Repeat the call, and return what differs from the undisturbed run."""
        run = call(folder, target)
        if run.returncode:
            return [run.stderr[-2000:]]
        files = made(folder)
        if target:  # what else there is need not be made again
            needed = [target, "results/default/omniglot/seed-1/excluded/evaluate/client-2.csv"]
            problems = [path for path in needed if files.get(path) != expected.get(path)]
        else:
            problems = [path for path in files.keys() | expected.keys() if files.get(path) != expected.get(path)]
        if "Nothing to be done" not in call(folder, target).stderr:
            problems.append("there is something left to do")
        return problems


def main(pairs: int = 200, seed: int = 1, folder: str = "") -> int:
    """Run the pairs and say which failed; return how many."""
    place = Path(folder or tempfile.mkdtemp(prefix="faults-"))
    place.mkdir(exist_ok=True)
    trial = Trial(place)
    failed = 0
    with ProcessPoolExecutor() as pool:  # a pair on each core
        edits = [what for what in EDITS if what != "nothing"]
        trial.expected.update(zip(edits, pool.map(trial.undisturbed, edits), strict=True))
    with ProcessPoolExecutor() as pool:
        for number, (said, problems) in enumerate(pool.map(trial.run, range(pairs), [seed] * pairs)):
            failed += bool(problems)
            print(f"{number}: {'FAILED' if problems else 'ok'} {said}", *problems, sep="\n      ", flush=True)
    print(f"{pairs - failed} of {pairs} pairs passed")
    return failed


if __name__ == "__main__":
    arguments = sys.argv[1:]
    numbers = [int(argument) for argument in arguments[:2]]
    sys.exit(bool(main(*numbers, **({"folder": arguments[2]} if len(arguments) > 2 else {}))))
