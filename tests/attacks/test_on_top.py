"""Attacks on top of another: what they make of its update, against what each claims."""

import pytest
import torch
import yaml
from helpers.attackers import attack_of, models
from helpers.naive import adapt_naively
from helpers.project import ROOT
from helpers.random_bank import make_bank

from fedmeta.attacks import feature_matching
from fedmeta.attacks.kernel_inflation import inflated
from fedmeta.attacks.norm_bounded import projected
from fedmeta.attacks.own_benign import benign_episodes, benign_update
from fedmeta.errors import FedmetaError
from fedmeta.federation.server import Server
from fedmeta.settings import for_dataset, lay, with_table
from workflow.lib.jobs import Jobs, Place

RUNNING = {"model": {"batch_norm": "running"}}
LENGTHS = ("conv1.kernel", "conv2.kernel", "conv3.kernel", "conv4.kernel")


@pytest.fixture
def config():
    return with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))


def logits(network, parameters, images):
    """Return the logits in training, and at test where the model has moving averages."""
    views = network.views(parameters)
    own = network.logits(views, images)[0]
    return [own, network.logits(views, images, network.test_statistics(views, images))[0]]


@pytest.mark.parametrize("laid", [{}, RUNNING], ids=["batch", "running"])
@pytest.mark.parametrize("factor", [3.0, 10.0, 100.0])
def test_inflation_multiplies_the_kernels_and_leaves_the_logits_as_they_were(laid, factor):
    network = attack_of("kernel_inflation", laid=laid).data.network
    _, model = models(network)
    larger, images = (
        inflated(network, model, factor),
        torch.from_numpy(make_bank(12, 1).images / 255).float().movedim(-1, 1),
    )
    before, after = network.views(model), network.views(larger)
    for name in LENGTHS:
        torch.testing.assert_close(after[name], factor * before[name], rtol=1e-6, atol=0)
    assert {name for name in before if not torch.equal(before[name], after[name])} >= set(LENGTHS)
    same = [name for name in before if name.endswith(("gamma", "beta")) or name.startswith("classifier")]
    assert len(same) == 10 and all(torch.equal(before[name], after[name]) for name in same)
    for own, other in zip(logits(network, model, images), logits(network, larger, images), strict=True):
        torch.testing.assert_close(other, own, rtol=0, atol=1e-4)


@pytest.mark.parametrize("boost", [1, 4])
def test_the_inflated_model_replaces_the_shared_one_where_boost_and_weight_cancel(boost):
    attack = attack_of("kernel_inflation", boost=boost, factor=7)
    shared, local = models(attack.data.network)
    server = Server(1 / boost, attack.data.settings.federation.aggregation, 1, "a round")
    after = server.aggregate(shared, {1: attack.update(1, 1, shared, local)}, {}, 0).shared
    views, own = attack.data.network.views(after), attack.data.network.views(local)
    for name, view in views.items():
        torch.testing.assert_close(view, own[name] * (7 if name in LENGTHS else 1), rtol=0, atol=1e-5)


def test_an_inflated_attack_is_that_attack_otherwise():
    attack = attack_of("kernel_inflation", beneath={"method": "feature_matching", "weight": 2}, boost=5, meta_steps=9)
    assert isinstance(attack.beneath, feature_matching.Attack)
    assert attack.learner(1).weight == 2
    assert (attack.beneath.options.boost, attack.training(1, 1).meta_steps) == (5, 9), "all else as above it"
    bounded = attack_of("norm_bounded", factor=2, beneath={"method": "kernel_inflation"}, boost=5)
    assert (bounded.beneath.options.factor, bounded.beneath.options.boost) == (10, 5), "of one name, not one option"
    nearer = attack_of("kernel_inflation", beneath={"method": "one_shot", "boost": 2}, boost=5)
    shared, local = models(attack.data.network)
    torch.testing.assert_close(5 * nearer.update(1, 1, shared, local), 2 * attack.update(1, 1, shared, local))


@pytest.mark.parametrize("boost", [1e-4, 3, 1000])
@pytest.mark.parametrize("factor", [1, 2.5])
def test_no_update_is_longer_than_the_bound_and_short_ones_stay(boost, factor):
    attack, plain = attack_of("norm_bounded", factor=factor, boost=boost), attack_of("one_shot", boost=boost)
    shared, local = models(attack.data.network)
    sent, whole = attack.update(1, 1, shared, local), plain.update(1, 1, shared, local)
    bound = factor * float(benign_update(attack.data, 1, 1, shared).norm())
    assert float(sent.norm()) <= bound * (1 + 1e-6)
    if boost < 1:
        assert torch.equal(sent, whole)
    else:
        assert float(sent.norm()) == pytest.approx(bound, rel=1e-5)
        assert float(torch.cosine_similarity(sent, whole, dim=0)) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("length", "after"), [(0.0, 0.0), (0.99, 0.99), (1.01, 1.0), (1.9, 1.0), (50.0, 1.0)])
