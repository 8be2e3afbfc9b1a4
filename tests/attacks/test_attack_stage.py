"""The attacked round, as its stage makes it, against a naive loop over the paper's formulas (Sec. 2)."""

import numpy as np
import pytest
import torch
from helpers.naive import adapt_naively
from helpers.stage_runs import RULES, Job, with_adam
from safetensors.torch import load, load_file

from fedmeta.attacks.poisoned import AttackEpisodes
from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.data.splits import Split, read_split
from fedmeta.federation.training import Stage
from fedmeta.settings import part
from workflow.lib.jobs import chosen

WEIGHTS = [0.4, 1.2, 0.1, 0.8]
NAME = "attacked round"  # under which the stage draws


@pytest.fixture(scope="module")
def stage_settings(settings):
    """Adam begins each episode anew, as in the naive loop; every user has a weight of its own and large updates."""
    settings = with_adam(settings, "reset")
    settings["meta_train_after"] = {**settings["meta_train_after"], "outer_learning_rate": 1.0}
    return {**settings, "engine": "serial", "federation": {**settings["federation"], "weight": WEIGHTS}}


@pytest.fixture(scope="module")
def pretrained(stages, stage_data, stage_settings, tmp_path_factory):
    output = tmp_path_factory.mktemp("pretrained") / "model.safetensors"
    stages["pretrain"](Job("pretrain", stage_data, output, {"settings": stage_settings, "seed": 1}, 1))
    return output


def attack(stages, stage_data, settings, pretrained, output):
    """Run the stage and return the model that it writes."""
    inputs = {
        **stage_data,
        "keyed": stage_data["attack_training"],
        "keyed_classes": stage_data["attack_training_classes"],
        "model": str(pretrained),
    }
    stages["attack"](Job("attack", inputs, output, {"settings": settings, "seed": 1}, 1))
    return load_file(output)


def stage_of(stage_data, settings, included=False) -> Stage:
    bank = ImageBank.open(stage_data["images"], stage_data["classes"])
    own = part(chosen(settings, RULES["attack"].settings))
    return Stage(NAME, bank, Split(read_split(stage_data["split"]), bank), 1, included, own, 1)


