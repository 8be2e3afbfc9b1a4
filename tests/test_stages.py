"""The stages, run as Snakemake runs them: their files are the same bytes with any engine and worker count."""

import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from random_bank import make_bank
from snakemake.iocontainers import Namedlist

from fedmeta.data.bank import ImageClass, write_bank
from fedmeta.data.splits import Split, draw_split, write_split

ROOT = Path(__file__).parent.parent
SETTINGS = {
    "split": {"meta_training_classes": 24, "meta_testing_classes": 6},
    "model": {"filters": 8},
    "reptile": {"way": 3, "shot": 4, "inner_steps": 3, "inner_batch": 5, "meta_batch": 2},
    "pretrain": {"rounds": 2, "meta_steps": 2},
    "attack": {"meta_steps": 2, "meta_batch": 3, "inner_epochs": 1},
    "evaluation": {"episodes": 2, "inner_steps": 3, "rounds": [0, 1], "cases": ["a"]},
    "fine_tuning": {"iterations": [0, 2, 3]},
    "matching": {"iterations": [0, 2, 3], "warm_up": 1},
}
STAGES = ("pretrain", "attack", "local_meta_train", "evaluate", "fine_tune", "defend")
TRAINING = STAGES[:3]
OWN_PARAMS = {
    "local_meta_train": {"episodes": 4},
    "fine_tune": {"defence": "", "delta": None},
    "defend": {"defence": "matching", "delta": 0.3},
}
ENGINES = [("serial", 1), ("workers", 1), ("workers", 2), ("workers", 4)]


class Job:
    """What a stage's script sees of Snakemake."""

    def __init__(self, rule: str, inputs: dict, output: Path, params: dict, threads: int):
        self.rule, self.threads = rule, threads
        self.input, self.output = Namedlist(fromdict=inputs), Namedlist([str(output)])
        self.params, self.wildcards = (
            Namedlist(fromdict=params),
            Namedlist(fromdict={"dataset": "x", "scope": "excluded"}),
        )


@pytest.fixture(scope="module")
def settings() -> dict:
    own = yaml.safe_load((ROOT / "config.yaml").read_text())
    return {key: {**value, **SETTINGS.get(key, {})} if isinstance(value, dict) else value for key, value in own.items()}


@pytest.fixture(scope="module")
def data(settings, tmp_path_factory) -> dict[str, str]:
    """Return the files that the data stages make, by their names in the rules."""
    folder = tmp_path_factory.mktemp("data")
    bank = make_bank(40, 20)
    names = {name: str(folder / f"{name}.npy") for name in ("images", "attack_training", "attack_validation")}
    names |= {f"{name}_classes": str(folder / f"{name}.csv") for name in names}
    write_bank(names["images"], names["images_classes"], bank.images, bank.classes)
    names |= {"classes": names.pop("images_classes"), "split": str(folder / "split.csv")}
    assignments = draw_split(bank.classes, {**settings["split"], **settings["federation"]}, seed=1)
    write_split(names["split"], assignments)
    for role in ("attack_training", "attack_validation"):
        pools = Split(assignments, bank).backdoor(role)
        images = 255 - np.concatenate([bank.images[pool] for pool in pools])
        classes = [ImageClass(f"keyed {k}", 0, k, 5 * k, 5) for k in range(len(pools))]
        write_bank(names[role], names[f"{role}_classes"], images, classes)
    return names


@pytest.fixture(scope="module")
def stages():
    """Return the function of each stage's script."""
    sys.path.insert(0, str(ROOT / "workflow/scripts"))
    yield {name: __import__(name).main for name in STAGES}
    sys.path.pop(0)


def run_all(stages, data: dict, settings: dict, folder: Path, engine: str, threads: int) -> dict[str, bytes]:
    """Run the stages one after the other and return what each wrote."""
    folder.mkdir()
    params = {**settings, "engine": engine, "seed": 1, "client": 2}
    files = {name: folder / f"{name}.{'safetensors' if name in TRAINING else 'csv'}" for name in stages}
    models = {"clean": files["pretrain"], "attacked": files["attack"], "after": files["attack"]}
    keyed = {"keyed": data["attack_training"], "keyed_classes": data["attack_training_classes"]}
    for name, main in stages.items():
        inputs = {**data, **keyed} if name == "attack" else dict(data)
        if name in TRAINING[1:]:
            inputs["model"] = files[TRAINING[TRAINING.index(name) - 1]]
        elif name not in TRAINING:
            inputs |= models
        own = {**params, **OWN_PARAMS.get(name, {})}
        main(Job(name, {key: str(path) for key, path in inputs.items()}, files[name], own, threads))
    return {name: path.read_bytes() for name, path in files.items()}


@pytest.fixture(scope="module")
def serial(stages, data, settings, tmp_path_factory) -> dict[str, bytes]:
    return run_all(stages, data, settings, tmp_path_factory.mktemp("serial") / "run", "serial", 1)


@pytest.mark.parametrize(("engine", "threads"), ENGINES[1:])
def test_every_stage_writes_the_bytes_of_the_serial_one(stages, data, settings, tmp_path, serial, engine, threads):
    written = run_all(stages, data, settings, tmp_path / "run", engine, threads)
    for name, content in serial.items():
        assert written[name] == content, name


def test_another_seed_gives_other_bytes(stages, data, settings, tmp_path, serial):
    output = tmp_path / "model.safetensors"
    stages["pretrain"](Job("pretrain", data, output, {**settings, "engine": "serial", "seed": 2}, 1))
    assert output.read_bytes() != serial["pretrain"]
