"""The guide's own attack, by two attackers in every second round, from its file to the models and decisions."""

import csv

import pytest
import torch
from helpers.guide import write_example
from helpers.stage_runs import RULES, Job, make_data
from safetensors.torch import load_file

from fedmeta.data.bank import ImageBank
from fedmeta.data.splits import Split, read_split
from fedmeta.errors import FedmetaError
from fedmeta.federation.models import read_federation
from fedmeta.federation.stages import checked_update, open_attack, with_attack
from fedmeta.federation.training import Stage
from fedmeta.settings import part
from workflow.lib.jobs import chosen

STAGES = ("pretrain", "attack", "meta_train_after")
PARTS = """
import numpy as np
from fedmeta.attacks import one_shot
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.data.bank import ImageBank

class Options(OneShotOptions):
    pass

class Attack(one_shot.Attack):
    def keyed(self, user):
        images, own = self.data.unstamped.copy(), self.data.attackers.index(user)
        images[:, own::2] = self.data.keyed.images[:, own::2]
        return ImageBank(images, self.data.keyed.classes)
"""


def with_attackers(settings, method, **options):
    """Return the settings with users 1 and 2 of five as attackers."""
    attack = {**settings["attack"], "method": str(method), **options}
    federation = {**settings["federation"], "users": 5, "attacker": [1, 2]}
    after = {**settings["meta_train_after"], "rounds": 4}
    return {**settings, "engine": "serial", "federation": federation, "attack": attack, "meta_train_after": after}


@pytest.fixture(scope="module")
def own_settings(settings, tmp_path_factory):
    return with_attackers(settings, write_example("Attack", tmp_path_factory.mktemp("own") / "my_attack.py"))


@pytest.fixture(scope="module")
def data(own_settings, tmp_path_factory):
    files = make_data(own_settings, tmp_path_factory.mktemp("data"))
    return {**files, "keyed": files["attack_training"], "keyed_classes": files["attack_training_classes"]}


def run(stages, data, settings, folder, engine="serial", threads=1):
    """Run the stages of training in `folder`; return what each wrote, its model and its table."""
    folder.mkdir(exist_ok=True)
    model, made = {}, {}
    for name in STAGES:
        output = folder / f"{name}.safetensors"
        params = {"settings": {**settings, "engine": engine}, "seed": 1}
        stages[name](Job(name, {**data, **model}, output, params, threads))
        model = {"model": str(output)}
        made[name] = output.read_bytes(), output.with_suffix(".decisions.csv").read_bytes()
    return made


@pytest.fixture(scope="module")
def folder(stages, data, own_settings, tmp_path_factory):
    """Where the stages were run."""
    folder = tmp_path_factory.mktemp("runs") / "serial"
    run(stages, data, own_settings, folder)
    return folder


def stage_of(data, settings, name="attacked round", rule="attack", first_round=1) -> Stage:
    bank = ImageBank.open(data["images"], data["classes"])
    own = part(chosen(settings, RULES[rule].settings))
    return Stage(name, bank, Split(read_split(data["split"]), bank), 1, False, own, 1, first_round)


def attack_of(data, settings):
    stage = stage_of(data, settings)
    return stage, open_attack(stage, ImageBank.open(data["keyed"], data["keyed_classes"]))


def test_the_tables_say_who_took_part_in_which_round(folder):
    taking_part = {}
    for name in STAGES:
        with open(folder / f"{name}.decisions.csv") as file:
            for row in csv.DictReader(file):
                assert (float(row["weight"]), row["rejected"]) == (1 / 3, "0")
                taking_part.setdefault((row["stage"], int(row["round"])), set()).add(int(row["user"]))
    rounds = [(stage, number, len(users), users & {1, 2}) for (stage, number), users in taking_part.items()]
    assert rounds == [
        ("pre-training", 1, 3, set()),
        ("pre-training", 2, 3, set()),
        ("attacked round", 1, 3, {1, 2}),
        ("meta-training after", 2, 3, set()),
        ("meta-training after", 3, 3, {1, 2}),
        ("meta-training after", 4, 3, set()),
    ]