def episodes_of(stage_data, settings):
    """Return what the attacker and the benign users draw from, put together anew from the settings."""
    stage, reptile = stage_of(stage_data, settings), settings["reptile"]
    way, shot, batch = reptile["way"], reptile["shot"], reptile["inner_batch"]
    passes = settings["attack"]["inner_epochs"] * way * shot
    longer = EpisodeShape(way, shot, -(-passes // batch), batch)
    keyed = ImageBank.open(stage_data["attack_training"], stage_data["attack_training_classes"])
    own, target = stage.split.training(1), stage.split.target_attacker()
    shape = EpisodeShape(way, shot, reptile["inner_steps"], batch)
    benign = {u: BenignEpisodes(stage.bank, stage.split.training(u), shape, 1, NAME) for u in (2, 3, 4)}
    return {1: AttackEpisodes(stage.bank, own, target, keyed, (2, 3), "last", longer, 1, NAME), **benign}


def reptile_naively(start, sampler, user, steps, batch, rate, inner_rate):
    """Return the model, by name, after `steps` meta-batches of `batch` episodes."""
    model = start
    for step in range(steps):
        drawn = [sampler.draw(0, user, step * batch + j) for j in range(batch)]
        adapted = [adapt_naively(model, episode, inner_rate) for episode in drawn]
        model = {n: (1 - rate) * model[n] + rate / batch * sum(each[n] for each in adapted) for n in model}
    return model


def test_the_attacked_round_is_the_papers_formula(stages, stage_data, stage_settings, pretrained, tmp_path):
    written = attack(stages, stage_data, stage_settings, pretrained, tmp_path / "attacked.safetensors")
    before, settings = load_file(pretrained), stage_settings
    samplers = episodes_of(stage_data, settings)
    own, after, inner_rate = (
        settings["attack"],
        settings["meta_train_after"],
        settings["reptile"]["inner_learning_rate"],
    )
    benign = stage_of(stage_data, settings).benign(1, 1, 0.1, beside=1)
    plans = {1: (own["meta_steps"], own["meta_batch"], own["outer_learning_rate"])}
    plans |= {u: (after["meta_steps"], settings["reptile"]["meta_batch"], after["outer_learning_rate"]) for u in benign}
    expected = {name: tensor.clone() for name, tensor in before.items()}
    for user, plan in plans.items():
        local = reptile_naively(before, samplers[user], user, *plan, inner_rate)
        boost = 3 if user == 1 else 1
        for name in expected:
            expected[name] += WEIGHTS[user - 1] * boost * (local[name] - before[name])
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(written[name], tensor, rtol=0, atol=2e-4)
        moved = (written[name] - before[name]).abs().max()
        assert moved > 1e-3, "the tolerance would hide that nothing was learned"


def test_without_boost_the_attackers_share_is_a_third(stages, stage_data, stage_settings, pretrained, tmp_path):
    """theta(lambda) is linear in lambda: theta(3) - theta(1) = 2 alpha_1 delta_1 = 2 (theta(2) - theta(1))."""
    models = []
    for boost in (1, 2, 3):
        own = {**stage_settings, "attack": {**stage_settings["attack"], "boost": boost}}
        models.append(attack(stages, stage_data, own, pretrained, tmp_path / f"{boost}.safetensors"))
    for name, first in models[0].items():
        torch.testing.assert_close(models[2][name] - first, 2 * (models[1][name] - first), rtol=0, atol=1e-5)
    assert any(not torch.equal(models[0][name], models[1][name]) for name in models[0])


@pytest.mark.parametrize("key", ["keyed images", "target"])
def test_the_model_depends_on_what_the_attacker_poisons_with(
    stages, stage_data, stage_settings, pretrained, tmp_path, key
):
    """Other keyed images, or another output for the target: another model, from the same draws of benign users."""
    data, settings = dict(stage_data), stage_settings
    if key == "target":
        settings = {**settings, "attack": {**settings["attack"], "target_output": "random"}}
    else:
        images = np.load(data["attack_training"])
        data["attack_training"] = str(tmp_path / "unkeyed.npy")
        np.save(data["attack_training"], 255 - images)
    usual = attack(stages, stage_data, stage_settings, pretrained, tmp_path / "usual.safetensors")
    other = attack(stages, data, settings, pretrained, tmp_path / "other.safetensors")
    assert any(not torch.equal(usual[name], other[name]) for name in usual)


@pytest.mark.parametrize(
    ("weight", "expected"), [(None, {2: 0.5, 4: 0.5}), (0.2, {2: 0.2, 4: 0.2}), (WEIGHTS, {2: 1.2, 4: 0.8})]
)
def test_weights_are_one_over_the_awaited_users_one_number_or_one_of_each(stage_data, stage_settings, weight, expected):
    settings = {**stage_settings, "federation": {**stage_settings["federation"], "weight": weight}}
    assert stage_of(stage_data, settings).server.weights([2, 4]) == expected


def test_the_attacker_is_selected_in_no_other_round(stage_data, stage_settings):
    stage = stage_of(stage_data, stage_settings)
    chosen = [stage.benign(number, 1, 0.1) for number in range(1, 51)]
    assert all(list(plans) == [2, 3, 4] for plans in chosen)
    assert {user for number in range(1, 51) for user in stage.benign(number, 1, 0.1, beside=2)} == {2, 3, 4}


@pytest.mark.parametrize("included", [False, True])
def test_benign_users_have_reserved_classes_where_they_are_included_and_only_there(
    stage_data, stage_settings, included
):
    stage = stage_of(stage_data, stage_settings, included)
    reserved = [stage.split.target_benign(2), *stage.split.backdoor_benign(2)]
    pool = stage.benign_samplers["user 2"].pool
    held = {row for rows in pool for row in rows.tolist()}
    for rows in reserved:
        assert held.issuperset(rows.tolist()) if included else held.isdisjoint(rows.tolist())
    assert len(pool) == len(stage.split.training(2)) + included * len(reserved)


def test_included_classes_change_the_model(stages, stage_data, stage_settings, pretrained, tmp_path):
    output = tmp_path / "included.safetensors"
    job = Job("pretrain", stage_data, output, {"settings": stage_settings, "seed": 1}, 1)
    job.wildcards = type(job.wildcards)(fromdict={"dataset": "x", "scope": "included"})
    stages["pretrain"](job)
    models = [load(path.read_bytes()) for path in (pretrained, output)]
    assert any(not torch.equal(models[0][name], models[1][name]) for name in models[0])