def test_projection_is_onto_the_ball(length, after):
    update = torch.tensor([0.6, -0.8]) * length
    torch.testing.assert_close(projected(update, 1.0), torch.tensor([0.6, -0.8]) * after)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.5, 1.0])
def test_neurotoxin_leaves_the_largest_benign_coordinates_alone_and_sends_the_rest(share):
    attack, plain = attack_of("neurotoxin", spared=share), attack_of("one_shot")
    shared, local = models(attack.data.network)
    sent, whole = attack.update(1, 1, shared, local), plain.update(1, 1, shared, local)
    benign = benign_update(attack.data, 1, 1, shared).abs().tolist()
    ranked = sorted(range(len(benign)), key=lambda k: -benign[k])
    spared = ranked[: round(share * len(benign))]
    assert not sent[spared].any()
    others = ranked[len(spared) :]
    assert torch.equal(sent[others], whole[others]) and bool(whole.all())


def test_the_attackers_benign_update_is_reptile_on_its_own_classes():
    attack = attack_of("norm_bounded", laid={"meta_train_after": {"meta_steps": 1}, "reptile": {"adam": "reset"}})
    data, reptile = attack.data, attack.data.settings.reptile
    shared, _ = models(data.network)
    own = {row for rows in data.split.training(1) for row in rows.tolist()}
    sampler = benign_episodes(data, 1)
    assert {row for rows in sampler.pool for row in rows.tolist()} == own
    start = {name: view.clone() for name, view in data.network.views(shared).items()}
    episodes = [sampler.draw(2, 1, k) for k in range(reptile.meta_batch)]
    adapted = [adapt_naively(start, episode, reptile.inner_learning_rate) for episode in episodes]
    update = data.network.views(benign_update(data, 1, 2, shared))
    for name, view in update.items():
        expected = data.settings.meta_train_after.outer_learning_rate * (
            sum(each[name] for each in adapted) / len(adapted) - start[name]
        )
        torch.testing.assert_close(view, expected, rtol=0, atol=2e-5)
    assert not torch.equal(benign_update(data, 1, 1, shared), benign_update(data, 1, 2, shared)), (
        "each round draws anew"
    )


@pytest.mark.parametrize("method", ["norm_bounded", "neurotoxin"])
def test_an_attacker_with_too_few_classes_for_benign_episodes_is_told_so_at_once(method):
    with pytest.raises(
        FedmetaError, match=rf"^attack {method}: benign training of attacker 1: \d+ classes for a 30-way"
    ):
        attack_of(method, laid={"reptile": {"way": 30}})


def test_jobs_depend_on_the_attack_beneath_and_write_its_options_in_one_way(config):
    def jobs(beneath):
        own = {"method": "norm_bounded", "beneath": {"method": "kernel_inflation", "beneath": beneath}}
        return Jobs(lay(config, {"attack": own}))

    place = Place("default", "glyphs")
    bare = jobs({"method": "given", "model": "theirs.safetensors"})
    assert bare.method_files("attack", place)[1:-1] == [
        *("fedmeta/attacks/norm_bounded.py", "fedmeta/attacks/kernel_inflation.py", "fedmeta/attacks/given.py")
    ]
    assert bare.option_files("attack", place) == ["theirs.safetensors"]
    written = [
        jobs({"method": "feature_matching", **own}).params("attack", place)
        for own in ({}, {"weight": 1}, {"weight": 1.0, "boost": 3.0}, {"weight": 2})
    ]
    assert written[0] == written[1] == written[2] != written[3]
    innermost = written[0]["settings"]["attack"]["beneath"]["beneath"]
    assert innermost["weight"] == 1 and innermost["meta_steps"] == config["attack"]["meta_steps"]


def test_a_scenario_lays_options_over_those_of_the_same_attack_beneath(config):
    attack = {"method": "norm_bounded", "beneath": {"method": "feature_matching", "weight": 2}, "boost": 4}
    changed = lay(config, {"attack": attack, "scenarios": {"on": {"attack": {"beneath": {"weight": 5}}}}})
    beneath = for_dataset(changed, "glyphs").attack.beneath
    assert (beneath.method, beneath.weight, beneath.boost) == ("feature_matching", 5, 4)