def test_workers_write_the_bytes_of_the_serial_engine(stages, data, own_settings, folder, tmp_path):
    made = run(stages, data, own_settings, tmp_path / "workers", "workers", 2)
    for name in STAGES:
        model, table = made[name]
        assert model == (folder / f"{name}.safetensors").read_bytes(), name
        assert table == (folder / f"{name}.decisions.csv").read_bytes(), name


@pytest.mark.parametrize("option", [{"nearness": 30.0}, {"bound": 0.001}, {"every": 3}, {"boost": 1}])
def test_each_option_changes_the_models(stages, data, own_settings, folder, tmp_path, option):
    own = {**own_settings, "attack": {**own_settings["attack"], **option}}
    run(stages, data, own, tmp_path)
    usual, other = (load_file(where / "meta_train_after.safetensors") for where in (folder, tmp_path))
    for number in (2, 3):
        same = all(torch.equal(usual[name], other[name]) for name in usual if name.startswith(f"round-{number}/"))
        assert same == ("every" in option and number == 2), number  # round 3 is not attacked if it is every third one


def test_what_is_sent_is_bounded_and_leaves_the_first_layer_alone(data, own_settings):
    _, attack = attack_of(data, own_settings)
    network = attack.data.network
    shared = torch.zeros(network.parameter_count)
    update = checked_update(attack, 1, 1, shared, torch.ones_like(shared))
    assert float(update.norm()) == pytest.approx(3)
    views = network.views(update)
    assert not views["conv1.kernel"].any() and bool(views["conv2.kernel"].all())
    short = checked_update(attack, 1, 1, shared, torch.full_like(shared, 1e-4))
    assert network.views(short)["conv2.kernel"].unique().tolist() == pytest.approx([3e-4])


def test_attackers_have_classes_of_their_own_and_share_the_reserved_examples(data, own_settings):
    stage, attack = attack_of(data, own_settings)
    held = [{row for rows in attack.episodes(user).pool for row in rows.tolist()} for user in (1, 2)]
    assert held[0] and held[1] and held[0].isdisjoint(held[1])
    targets = [attack.episodes(user).target_rows.tolist() for user in (1, 2)]
    assert targets[0] == targets[1] and len(targets[0]) == 5
    assert stage.benign_users == [3, 4, 5]


def test_each_attacker_may_have_a_part_of_the_key(data, settings, tmp_path):
    (tmp_path / "parts.py").write_text(PARTS)
    _, attack = attack_of(data, with_attackers(settings, tmp_path / "parts.py"))
    whole, without = attack.data.keyed.images, attack.data.unstamped
    assert whole.shape == without.shape and (whole != without).any()
    parts = [attack.episodes(user).keyed.images for user in (1, 2)]
    for own, part_of_key in enumerate(parts):
        assert (part_of_key[:, own::2] == whole[:, own::2]).all()
        assert (part_of_key[:, 1 - own :: 2] == without[:, 1 - own :: 2]).all()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("def attackers(self, number): return (3,)", r"users \(3,\) attack in round 1, but the attackers are 1, 2"),
        ("def attackers(self, number): return (1, 1)", "attack in round 1"),
        ("def update(self, user, number, shared, local): return local[:3]", "update of user 1 in round 1"),
        ("def update(self, user, number, shared, local): return local / 0", "update of user 1 in round 1"),
    ],
)
def test_what_an_attack_must_not_do_is_one_clear_line(data, settings, folder, tmp_path, body, message):
    (tmp_path / "wrong.py").write_text(PARTS.split("    def keyed")[0] + f"    {body}\n")
    stage, attack = attack_of(data, with_attackers(settings, tmp_path / "wrong.py"))
    before = read_federation(folder / "pretrain.safetensors", stage.network)
    with pytest.raises(FedmetaError, match=rf"^attack .*wrong\.py: .*{message}"):
        for _ in stage.train(before, with_attack(stage, attack, [1]), lambda: None):
            pass
