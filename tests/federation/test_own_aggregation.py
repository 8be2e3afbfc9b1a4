"""The guide's own aggregation: what it decides and what it remembers, over stages and over interruptions."""

import csv
from itertools import pairwise

import pytest
import torch
from helpers.guide import write_example
from helpers.stage_runs import RULES, Job
from safetensors.torch import load_file

from fedmeta.checkpoints import Unfinished
from fedmeta.data.bank import ImageBank
from fedmeta.data.splits import Split, read_split
from fedmeta.errors import FedmetaError
from fedmeta.federation.models import read_federation
from fedmeta.federation.pretraining import pretrain
from fedmeta.federation.server import Server
from fedmeta.federation.stages import meta_train_after
from fedmeta.federation.training import Stage
from fedmeta.plugins import options
from fedmeta.settings import part
from workflow.lib.jobs import chosen

USUAL = "aggregation.usual"


class Interrupted(Exception):
    pass


class StopsAfter(Unfinished):
    """Saves after each meta-step, and stops the work with an error after so many."""

    def __init__(self, output, saves):
        super().__init__(output, "key", interval=0.0)
        self.left = saves

    def save_if_due(self, tensors):
        super().save_if_due(tensors)
        self.left -= 1
        if self.left == 0:
            raise Interrupted


@pytest.fixture(scope="module")
def own_settings(settings, tmp_path_factory):
    """The attacker's update is longer than the others'; no more than that is needed to reject it."""
    path = write_example("Aggregation", tmp_path_factory.mktemp("own") / "my_aggregation.py")
    federation = {**settings["federation"], "aggregation": {"method": str(path), "factor": 2}}
    attack = {**settings["attack"], "boost": 50}
    return {**settings, "engine": "serial", "federation": federation, "attack": attack}


@pytest.fixture(scope="module")
def data(stage_data):
    return {
        **stage_data,
        "keyed": stage_data["attack_training"],
        "keyed_classes": stage_data["attack_training_classes"],
    }


@pytest.fixture(scope="module")
def folder(stages, data, own_settings, tmp_path_factory):
    """Where the stages of training were run."""
    folder, model = tmp_path_factory.mktemp("runs"), {}
    for name in ("pretrain", "attack", "meta_train_after"):
        output = folder / f"{name}.safetensors"
        stages[name](Job(name, {**data, **model}, output, {"settings": own_settings, "seed": 1}, 1))
        model = {"model": str(output)}
    return folder


def stage_of(data, settings, name, rule, first_round=1):
    bank = ImageBank.open(data["images"], data["classes"])
    own = part(chosen(settings, RULES[rule].settings))
    return Stage(name, bank, Split(read_split(data["split"]), bank), 1, False, own, 1, first_round)


def decisions_in(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_the_boosted_update_is_rejected_and_the_table_says_so(folder):
    rows = decisions_in(folder / "attack.decisions.csv")
    assert [row["user"] for row in rows if row["rejected"] == "1"] == ["1"]
    assert [float(row["weight"]) for row in rows] == [0, 1 / 3, 1 / 3]
    assert {(row["stage"], row["round"]) for row in rows} == {("attacked round", "1")}


def test_the_state_goes_on_from_stage_to_stage(folder):
    pretrained, attacked = (load_file(folder / f"{name}.safetensors")[USUAL] for name in ("pretrain", "attack"))
    after = load_file(folder / "meta_train_after.safetensors")
    states = [pretrained, attacked, after[f"round-2/{USUAL}"], after[f"round-3/{USUAL}"]]
    for before, later in pairwise(states):
        assert later > 0.9 * before and later != before


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_pre_training_that_was_interrupted_decides_and_remembers_the_same(data, own_settings, tmp_path, saves):
    stage = stage_of(data, own_settings, "pre-training", "pretrain")
    whole = pretrain(stage, Unfinished(tmp_path / "whole", "key"))
    with pytest.raises(Interrupted):
        pretrain(stage, StopsAfter(tmp_path / "model", saves))
    again = pretrain(stage, Unfinished(tmp_path / "model", "key"))
    assert len(whole.decisions) == 6 and again.decisions == whole.decisions
    assert torch.equal(again.aggregation["usual"], whole.aggregation["usual"])
    assert torch.equal(again.shared, whole.shared)


def test_later_rounds_that_were_interrupted_decide_and_remember_the_same(data, own_settings, folder, tmp_path):
    stage = stage_of(data, own_settings, "meta-training after", "meta_train_after", 2)
    keyed = ImageBank.open(data["keyed"], data["keyed_classes"])

    def run(unfinished):
        return meta_train_after(stage, keyed, read_federation(folder / "attack.safetensors", stage.network), unfinished)

    with pytest.raises(Interrupted):
        run(StopsAfter(tmp_path / "model", 2))
    models, federation = run(Unfinished(tmp_path / "model", "key"))
    expected = load_file(folder / "meta_train_after.safetensors")
    assert models.keys() == expected.keys()
    assert all(torch.equal(models[name], expected[name]) for name in models)
    rows = decisions_in(folder / "meta_train_after.decisions.csv")
    assert [(2 + number, user, weight) for number, user, weight in federation.decisions] == [
        (int(row["round"]), int(row["user"]), float(row["weight"])) for row in rows
    ]


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("shared[:2], weights, {}", "wrong shape or with NaN"),
        ("shared / 0, weights, {}", "wrong shape or with NaN"),
        ("shared, {1: 1.0}, {}", "no decision about some user"),
    ],
)
def test_what_an_aggregation_must_not_return_is_one_clear_line(tmp_path, returned, message):
    (tmp_path / "wrong.py").write_text(
        "from fedmeta.federation.aggregation.interface import Aggregate\n"
        "from fedmeta.settings.fields import MethodOptions\n"
        "class Options(MethodOptions): pass\n"
        f"def aggregate(shared, updates, weights, state, options, random): return Aggregate({returned})\n"
    )
    own = options("aggregation", {"method": str(tmp_path / "wrong.py")})
    updates = {user: torch.ones(3) for user in (1, 2)}
    with pytest.raises(FedmetaError, match=rf"^aggregation .*wrong\.py .*{message}"):
        Server(None, own, 1, "stage").aggregate(torch.ones(3), updates, {}, 0)
