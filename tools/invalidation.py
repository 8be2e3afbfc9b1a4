"""What Snakemake would run again after an edit: measured by dry runs in a copy of the project.

    python tools/invalidation.py

writes the tables of docs/caching.md anew.
"""

import contextlib
import copy
import multiprocessing
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TextIO

import yaml
from snakemake.cli import main
from snakemake.utils import update_config

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # it copies and calls the project as tests do
from helpers.project import ROOT, copy_project, snakemake


def leaves(config: Mapping, prefix: str = "") -> Iterator[str]:
    """Yield the keys of a config: section.key and so on, `overrides` as one."""
    for key, value in config.items():
        if isinstance(value, dict) and key != "overrides":
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key


DOCUMENT = ROOT / "docs/caching.md"
TABLES = ("aggregate", "summary", "run_times", "paper_against_ours")
FIGURES = ("figure", "figure_order", "figure_ablation", "figure_delta")
RULES = (
    *("resize", "augment", "split", "stamp", "contact_sheet", "pretrain", "attack", "meta_train_after"),
    *("local_meta_train", "evaluate", "fine_tune", "defend", "kernel_norms", *TABLES, *FIGURES),
)
WORDS = {"tables": TABLES, "figures": FIGURES}

# Another legal value of each config key whose value is no number, or has limits.
OTHER_VALUES = {
    "datasets": ["glyphs", "omniglot"],
    "figures": [3, 5, 7, "A5", "A6", "A8", "A9", "order", "ablation", "delta"],
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
    "model.batch_norm": "running",
    "reptile.adam": "reset",
    "pretrain.outer_learning_rate": [0.5, 0.2],
    "attack.backdoor_to_target": [1, 2],
    "attack.target_output": "random",
    "evaluation.episode_seed": 7,
    "evaluation.target_output": "random",
    "evaluation.rounds": [0, 1, 2],
    "evaluation.clients": [2, 3],
    "evaluation.cases": ["a", "b"],
    "fine_tuning.iterations": [0, 3],
    "matching.iterations": [0, 4],
    "matching.gates": False,
    "matching.scales": False,
    "glorot_mix.norms": "fresh",
    "local_meta_training.episodes": [15, 20],
    "figure_ablation.cases": ["a", "b"],
    "figure_delta.deltas": [0.3, 0.5, 1.0],
    "figure_delta.cases": ["a", "b"],
    "overrides": {"glyphs": {"attack": {"boost": 5}}},
}
KEYS = list(leaves(yaml.safe_load((ROOT / "config.yaml").read_text())))
# What only readers of other data sets reach than glyphs, on which everything is measured.
READERS = {
    dataset: [f"fedmeta/data/{module}" for module in re.findall(r"`(\w+\.py)`", modules)]
    for dataset, modules in re.findall(
        r"^\| `(omniglot|mini_imagenet|image_folder)` \| (.*) \|$", DOCUMENT.read_text(), re.M
    )
}
OTHER_READERS = set().union(*READERS.values())
MODULES = sorted({path.relative_to(ROOT).as_posix() for path in (ROOT / "fedmeta").rglob("*.py")} - OTHER_READERS)
# Keys that add jobs to those that there are.
ADDING = (
    *("datasets", "figures", "seeds", "evaluation.clients"),
    *("figure_ablation.cases", "figure_delta.deltas", "figure_delta.cases"),
)
# The figures that are there: one of each kind.
SHOWN = [3, 5, 7, "A5", "A8", "A9", "order", "ablation", "delta"]


