"""Every engine gives what the serial one gives: workers the same bytes, batched the same but for rounding."""

import os
import signal
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch

from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.defences.glorot_mix import GlorotMix
from fedmeta.defences.interface import Rates
from fedmeta.defences.matching import Matching, Options
from fedmeta.errors import FedmetaError
from fedmeta.learning.batched import Batched
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Serial, Start, Work, Workers
from fedmeta.learning.reptile import Supervised

WORKS = [Work(user - 1, f"user {user}", ((0, user, episode),)) for user in (1, 2, 3) for episode in range(2)]
CHAINS = [Work(user - 1, f"user {user}", ((0, user, 0), (0, user, 1))) for user in (1, 2, 3)]


class WithQueries:
    """Adds another user's images as queries, for engines that are asked to observe."""

    def __init__(self, sampler, other):
        self.sampler, self.other, self.shape = sampler, other, sampler.shape

    def draw(self, *names):
        episode, other = self.sampler.draw(*names), self.other.draw(*names)
        return replace(
            episode, queries=other.support, expected=other.labels, groups={"x": slice(0, 5), "y": slice(5, 12)}
        )


@pytest.fixture
def starts(network):
    return [Start.fresh(network.initial(np.random.default_rng(k))) for k in range(3)]


@pytest.fixture
def observed(samplers):
    return {name: WithQueries(sampler, samplers["user 3"]) for name, sampler in samplers.items()}


def learner_of(kind: str, network):
    if kind == "supervised":
        return Supervised(network, 1e-3)
    return Matching(network, Rates(1e-3, 0.999), GlorotMix(0.5, "shared", 1), Options(method="matching", warm_up=1))


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("works", [WORKS, CHAINS], ids=["episodes", "chains"])
def test_workers_give_the_serial_bytes(network, samplers, starts, works, count):
    learner = Supervised(network, 1e-3)
    with Serial(learner, samplers) as engine:
        expected = list(engine.run(starts, works))
    with Workers(learner, samplers, count, starts=3, works=6) as engine:
        for _ in range(2):
            for outcome, reference in zip(engine.run(starts, works), expected, strict=True):
                assert torch.equal(outcome.adapted.parameters, reference.adapted.parameters)
                assert torch.equal(outcome.adapted.second_moment, reference.adapted.second_moment)
                assert (outcome.adapted.taken, outcome.loss) == (reference.adapted.taken, reference.loss)


@pytest.mark.parametrize("kind", ["supervised", "matching"])
def test_workers_observe_what_serial_observes(network, observed, starts, kind):
    learner = learner_of(kind, network)
    with Serial(learner, observed) as engine:
        expected = [outcome.scores for outcome in engine.run(starts, WORKS, (0, 2, 3))]
    with Workers(learner, observed, 2, starts=3, works=1) as engine:
        assert [outcome.scores for outcome in engine.run(starts, WORKS, (0, 2, 3))] == expected
    assert all(len(scores) == 3 and set(scores[0]) == {"x", "y"} for scores in expected)


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
@pytest.mark.parametrize("works", [WORKS, CHAINS], ids=["episodes", "chains"])
def test_batched_equals_serial_but_for_rounding(samplers, works, batch_norm):
    network = Conv4(1, 16, 3, 8, batch_norm)
    starts = [
        Start(network.initial(np.random.default_rng(k)), torch.rand(network.parameter_count), 5) for k in range(3)
    ]
    learner = Supervised(network, 1e-3)
    with Serial(learner, samplers) as engine:
        expected = list(engine.run(starts, works))
    with Batched(learner, samplers, "cpu", width=4) as engine:
        outcomes = list(engine.run(starts, works))
    for outcome, reference, work in zip(outcomes, expected, works, strict=True):
        start = starts[work.start].parameters
        moved, wanted = outcome.adapted.parameters - start, reference.adapted.parameters - start
        assert wanted.norm() > 1e-4
        assert (moved - wanted).norm() <= 1e-4 * reference.adapted.parameters.norm()
        torch.testing.assert_close(outcome.adapted.second_moment, reference.adapted.second_moment, rtol=1e-3, atol=1e-6)
        assert outcome.adapted.taken == reference.adapted.taken
        assert outcome.loss == pytest.approx(reference.loss, rel=1e-3)


def test_batched_runs_works_of_different_shapes_in_one_call(network, samplers, bank, pool, starts):
    """As in the attacked round: the attacker's episodes are longer and, with `persist`, its meta-batch is another."""
    attacker = BenignEpisodes(bank, pool, EpisodeShape(3, 4, 7, 5), 7, "attack")
    samplers = {**samplers, "attacker": attacker}
    works = [
        Work(0, "attacker", ((0, 4, 0), (0, 4, 1), (0, 4, 2))),
        Work(1, "user 2", ((0, 2, 0), (0, 2, 1))),
        Work(0, "attacker", ((0, 4, 3), (0, 4, 4))),
        Work(2, "user 3", ((0, 3, 0), (0, 3, 1))),
    ]
    learner = Supervised(network, 1e-3)
    with Serial(learner, samplers) as engine:
        expected = list(engine.run(starts, works))
    with Batched(learner, samplers, "cpu", width=3) as engine:
        outcomes = list(engine.run(starts, works))
    assert [outcome.adapted.taken for outcome in outcomes] == [21, 6, 14, 6]
    for outcome, reference in zip(outcomes, expected, strict=True):
        torch.testing.assert_close(outcome.adapted.parameters, reference.adapted.parameters, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["supervised", "matching"])
def test_batched_predicts_what_serial_predicts(network, observed, starts, kind):
    learner = learner_of(kind, network)
    with Serial(learner, observed) as engine:
        expected = [outcome.scores for outcome in engine.run(starts, WORKS, (0, 2, 3))]
    with Batched(learner, observed, "cpu", width=4) as engine:
        assert [outcome.scores for outcome in engine.run(starts, WORKS, (0, 2, 3))] == expected


def test_divergence_is_one_clear_line(network, samplers):
    broken = Start.fresh(torch.full((network.parameter_count,), float("nan")))
    with (
        Workers(Supervised(network, 1e-3), samplers, 2, 3, 6) as engine,
        pytest.raises(FedmetaError, match=r"diverged .* lower inner_learning_rate"),
    ):
        list(engine.run([broken], WORKS[:1]))


def test_a_killed_worker_is_one_clear_line(network, samplers, bank, pool, starts):
    long = BenignEpisodes(bank, pool, EpisodeShape(3, 4, 20000, 5), 7, "test")
    with Workers(Supervised(network, 1e-3), {"user 1": long}, 2, 3, 6) as engine:
        list(engine.run(starts[:1], []))
        with pytest.raises(FedmetaError, match="worker process was killed"):
            for _ in _killing_one(engine, starts):
                pass


def _killing_one(engine, starts):
    """Start long work, kill one process of the pool, and go on as if nothing had happened."""
    futures = engine.run(starts[:1], WORKS[:2])

    def kill():
        while not engine.pool._processes:
            pass
        os.kill(next(iter(engine.pool._processes)), signal.SIGKILL)

    threading.Timer(1.0, kill).start()
    yield from futures
