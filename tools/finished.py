"""A copy of the project in which everything is made, as far as Snakemake knows, and dry runs after an edit in it."""

import contextlib
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TextIO

import yaml
from snakemake.cli import main
from snakemake.utils import update_config

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # it copies and calls the project as tests do
from helpers.project import ROOT, copy_project, snakemake

from fedmeta import plugins
from fedmeta.plugins import FOLDERS
from fedmeta.settings.layers import lay, nested, with_table

# The figures in the copy: for each kind of input, and for a defence with a repair, or evaluation settings.
SHOWN = [3, 5, 7, "A5", "A8", "order", "ablation", "delta", "glance", "scenarios"]
# A user's own methods, as other values of keys: copies of the package's.
OWN_METHODS = (
    ("attack", "one_shot"),
    ("aggregation", "weighted_sum"),
    ("learner", "reptile"),
    ("defence", "fine_tuning"),
    ("defence", "matching"),
)
# Another legal value of each config key whose value is not a number, or has limits.
OTHER_VALUES = {
    "datasets": ["glyphs", "omniglot"],
    "figures": [*SHOWN, "A1"],
    "raw_data": "elsewhere",
    "seeds": [1, 2],
    "engine": "serial",
    "data.rotations": [0, 90],
    "data.trigger.shape": "square",
    "data.trigger.position": "top-left",
    "data.trigger.colour": 200,
    "split.target": "of this name",
    "split.reserved": "divided",
    "federation.selected": 2,
    "federation.attacker": 3,
    "federation.weight": 0.2,
    "federation.secure_aggregation": True,
    "federation.aggregation.method": "own_weighted_sum.py",
    "model.batch_norm": "running",
    "reptile.adam": "reset",
    "reptile.learner.method": "own_reptile.py",
    "pretrain.outer_learning_rate": [0.5, 0.2],
    "attack.method": "own_one_shot.py",
    "attack.rounds": [1, 2],
    "attack.backdoor_to_target": [1, 2],
    "attack.target_output": "random",
    "evaluation.episode_seed": 7,
    "evaluation.target_output": "random",
    "evaluation.rounds": [0, 1, 2],
    "evaluation.clients": [2, 3],
    "evaluation.cases": ["a", "b"],
    "defences.fine_tuning.method": "own_fine_tuning.py",
    "defences.fine_tuning.iterations": [0, 3],
    "defences.matching.method": "own_matching.py",
    "defences.matching.iterations": [0, 4],
    "defences.matching.norms": "fresh",
    "defences.matching.gates": False,
    "defences.matching.scales": False,
    "defences.sweep.grid.delta": [0.3, 0.5, 1.0],
    "figure_table.ablation.cases": ["a", "b"],
    "figure_table.delta.cases": ["a", "b"],
    "figure_table": {"mine": {"kind": "over_rounds"}},
    "overrides": {"glyphs": {"attack": {"boost": 5}}},
    "scenarios": {"default": {}, "strong": {"attack": {"boost": 5}}},
}

# Keys that add jobs to the existing ones.
ADDING = (
    *("datasets", "figures", "seeds", "scenarios", "figure_table", "evaluation.clients"),
    *("figure_table.ablation.cases", "figure_table.delta.cases", "defences.sweep.grid.delta"),
)


def leaves(config: Mapping, prefix: str = "") -> Iterator[str]:
    """Yield the keys of a config: section.key and so on."""
    for key, value in config.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


# Those of config.yaml, and some of the paper's table. A grid is another way to write scenarios.
KEYS = [
    *(key for key in leaves(yaml.safe_load((ROOT / "config.yaml").read_text())) if key != "grid"),
    *("defences.noisy-start-local.repair.episodes", "defences.noisy-start-local.repair.outer_learning_rate"),
    *("defences.other-episodes.evaluation.episode_seed", "defences.sweep.grid.delta"),
    *("figure_table.ablation.cases", "figure_table.delta.cases"),
]


