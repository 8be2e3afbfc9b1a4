"""Rounds against the paper's formulas written as loops, and going on from a saved state."""

import numpy as np
import pytest
import torch

from fedmeta.federation.aggregation import weighted_sum
from fedmeta.federation.rounds import Federation, LocalTraining, run_round
from fedmeta.federation.server import Server
from fedmeta.learning.engine import Serial, Start, Work
from fedmeta.learning.reptile import Supervised

OPTIONS = weighted_sum.Options(method="weighted_sum")


def weighted(shared, updates, weights):
    return weighted_sum.aggregate(shared, updates, weights, {}, OPTIONS, np.random.default_rng(0))


def server(weight, stage="stage") -> Server:
    return Server(weight, OPTIONS, 1, stage)


def test_aggregation_is_the_weighted_sum_of_updates():
    random = np.random.default_rng(0)
    shared, updates, weights = random.normal(size=5), random.normal(size=(3, 5)), [0.5, 0.25, 0.1]
    expected = [shared[k] + sum(weights[i] * updates[i][k] for i in range(3)) for k in range(5)]
    sent = {user: torch.from_numpy(updates[user - 2]) for user in (4, 2, 3)}  # in any order
    made = weighted(torch.from_numpy(shared), sent, {2: 0.5, 3: 0.25, 4: 0.1})
    np.testing.assert_allclose(made.shared.numpy(), expected, rtol=1e-12)
    assert (made.decisions, made.state) == ({2: 0.5, 3: 0.25, 4: 0.1}, {})


def test_boost_by_the_inverse_weight_replaces_the_model():
    shared, attacker = torch.randn(7, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    idle = torch.zeros(7, dtype=torch.float64)
    made = weighted(shared, {1: 3 * (attacker - shared), 2: idle, 3: idle}, dict.fromkeys((1, 2, 3), 1 / 3))
    torch.testing.assert_close(made.shared, attacker)


def test_selection_is_seeded_sorted_and_varies():
    draws = [tuple(server(None).select(number, [2, 3, 4, 5], 3)) for number in range(30)]
    assert draws == [tuple(server(None).select(number, [2, 3, 4, 5], 3)) for number in range(30)]
    assert all(list(draw) == sorted(set(draw)) for draw in draws)
    assert len(set(draws)) == 4


def doubled(shared, local):
    return 2 * (local - shared)


@pytest.mark.parametrize("adam", ["reset", "carry", "persist"])
def test_a_round_is_local_reptile_then_aggregation(network, samplers, adam):
    """One user with two meta-steps and one boosted with one, by hand with `Serial` alone."""
    plans = {1: LocalTraining("user 1", 2, 2, 0.5), 2: LocalTraining("user 2", 1, 2, 0.3, doubled)}
    federation = Federation(network.initial(np.random.default_rng(1)))
    start = federation.shared.clone()
    with Serial(Supervised(network, 1e-3), samplers) as engine:
        run_round(engine, federation, plans, server([0.4, 0.6]), adam)

        deltas = {}
        for user, plan in plans.items():
            local, moment, taken = start.clone(), torch.zeros_like(start), 0
            for step in range(plan.meta_steps):
                adapted, moments = [], []
                for j in range(2):
                    state = Start(local, moment, taken) if adam != "reset" else Start.fresh(local)
                    (outcome,) = engine.run([state], [Work(0, plan.sampler, ((0, user, 2 * step + j),))])
                    adapted.append(outcome.adapted.parameters)
                    moments.append(outcome.adapted.second_moment)
                    if adam == "persist":
                        moment, taken = outcome.adapted.second_moment, outcome.adapted.taken
                if adam == "carry":
                    moment, taken = sum(moments) / 2, outcome.adapted.taken
                epsilon = plan.outer_learning_rate
                local = (1 - epsilon) * local + epsilon / 2 * sum(adapted)
            deltas[user] = (2 if user == 2 else 1) * (local - start)
    expected = start + 0.4 * deltas[1] + 0.6 * deltas[2]
    torch.testing.assert_close(federation.shared, expected, rtol=1e-5, atol=1e-6)
    assert (federation.round, federation.step, federation.local) == (1, 0, {})
    assert federation.decisions == [(0, 1, 0.4), (0, 2, 0.6)]


def test_a_round_goes_on_from_any_saved_meta_step(network, samplers):
    plans = {1: LocalTraining("user 1", 3, 2, 0.5), 2: LocalTraining("user 2", 2, 2, 0.3)}
    saved = []
    whole = Federation(network.initial(np.random.default_rng(1)))
    with Serial(Supervised(network, 1e-3), samplers) as engine:
        run_round(
            engine,
            whole,
            plans,
            server(None),
            "carry",
            lambda outcomes, episodes: saved.append({k: v.clone() for k, v in whole.tensors().items()}),
        )
        assert len(saved) == 3
        for state in saved:
            resumed = Federation.from_tensors(state)
            run_round(engine, resumed, plans, server(None), "carry")
            assert torch.equal(resumed.shared, whole.shared)
            assert all(torch.equal(resumed.second_moments[u], whole.second_moments[u]) for u in plans)
