"""Break the code on purpose, one place at a time, and see a test turn red: `make mutants`.

Each mutant is a change of one line of what matters most, with the test file that has to notice. A survivor means that
the test would pass without what it is there for. It takes some five minutes on two cores.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]


class Mutant(NamedTuple):
    """`old` stands once in the file `path` and is replaced by `new`; the tests `file` must fail then."""

    what: str
    path: str
    old: str
    new: str
    file: str


FEDERATION, TRAINING = "fedmeta/federation/rounds.py", "fedmeta/federation/training.py"
EPISODES, POISONED = "fedmeta/data/episodes.py", "fedmeta/attacks/poisoned.py"
SPLITS, SERVER, ONE_SHOT = "fedmeta/data/splits.py", "fedmeta/federation/server.py", "fedmeta/attacks/one_shot.py"
MUTANTS = (
    Mutant("no boost", ONE_SHOT, "self.options.boost * (", "(", "attacks/test_attack_stage.py"),
    Mutant(
        "boost in benign updates",
        FEDERATION,
        "return local - shared",
        "return 3 * (local - shared)",
        "attacks/test_attack_stage.py",
    ),
    Mutant("aggregation weights", SERVER, "self.weight[user - 1]", "self.weight[0]", "attacks/test_attack_stage.py"),
    Mutant("updates unmasked", FEDERATION, "if server.secure:", "if False:", "federation/test_secure_aggregation.py"),
    Mutant(
        "server asked about updates",
        FEDERATION,
        "masked(updates, server.weights(plans)",
        "masked(updates, server.weights(updates)",
        "federation/test_secure_aggregation.py",
    ),
    Mutant(
        "Krum as in byzfl",
        "fedmeta/federation/aggregation/krum.py",
        "Krum(options.attackers + 1)",
        "Krum(options.attackers)",
        "federation/test_aggregations.py",
    ),
    Mutant("weights of no list", SERVER, "1 / len(users)", "1.0", "attacks/test_attack_stage.py"),
    Mutant(
        "no keyed images",
        POISONED,
        "self.keyed.at(keyed)]",
        "self.bank.at(keyed)]",
        "attacks/test_attack_stage.py",
    ),
    Mutant(
        "backdoor-to-target mix", POISONED, "ratio[0] / sum(ratio)", "ratio[1] / sum(ratio)", "data/test_episodes.py"
    ),
    Mutant("target label", EPISODES, "outputs == way - 1)[0]", "outputs == 0)[0]", "data/test_episodes.py"),
    Mutant(
        "attacker selected again", TRAINING, "if user not in self.attackers", "if user", "attacks/test_attack_stage.py"
    ),
    Mutant(
        "attacker not selected",
        ONE_SHOT,
        "if number in self.options.rounds else ()",
        "if number == 0 else ()",
        "attacks/test_attack_stage.py",
    ),
    Mutant("pool ignores the case", SPLITS, "if included else []", "if True else []", "attacks/test_attack_stage.py"),
    Mutant(
        "queries overlap the support",
        EPISODES,
        "queries = [rows[shot : shot",
        "queries = [rows[: shot",
        "data/test_episodes.py",
    ),
    Mutant(
        "reserved queries trained on",
        EPISODES,
        "random.permutation(held_out) if len(held_out)",
        "mixed[shot:] if len(held_out)",
        "data/test_episodes.py",
    ),
    Mutant(
        "Glorot mix the wrong way round",
        "fedmeta/defences/glorot_mix.py",
        "torch.lerp(fresh, parameters, delta)",
        "torch.lerp(parameters, fresh, delta)",
        "defences/test_glorot_mix.py",
    ),
    Mutant(
        "floor of the attacked model",
        "fedmeta/evaluation/experiments.py",
        "models = {0: load_model(client, clean)}",
        "models = {0: load_model(client, attacked)}",
        "workflow/test_floor.py",
    ),
    Mutant(
        "batched: shapes ignored",
        "fedmeta/learning/batched.py",
        "self.samplers[work.sampler].shape, len(work.episodes))",
        "len(work.episodes))",
        "learning/test_engine.py",
    ),
    Mutant(
        "models of another case",
        "workflow/lib/takes.py",
        "**home._asdict()})",
        '**home._asdict(), "scope": "excluded"})',
        "workflow/test_wiring.py",
    ),
    Mutant(
        "results of another scenario",
        "workflow/lib/homes.py",
        "homes[key] = self._holder(stage, key) or place",
        "homes[key] = self._holder(stage, key) or next(iter(self._places(stage, dataset)))",
        "workflow/test_homes.py",
    ),
)


def survives(mutant: Mutant, folder: Path) -> bool:
    """Return whether the mutant's tests pass; the file is as it was afterwards."""
    file = folder / mutant.path
    source = file.read_text()
    if source.count(mutant.old) != 1:
        raise SystemExit(f"{mutant.what}: {mutant.old!r} stands {source.count(mutant.old)} times in {mutant.path}")
    file.write_text(source.replace(mutant.old, mutant.new))
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", f"tests/{mutant.file}"]
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    file.write_text(source)
    if run.returncode not in (0, 1):
        raise SystemExit(f"{mutant.what}: the tests did not run\n{run.stdout[-2000:]}{run.stderr[-2000:]}")
    return run.returncode == 0


def left_out(folder: str, names: list[str]) -> list[str]:
    """Return which names in a folder of the project are not copied: what is hidden, and what runs read and make."""
    made = ("data", "results", "logs") if Path(folder) == ROOT else ()
    return [name for name in names if name.startswith(".") or name in made]


def main() -> int:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "project"
        shutil.copytree(ROOT, folder, ignore=left_out)
        survivors = []
        for mutant in MUTANTS:
            alive = survives(mutant, folder)
            survivors += [mutant.what] * alive
            print("survived" if alive else "noticed ", mutant.what, flush=True)
    print(f"{len(MUTANTS) - len(survivors)} of {len(MUTANTS)} mutants were noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
