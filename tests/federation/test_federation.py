"""Rounds against the paper's formulas written as loops, and going on from a saved state."""

import numpy as np
import pytest
import torch

from fedmeta.federation.aggregation.weighted_sum import aggregate
from fedmeta.federation.rounds import Federation, LocalTraining, run_round, select
from fedmeta.learning.engine import Serial, Start, Work
from fedmeta.learning.reptile import Supervised


def test_aggregation_is_the_weighted_sum_of_updates():
    random = np.random.default_rng(0)
    shared, updates, weights = random.normal(size=5), random.normal(size=(3, 5)), [0.5, 0.25, 0.1]
    expected = [shared[k] + sum(weights[i] * updates[i][k] for i in range(3)) for k in range(5)]
    result = aggregate(torch.from_numpy(shared), [torch.from_numpy(u) for u in updates], weights)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)


def test_boost_by_the_inverse_weight_replaces_the_model():
    shared, attacker = torch.randn(7, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    idle = torch.zeros(7, dtype=torch.float64)
    result = aggregate(shared, [3 * (attacker - shared), idle, idle], [1 / 3] * 3)
    torch.testing.assert_close(result, attacker)


def test_selection_is_seeded_sorted_and_varies():
    draws = [tuple(select(1, "stage", number, [2, 3, 4, 5], 3)) for number in range(30)]
    assert draws == [tuple(select(1, "stage", number, [2, 3, 4, 5], 3)) for number in range(30)]
    assert all(list(draw) == sorted(set(draw)) for draw in draws)
    assert len(set(draws)) == 4


@pytest.mark.parametrize("adam", ["reset", "carry", "persist"])
def test_a_round_is_local_reptile_then_aggregation(network, samplers, adam):
    """One user with two meta-steps and one boosted with one, by hand with `Serial` alone."""
    plans = {1: LocalTraining("user 1", 2, 2, 0.5), 2: LocalTraining("user 2", 1, 2, 0.3, boost=2.0)}
    federation = Federation(network.initial(np.random.default_rng(1)))
    start = federation.shared.clone()
    with Serial(Supervised(network, 1e-3), samplers) as engine:
        run_round(engine, federation, plans, {1: 0.4, 2: 0.6}, adam)

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
            deltas[user] = plan.boost * (local - start)
    expected = start + 0.4 * deltas[1] + 0.6 * deltas[2]
    torch.testing.assert_close(federation.shared, expected, rtol=1e-5, atol=1e-6)
    assert (federation.round, federation.step, federation.local) == (1, 0, {})


def test_a_round_goes_on_from_any_saved_meta_step(network, samplers):
    plans = {1: LocalTraining("user 1", 3, 2, 0.5), 2: LocalTraining("user 2", 2, 2, 0.3)}
    weights = {1: 0.5, 2: 0.5}
    saved = []
    whole = Federation(network.initial(np.random.default_rng(1)))
    with Serial(Supervised(network, 1e-3), samplers) as engine:
        run_round(
            engine,
            whole,
            plans,
            weights,
            "carry",
            lambda outcomes, episodes: saved.append({k: v.clone() for k, v in whole.tensors().items()}),
        )
        assert len(saved) == 3
        for state in saved:
            resumed = Federation.from_tensors(state)
            run_round(engine, resumed, plans, weights, "carry")
            assert torch.equal(resumed.shared, whole.shared)
            assert all(torch.equal(resumed.second_moments[u], whole.second_moments[u]) for u in plans)
