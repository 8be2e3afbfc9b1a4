"""The stages of training and evaluation, run as Snakemake runs them, on small random data."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import load
from snakemake.iocontainers import Namedlist

from fedmeta.data.bank import ImageClass, write_bank
from fedmeta.data.split_drawing import draw_split
from fedmeta.data.splits import Split, write_split
from fedmeta.evaluation.measuring import EvaluatedClient
from fedmeta.settings import part
from helpers.project import ROOT
from helpers.random_bank import make_bank
from workflow.lib.jobs import chosen
from workflow.lib.stages import STAGES as RULES

SETTINGS = {
    "split": {"meta_training_classes": 24, "meta_testing_classes": 6},
    "model": {"filters": 8},
    "reptile": {"way": 3, "shot": 4, "inner_steps": 3, "inner_batch": 5, "meta_batch": 2},
    "pretrain": {"rounds": 2, "meta_steps": 2},
    "attack": {"meta_steps": 2, "meta_batch": 3, "inner_epochs": 2},  # 5 inner steps, where benign episodes have 3
    "meta_train_after": {"rounds": 3, "meta_steps": 1},
    "evaluation": {"episodes": 2, "inner_steps": 3, "rounds": [0, 1, 3], "cases": ["a"]},
}
STAGES = ("pretrain", "attack", "meta_train_after", "repair", "evaluate", "adapt", "detail")
FINE_TUNING = {"method": "fine_tuning", "iterations": [0, 2, 3]}
MATCHING = {"method": "matching", "iterations": [0, 2, 3], "warm_up": 1}
# What is run: jobs by name, each of a stage with params of its own.
JOBS = {
    "pretrain": ("pretrain", {}),
    "attack": ("attack", {}),
    "meta_train_after": ("meta_train_after", {}),
    "local_meta_training": ("repair", {"repair": {"method": "local_meta_training", "episodes": 4}}),
    "evaluate": ("evaluate", {}),
    "fine_tuning": ("adapt", {"defence": FINE_TUNING}),
    "matching": ("adapt", {"defence": MATCHING}),
}
TRAINING = ("pretrain", "attack", "meta_train_after", "local_meta_training")
# The model that a job begins with.
BEGINNING = {"attack": "pretrain"} | dict.fromkeys(
    ("meta_train_after", "local_meta_training", "fine_tuning", "matching"), "attack"
)
ADAM_MODES = ("reset", "persist", "carry")


class Job:
    """What a stage's script sees of Snakemake."""

    def __init__(self, rule: str, inputs: dict, output: Path, params: dict, threads: int, model: str = "attacked"):
        self.rule, self.threads = rule, threads
        params = {**params, "settings": chosen(params["settings"], RULES[rule].settings)}
        self.input, self.output = Namedlist(fromdict=inputs), Namedlist([str(output)])
        if len(outputs := RULES[rule].outputs) == 2:  # the second one beside the first
            second = output.with_suffix(".safetensors" if rule == "detail" else ".decisions.csv")
            self.output = Namedlist(fromdict=dict(zip(outputs, (str(output), str(second)), strict=True)))
        self.params = Namedlist(fromdict=params)
        self.wildcards = Namedlist(fromdict={"dataset": "x", "scope": "excluded", "model": model})


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


def evaluated_client(data: Mapping[str, str], settings: Mapping) -> EvaluatedClient:
    """Return the client that the stages evaluate, on the data of `make_data`."""
    own = part(chosen(settings, RULES["evaluate"].settings))
    return EvaluatedClient.from_files(data, 2, "excluded", own, 1, 1)


def load_stages() -> dict[str, Callable]:
    """Return the function of each stage's script."""
    sys.path.insert(0, str(ROOT / "workflow/scripts"))
    try:
        return {name: __import__(name).main for name in STAGES}
    finally:
        sys.path.pop(0)


def run_all(stages, data: dict, settings: dict, folder: Path, engine: str, threads: int) -> dict[str, bytes]:
    """Run the jobs one after the other and return what each wrote."""
    folder.mkdir()
    params = {"settings": {**settings, "engine": engine}, "seed": 1, "client": 2}
    files = {name: folder / f"{name}.{'safetensors' if name in TRAINING else 'csv'}" for name in JOBS}
    models = {"clean": files["pretrain"], "attacked": files["attack"], "after": files["meta_train_after"]}
    keyed = {"keyed": data["attack_training"], "keyed_classes": data["attack_training_classes"]}
    for name, (stage, own) in JOBS.items():
        inputs = {**data, **keyed} if name in ("attack", "meta_train_after") else dict(data)
        if name in BEGINNING:
            inputs["model"] = files[BEGINNING[name]]
        elif name not in TRAINING:
            inputs |= models
        job = Job(stage, {key: str(path) for key, path in inputs.items()}, files[name], params | own, threads)
        stages[stage](job)
    return {name: path.read_bytes() for name, path in files.items()}


def assert_equal_but_for_rounding(written: Mapping[str, bytes], reference: Mapping[str, bytes], bound: float) -> None:
    """Check that runs made equal accuracies, and models whose numbers differ by no more than `bound`."""
    for name, content in reference.items():
        if name in TRAINING:
            expected, tensors = load(content), load(written[name])
            assert expected.keys() == tensors.keys()
            for tensor in expected:
                torch.testing.assert_close(tensors[tensor], expected[tensor], rtol=0, atol=bound)
        else:
            assert written[name] == content, name  # accuracies: no prediction changes by rounding
