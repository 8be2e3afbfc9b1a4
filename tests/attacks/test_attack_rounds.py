"""Every attack, in a whole round of a federation: in which rounds it attacks, that it trains, and in every engine."""

import itertools

import pytest
import torch
import yaml
from helpers.attackers import attack_of, drawn, models, stage_of
from helpers.project import ROOT

from fedmeta import plugins
from fedmeta.errors import FedmetaError
from fedmeta.federation.rounds import Federation
from fedmeta.federation.stages import open_attack, with_attack
from fedmeta.settings import check, lay, with_table
from workflow.lib.jobs import Jobs, Place

METHODS = [name for name in plugins.names("attack") if name != "given"]
ON_TOP = ["kernel_inflation", "mix_aware", "neurotoxin", "norm_bounded"]
ALL = {"early_layers", "encoder_only", "feature_matching", "matching_aware", "constrain_and_scale", "distributed"}


def attackers_of(method):
    return (1, 2) if method == "distributed" else (1,)


def complaint(change):
    config = with_table(lay(yaml.safe_load((ROOT / "config.yaml").read_text()), change))
    try:
        check(config)
    except FedmetaError as error:
        return str(error)
    return ""


def after_a_round(engine, method, **options):
    """Return the shared model before and after round 1."""
    stage = stage_of(method, attackers_of(method), {"engine": engine}, **options)
    attack = open_attack(stage, drawn(attackers_of(method))[2])
    shared, _ = models(stage.network)
    federation = Federation(shared)
    for _ in stage.train(federation, with_attack(stage, attack, [1]), lambda: None):
        pass
    return shared, federation.shared


def test_these_are_the_attacks():
    assert set(METHODS) == {"one_shot", *ON_TOP} | ALL


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("output", ["last", "random"])
def test_every_attack_runs_and_moves_the_model_by_the_same_bytes_on_workers(method, output):
    before, serial = after_a_round("serial", method, target_output=output)
    assert (serial - before).abs().max() > 1e-4
    assert torch.equal(after_a_round("workers", method, target_output=output)[1], serial)


@pytest.mark.parametrize("method", METHODS)
def test_the_batched_engine_agrees_but_for_rounding(method):
    torch.testing.assert_close(
        after_a_round("batched", method)[1], after_a_round("serial", method)[1], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("beneath", ["constrain_and_scale", "encoder_only"])
def test_what_reads_the_rounds_shared_model_does_so_in_a_mix_in_every_engine(beneath):
    made = [
        after_a_round(engine, "mix_aware", beneath={"method": beneath})[1]
        for engine in ("serial", "workers", "batched")
    ]
    assert torch.equal(made[0], made[1])
    torch.testing.assert_close(made[2], made[0], rtol=0, atol=1e-5)


def test_all_attacks_make_different_models():
    made = {method: after_a_round("serial", method, rounds=[1])[1] for method in METHODS if method != "distributed"}
    for one, other in itertools.combinations(made, 2):
        assert not torch.equal(made[one], made[other]), (one, other)


@pytest.mark.parametrize("method", METHODS)
def test_each_attacks_once_or_in_the_rounds_that_are_named(method):
    attackers = attackers_of(method)
    once, often = attack_of(method, attackers), attack_of(method, attackers, rounds=[1, 3])
    assert [number for number in range(1, 6) if once.attackers(number)] == [1]
    assert [tuple(often.attackers(number)) for number in range(1, 5)] == [attackers, (), attackers, ()]


@pytest.mark.parametrize("rounds", [[1], [2], [1, 2]])
def test_the_attack_beneath_may_have_rounds_of_its_own_and_else_has_those_above_it(rounds):
    own = attack_of("norm_bounded", rounds=[2], beneath={"method": "mix_aware", "rounds": rounds})
    assert [number for number in range(1, 5) if own.attackers(number)] == rounds
    above = attack_of("norm_bounded", rounds=rounds, beneath={"method": "mix_aware", "beneath": {"method": "one_shot"}})
    assert [number for number in range(1, 5) if above.attackers(number)] == rounds


def test_one_shot_is_not_among_the_params_of_jobs_so_that_older_results_stay():
    config = with_table(yaml.safe_load((ROOT / "config.yaml").read_text()))
    for rounds, written in (([1], None), ([3, 1], [1, 3])):
        jobs = Jobs(lay(config, {"attack": {"rounds": rounds}}))
        assert jobs.params("attack", Place("default", "glyphs"))["settings"]["attack"].get("rounds") == written


def test_rounds_are_among_those_that_are_run():
    assert complaint({"attack": {"rounds": [1, 5, 10]}}) == ""
    assert complaint({"attack": {"rounds": [8, 9]}}).startswith("config: attack.rounds: add 1, the first round after ")
    assert complaint({"attack": {"rounds": [1, 11]}}) == "config: attack.rounds: meta_train_after.rounds is only 10"
    assert complaint({"attack": {"rounds": [0]}}).startswith("config: attack.rounds: must be a list of ")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"method": "distributed"}, "config: attack.method: distributed needs several attackers"),
        ({"method": "mix_aware", "delta": [0.5, 0.2]}, "config: attack.delta: [0.5, 0.2] has no share above 0"),
        ({"method": "mix_aware", "delta": [0, 0]}, "config: attack.delta: [0, 0] has no share above 0"),
        (
            {"method": "norm_bounded", "beneath": {"method": "given"}},
            "config: attack.beneath: given trains no attacker",
        ),
        (
            {"method": "norm_bounded", "beneath": {"method": "feature_matching", "wieght": 2}},
            "config: unknown key 'wieght' in attack.beneath; did you mean 'weight'?",
        ),
        (
            {"method": "norm_bounded", "beneath": {"method": "feature_matching", "weight": 0}},
            "config: attack.beneath.weight: must be a number above 0",
        ),
        ({"method": "norm_bounded", "beneath": {"weight": 2}}, "config: attack.beneath.method: it is missing"),
        ({"method": "norm_bounded", "beneath": 3}, "config: attack.beneath: must be a section, or null, not 3"),
        (
            {"method": "norm_bounded", "beneath": {"method": "mix_aware", "beneath": {"method": "distributed"}}},
            "config: attack.beneath.beneath.method: distributed needs several attackers",
        ),
    ],
)
def test_what_is_wrong_with_an_attack_is_one_line(change, line):
    assert complaint({"attack": change}).startswith(line)


def test_a_key_is_dealt_to_at_most_as_many_attackers_as_it_has_rows():
    five = {"federation": {"users": 9, "selected": 3, "attacker": [1, 2, 3]}, "evaluation": {"clients": [4]}}
    assert complaint({**five, "attack": {"method": "distributed"}}) == ""
    small = {**five, "data": {"trigger": {"size": 2}}, "attack": {"method": "distributed"}}
    assert complaint(small).startswith("config: attack.method: 3 attackers (federation.attacker) for a key of 2 rows")