class Finished:
    """A copy of the project in which everything is made, as far as Snakemake knows.

    The outputs are stand-ins, and `snakemake --touch` records them as it would after a run.
    """

    def __init__(self, folder: Path):
        self.folder = copy_project(folder)
        self.config = yaml.safe_load((folder / "config.yaml").read_text())
        update_config(self.config, yaml.safe_load((folder / "config/tiny.yaml").read_text()))
        self.config["figures"] = SHOWN
        self.write_config(self.config)
        for line in snakemake(folder, "--summary").stdout.splitlines()[1:]:
            output = folder / line.split("\t")[0]
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(output.name)
            if output.suffix in (".npy", ".safetensors"):
                os.truncate(output, 3_000_000)  # more than what Snakemake compares by content unless told to
        run = snakemake(folder, "--touch", "--forceall")
        assert run.returncode == 0, run.stderr
        # Dry runs are forks of a process that has one behind it: they need not import and parse options anew.
        self.process = ProcessPoolExecutor(1, multiprocessing.get_context("fork"), enter, (folder,))
        self.jobs = self.dry_run("--forceall")

    def write_config(self, config: Mapping) -> None:
        (self.folder / "config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))

    def dry_run(self, *arguments: str) -> Counter:
        """Return how many jobs of each rule a dry run lists."""
        text = self.printed(*arguments)
        assert "This was a dry-run" in text or "Nothing to be done" in text, text
        return Counter({rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", text, re.M) if rule in RULES})

    def printed(self, *arguments: str, dry: bool = True) -> str:
        """Return what Snakemake prints."""
        return self.process.submit(forked_call, (*arguments, *["--dry-run"] * dry)).result()

    @contextlib.contextmanager
    def edited(self, path: str, text: str) -> Iterator[None]:
        """Replace a file's text for a while."""
        file = self.folder / path
        before = file.read_text()
        file.write_text(text)
        try:
            yield
        finally:
            file.write_text(before)

    def after_key(self, key: str) -> Counter:
        """Return how many jobs that are done would run again if a config key had another value."""
        config = copy.deepcopy(self.config)
        *sections, name = key.split(".")
        place = config
        for section in sections:
            place = place[section]
        number = place[name] if isinstance(place[name], int | float) else 0
        other = OTHER_VALUES.get(key, number * 0.9 if isinstance(number, float) else number + 1)
        assert place[name] != other, f"{key} is {other} already"
        place[name] = other
        with self.edited("config.yaml", yaml.safe_dump(config, sort_keys=False)):
            again = self.dry_run()
            return again - (self.dry_run("--forceall") - self.jobs) if key in ADDING else again

    def after_module(self, path: str) -> Counter:
        """Return how many jobs would run again if a Python file were edited."""
        with self.edited(path, (self.folder / path).read_text() + "\nedited = True\n"):
            return self.dry_run()


def enter(folder: Path) -> None:
    """Make this process one for calls in `folder`."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
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


def table(heading: str, reruns: Mapping[str, Counter]) -> str:
    """Return a Markdown table of what is edited and the rules that run again, edits with the same rules in one row."""
    rows: dict[frozenset, list[str]] = {}
    for name, jobs in reruns.items():
        rows.setdefault(frozenset(jobs), []).append(f"`{name}`")
    lines = [f"| {heading} | runs again |", "| --- | --- |"]
    for rules in sorted(rows, key=lambda rules: [rule not in rules for rule in RULES]):
        lines.append(f"| {', '.join(rows[rules])} | {in_words(rules)} |")
    return "\n".join(lines)


def in_words(rules: Set[str]) -> str:
    """Return the rules in the order of the data's flow, all tables and all figures in one word."""
    if rules == set(RULES):
        return "all"
    words = [word for word, meant in WORDS.items() if rules >= set(meant)]
    named = rules - {rule for word in words for rule in WORDS[word]}
    return ", ".join([f"`{rule}`" for rule in RULES if rule in named] + words) or "nothing"


def documented(part: str) -> dict[str, set[str]]:
    """Return the table called `part` of docs/caching.md: the rules by what is edited."""
    reruns = {}
    for row in re.findall(r"^\| (`.*) \| (.*) \|$", between(DOCUMENT.read_text(), part)[1], re.M):
        rules = set(RULES) if row[1] == "all" else set(re.findall(r"`(\w+)`", row[1]))
        for word, meant in WORDS.items():
            if word in row[1].split(", "):
                rules |= set(meant)
        reruns |= dict.fromkeys(re.findall(r"`([^`]+)`", row[0]), rules)
    return reruns


def between(text: str, part: str) -> list[str]:
    """Return what comes before, in and after the part of a document that is generated."""
    begin = f"<!-- {part}: written by python tools/invalidation.py -->\n"
    before, rest = text.split(begin)
    inside, after = rest.split("<!-- end -->", 1)
    return [before + begin, inside, "<!-- end -->" + after]


def write_tables() -> None:
    """Measure every key and every module, and write the tables."""
    with tempfile.TemporaryDirectory() as folder:
        finished = Finished(Path(folder))
        tables = {
            "keys": table("key", {key: finished.after_key(key) for key in KEYS if key != "overrides"}),
            "modules": table("module", {path: finished.after_module(path) for path in MODULES}),
        }
    for part, lines in tables.items():
        before, _, after = between(DOCUMENT.read_text(), part)
        DOCUMENT.write_text(f"{before}\n{lines}\n\n{after}")


if __name__ == "__main__":
    write_tables()
