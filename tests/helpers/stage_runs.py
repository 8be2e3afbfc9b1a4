"""The stages of training and evaluation, run as Snakemake runs them, on small random data."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import yaml
from snakemake.iocontainers import Namedlist

from fedmeta.data.bank import ImageClass, write_bank
from fedmeta.data.split_drawing import draw_split
from fedmeta.data.splits import Split, write_split
from fedmeta.settings import part
from helpers.project import ROOT
from helpers.random_bank import make_bank
from workflow.lib.stages import STAGES as RULES

SETTINGS = {
    "split": {"meta_training_classes": 24, "meta_testing_classes": 6},
    "model": {"filters": 8},
    "reptile": {"way": 3, "shot": 4, "inner_steps": 3, "inner_batch": 5, "meta_batch": 2},
    "pretrain": {"rounds": 2, "meta_steps": 2},
    "attack": {"meta_steps": 2, "meta_batch": 3, "inner_epochs": 2},  # 5 inner steps, where benign episodes have 3
    "meta_train_after": {"rounds": 3, "meta_steps": 1},
    "evaluation": {"episodes": 2, "inner_steps": 3, "rounds": [0, 1, 3], "cases": ["a"]},
    "fine_tuning": {"iterations": [0, 2, 3]},
    "matching": {"iterations": [0, 2, 3], "warm_up": 1},
}
STAGES = ("pretrain", "attack", "meta_train_after", "local_meta_train", "evaluate", "fine_tune", "defend")
TRAINING = STAGES[:4]
# The model that each stage of training begins with.
BEGINNING = {"attack": "pretrain", "meta_train_after": "attack", "local_meta_train": "attack"}
OWN_PARAMS = {
    "local_meta_train": {"episodes": 4},
    "fine_tune": {"defence": "", "delta": None},
    "defend": {"defence": "matching", "delta": 0.3},
}
ADAM_MODES = ("reset", "persist", "carry")


class Job:
    """What a stage's script sees of Snakemake."""

    def __init__(self, rule: str, inputs: dict, output: Path, params: dict, threads: int):
        self.rule, self.threads = rule, threads
        self.input, self.output = Namedlist(fromdict=inputs), Namedlist([str(output)])
        if rule in RULES and "decisions" in RULES[rule].outputs:
            self.output = Namedlist(
                fromdict={"model": str(output), "decisions": str(output.with_suffix(".decisions.csv"))}
            )
        self.params, self.wildcards = (
            Namedlist(fromdict={**params, "settings": taken(rule, params["settings"])}),
            Namedlist(fromdict={"dataset": "x", "scope": "excluded"}),
        )


def taken(rule: str, settings: Mapping) -> Mapping:
    """Return those of the settings that a job of the rule is given, all of them for a rule that is not of training."""
    if rule not in RULES:
        return settings
    own: dict = {}
    for key in RULES[rule].settings:
        section, _, name = key.partition(".")
        if name:
            own.setdefault(section, {})[name] = settings[section][name]
        else:
            own[section] = settings[section]
    return own


def small_settings() -> dict:
    """Return config.yaml with the small values of `SETTINGS`."""
    own = yaml.safe_load((ROOT / "config.yaml").read_text())
    return {key: {**value, **SETTINGS.get(key, {})} if isinstance(value, dict) else value for key, value in own.items()}


def with_adam(settings: dict, adam: str) -> dict:
    return {**settings, "reptile": {**settings["reptile"], "adam": adam}}


def make_data(settings: Mapping, folder: Path) -> dict[str, str]:
    """Make in `folder` what the data stages make; return the files by their names in the rules."""
    bank = make_bank(40, 20)
    names = {name: str(folder / f"{name}.npy") for name in ("images", "attack_training", "attack_validation")}
    names |= {f"{name}_classes": str(folder / f"{name}.csv") for name in names}
    write_bank(names["images"], names["images_classes"], bank.images, bank.classes)
    names |= {"classes": names.pop("images_classes"), "split": str(folder / "split.csv")}
    users = {key: settings["federation"][key] for key in ("users", "attacker")}
    assignments = draw_split(bank.classes, part({"split": settings["split"], "federation": users}), seed=1)
    write_split(names["split"], assignments)
    for role in ("attack_training", "attack_validation"):
        pools = Split(assignments, bank).backdoor(role)
        images = 255 - np.concatenate([bank.images[pool] for pool in pools])
        classes = [ImageClass(f"keyed {k}", 0, k, 5 * k, 5) for k in range(len(pools))]
        write_bank(names[role], names[f"{role}_classes"], images, classes)
    return names


def load_stages() -> dict[str, Callable]:
    """Return the function of each stage's script."""
    sys.path.insert(0, str(ROOT / "workflow/scripts"))
    try:
        return {name: __import__(name).main for name in STAGES}
    finally:
        sys.path.pop(0)


def run_all(scripts, data: dict, settings: dict, folder: Path, engine: str, threads: int) -> dict[str, bytes]:
    """Run the stages one after the other and return what each wrote."""
    folder.mkdir()
    params = {"settings": {**settings, "engine": engine}, "seed": 1, "client": 2}
    files = {name: folder / f"{name}.{'safetensors' if name in TRAINING else 'csv'}" for name in scripts}
    models = {"clean": files["pretrain"], "attacked": files["attack"], "after": files["meta_train_after"]}
    keyed = {"keyed": data["attack_training"], "keyed_classes": data["attack_training_classes"]}
    for name, main in scripts.items():
        inputs = {**data, **keyed} if name in ("attack", "meta_train_after") else dict(data)
        if name in BEGINNING:
            inputs["model"] = files[BEGINNING[name]]
        elif name not in TRAINING:
            inputs |= models
        own = {**params, **OWN_PARAMS.get(name, {})}
        main(Job(name, {key: str(path) for key, path in inputs.items()}, files[name], own, threads))
    return {name: path.read_bytes() for name, path in files.items()}