class Finished:
    """A copy of the project in which everything is made, as far as Snakemake knows.

    The outputs are stand-ins, and `snakemake --touch` records them as it would after a run.
    """

    def __init__(self, folder: Path, changes: Mapping | None = None):
        self.folder = copy_project(folder)
        self.config = yaml.safe_load((folder / "config.yaml").read_text())
        update_config(self.config, yaml.safe_load((folder / "config/tiny.yaml").read_text()))
        self.config["figures"] = SHOWN
        update_config(self.config, changes or {})
        self.write_config(self.config)
        for family, method in OWN_METHODS:
            (folder / f"own_{method}.py").write_text((folder / FOLDERS[family] / f"{method}.py").read_text())
        for line in snakemake(folder, "--summary").stdout.splitlines()[1:]:
            output = folder / line.split("\t")[0]
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(output.name)
            if output.suffix in (".npy", ".safetensors"):
                os.truncate(output, 3_000_000)  # larger than what Snakemake compares by content unless told to
        run = snakemake(folder, "--touch", "--forceall")
        assert run.returncode == 0, run.stderr
        self.log = run.stderr  # of a run on one core, job by job
        # Dry runs are forks of a process that has done one: they need not import and parse options again.
        self.process = ProcessPoolExecutor(1, get_context("fork"), enter, (folder,))
        self.jobs = self.dry_run("--forceall")

    def write_config(self, config: Mapping) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def dry_run(self, *arguments: str) -> Counter:
        """Return how many jobs of each rule a dry run lists."""
        text = self.printed(*arguments)
        assert "This was a dry-run" in text or "Nothing to be done" in text, text
        listed = text.rpartition("Job stats:")[2]
        counted = re.findall(r"^(\w+) +(\d+)$", listed, re.M)
        return Counter({rule: int(count) for rule, count in counted if rule not in ("all", "total")})

    def printed(self, *arguments: str, dry: bool = True) -> str:
        """Return what Snakemake prints."""
        return self.process.submit(forked_call, (*arguments, *["--dry-run"] * dry)).result()

    @contextlib.contextmanager
    def edited(self, path: str, text: str) -> Iterator[None]:
        """Replace a file's text temporarily."""
        file = self.folder / path
        before = file.read_text()
        file.write_text(text)
        try:
            yield
        finally:
            file.write_text(before)

    @contextlib.contextmanager
    def settings(self, config: Mapping) -> Iterator[None]:
        """Use other settings temporarily."""
        with self.edited("config.yaml", yaml.safe_dump(config, sort_keys=False)):
            yield

    def after_key(self, key: str) -> Counter:
        """Return how many finished jobs would run again if a config key had another value."""
        *sections, name = key.split(".")
        place: Any = with_table(self.config)
        for section in sections:
            place = place[section]
        other = OTHER_VALUES.get(key, another(place[name]))
        assert place[name] != other, f"{key} is {other} already"
        with self.settings(lay(self.config, nested((*sections, name), other))):
            again = self.dry_run()
            return again - (self.dry_run("--forceall") - self.jobs) if key in ADDING else again

    def after_module(self, path: str) -> Counter:
        """Return how many jobs would run again if a Python file were edited."""
        with self.edited(path, (self.folder / path).read_text() + "\nedited = True\n"):
            return self.dry_run()


def another(value: Any) -> Any:
    """Return another number."""
    return value * 0.9 if isinstance(value, float) else value + 1 if isinstance(value, int) else 1


def enter(folder: Path) -> None:
    """Prepare this process for calls in `folder`."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    plugins.ROOT = folder  # methods are read there, though the library of this working copy is imported already
    with open(os.devnull, "w") as nowhere:
        call(nowhere, "--dry-run")


def call(output: TextIO, *arguments: str) -> None:
    """Call Snakemake's command line and write what it prints to `output`."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "workflow"]:
        del sys.modules[name]  # it may have been edited since an earlier call
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), contextlib.suppress(SystemExit):
        main([*arguments, "--cores", "2", "--resources", "gpu=1"])


def forked_call(arguments: tuple[str, ...]) -> str:
    """Return what Snakemake prints, called in a fork of this process."""
    with tempfile.TemporaryFile("w+") as output:
        process = os.fork()
        if process == 0:
            try:
                call(output, *arguments)
            finally:
                output.flush()
                os._exit(0)
        os.waitpid(process, 0)
        output.seek(0)
        return output.read()
