"""Attackers train as they do whatever the learner of the benign users is, and their poison arrives."""

import pytest
import torch
from helpers.attackers import drawn, models, stage_of
from helpers.learners import LEARNERS

from fedmeta.attacks.own_benign import benign_update
from fedmeta.checkpoints import Unfinished
from fedmeta.errors import FedmetaError
from fedmeta.federation.pretraining import train_to_the_end
from fedmeta.federation.rounds import Federation
from fedmeta.federation.stages import attacked_round, open_attack, with_attack

ATTACKS = ("one_shot", "matching_aware", "feature_matching", "encoder_only", "neurotoxin", "norm_bounded")
WHOLE_UPDATE = ("one_shot", "matching_aware", "feature_matching", "encoder_only")  # of what the attacker trained alone


def attacked(method, learner, folder, monkeypatch):
    """Return the shared model before and after the attacked round, and what was sent in it, by user."""
    laid = {"reptile": {"learner": LEARNERS[learner]}}
    stage, sent = stage_of(method, laid=laid), {}
    before = Federation(models(stage.network)[0])
    aggregate = type(stage.server)._aggregate

    def watched(self, shared, updates, *rest):
        sent.update(updates)
        return aggregate(self, shared, updates, *rest)

    with monkeypatch.context() as patched:
        patched.setattr(type(stage.server), "_aggregate", watched)
        after = attacked_round(stage, drawn((1,))[2], before, Unfinished(folder / "x", "x"))
    return models(stage.network)[0], after.shared, sent


@pytest.mark.parametrize("method", ATTACKS)
def test_what_an_attacker_trains_hangs_on_no_learner_of_benign_users(method, tmp_path, monkeypatch):
    """What it sends does only where it measures that by a benign update of its own."""
    sent = {}
    for learner in LEARNERS:
        before, after, sent[learner] = attacked(method, learner, tmp_path, monkeypatch)
        expected = before + sum(sent[learner].values()) / 3
        torch.testing.assert_close(after, expected, rtol=0, atol=1e-5)
        assert len(sent[learner]) == 3 and sent[learner][1].norm() > 1e-3
    for learner in ("fomaml", "fedavg"):
        alike = torch.equal(sent[learner][1], sent["reptile"][1])
        assert alike == (method in WHOLE_UPDATE), learner
        for user in set(sent[learner]) - {1}:
            assert not torch.equal(sent[learner][user], sent["reptile"][user])


@pytest.mark.parametrize("learner", LEARNERS)
def test_attackers_come_back_in_later_rounds_under_each_learner(learner, tmp_path):
    stage = stage_of("one_shot", laid={"reptile": {"learner": LEARNERS[learner]}}, rounds=[1, 3])
    programme = with_attack(stage, open_attack(stage, drawn((1,))[2]), [1, 2, 3])
    before = Federation(models(stage.network)[0])
    after = train_to_the_end(stage, before, programme, Unfinished(tmp_path / "x", "x"))
    assert {number for number, user, _ in after.decisions if user == 1} == {0, 2}
    assert set(after.private) == (set(after.taken | after.private) - {1} if learner == "fedavg" else set())


@pytest.mark.parametrize("learner", ["fomaml", "fedavg"])
def test_an_attackers_benign_update_is_that_of_the_learner(learner):
    """Under FedAvg it leaves the shared classifier as it is; no two learners give one update."""
    updates = {}
    for name in ("reptile", learner):
        data = open_attack(stage_of("norm_bounded", laid={"reptile": {"learner": LEARNERS[name]}}), drawn((1,))[2]).data
        updates[name] = benign_update(data, 1, 1, models(data.network)[0])
    kernel = data.network.views(updates[learner])["classifier.kernel"]
    assert bool(kernel.any()) == (learner == "fomaml")
    assert not torch.equal(updates["reptile"], updates[learner])


def test_too_few_examples_for_an_episode_are_one_line_under_first_order_maml():
    stage = stage_of("one_shot", laid={"reptile": {"shot": 50, "learner": {"method": "fomaml"}}})
    with pytest.raises(FedmetaError, match="only 15 examples for it, 50 are needed"):
        _ = stage.benign_samplers
