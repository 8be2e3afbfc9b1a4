"""The defence against its equations written as loops."""

import math

import numpy as np
import pytest
import torch

from fedmeta.defences.fine_tuning import FineTuning, glorot_mix
from fedmeta.defences.matching import Matching, attention, class_log_probabilities, require_shot
from fedmeta.errors import FedmetaError
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import as_images
from fedmeta.learning.reptile import Learner


def naive_probabilities(query, support, labels, gates, scales, excluded=None):
    """Return P(class | query) as the paper has it: a softmax of c(alpha_l * f(x), f(x_i)) beta_l over the support."""
    weights = {}
    for i, reference in enumerate(support):
        if i == excluded:
            continue
        gated = [a * f for a, f in zip(gates[labels[i]], query, strict=True)]
        dot = sum(a * b for a, b in zip(gated, reference, strict=True))
        cosine = dot / math.sqrt(sum(a * a for a in gated)) / math.sqrt(sum(b * b for b in reference))
        weights[i] = math.exp(cosine * scales[labels[i]])
    total = sum(weights.values())
    return [sum(w for i, w in weights.items() if labels[i] == k) / total for k in range(len(scales))]


@pytest.fixture
def drawn():
    random = np.random.default_rng(0)
    return {
        "queries": random.uniform(0.1, 1, (4, 6)),
        "support": random.uniform(0.1, 1, (9, 6)),
        "labels": np.repeat([2, 0, 1], 3),
        "gates": random.uniform(0, 1, (3, 6)),
        "scales": np.array([5.0, 10.0, 20.0]),
    }


def test_attention_is_a_softmax_of_gated_scaled_cosines(drawn):
    queries, support, gates, scales = (torch.from_numpy(drawn[k]) for k in ("queries", "support", "gates", "scales"))
    member = torch.from_numpy((drawn["labels"] == np.arange(3)[:, None]).astype(float))
    result = class_log_probabilities(attention(queries, support, member, gates, scales), member).exp()
    rest = [drawn[k] for k in ("support", "labels", "gates", "scales")]
    expected = [naive_probabilities(query, *rest) for query in drawn["queries"]]
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-9)


def test_leave_one_out_never_attends_to_the_image_itself(network, drawn):
    matching = Matching(network, 1e-3, 0.999, 0.3, 1, 0, 10.0)
    features, labels, rows = (
        torch.from_numpy(drawn["support"]),
        torch.from_numpy(drawn["labels"]),
        torch.tensor([0, 4, 8]),
    )
    gates, scales = torch.from_numpy(drawn["gates"]), torch.from_numpy(drawn["scales"])
    result = matching.leave_one_out(features, gates, scales, labels, rows)
    rest = (drawn["support"], drawn["labels"], drawn["gates"], drawn["scales"])
    likelihoods = [naive_probabilities(drawn["support"][i], *rest, excluded=i)[drawn["labels"][i]] for i in (0, 4, 8)]
    assert result.item() == pytest.approx(-np.mean(np.log(likelihoods)), rel=1e-9)


def test_glorot_mix_is_delta_of_the_model_and_the_rest_fresh(network):
    theta, fresh = torch.randn(network.parameters), network.initial(np.random.default_rng(0))
    expected = [0.3 * t + 0.7 * g for t, g in zip(theta.tolist(), fresh.tolist(), strict=True)]
    np.testing.assert_allclose(glorot_mix(theta, fresh, 0.3).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(glorot_mix(theta, fresh, 1.0), theta)


def test_attacked_and_clean_models_get_the_same_fresh_draw(network):
    learner = FineTuning(network, 1e-3, 0.999, delta=0.3, seed=5)
    first, second = torch.randn(network.parameters), torch.randn(network.parameters)
    difference = learner.start(first, (2, 7)) - learner.start(second, (2, 7))
    torch.testing.assert_close(difference, 0.3 * (first - second), rtol=1e-4, atol=1e-5)
    assert not torch.equal(learner.start(first, (2, 7)), learner.start(first, (2, 8)))


def test_warm_up_leaves_the_embedding_alone_and_gates_stay_in_bounds(network, samplers):
    matching = Matching(network, 0.05, 0.999, 0.5, 1, warm_up=2, scale=10.0)
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    variables = matching.start(network.initial(np.random.default_rng(3)), (1, 1))
    moment, before, size = torch.zeros_like(variables), variables.clone(), network.parameters
    for iteration in (1, 2, 3):
        matching.step(variables, moment, 0, iteration, support, labels, torch.tensor([0, 4, 8, 1]))
        moved = variables[:size] - before[:size]
        assert bool(moved.abs().max() > 0) == (iteration == 3)
        assert not torch.equal(variables[size:], before[size:])
    _, gates, _ = matching.split(variables)
    assert 0 <= gates.min() < gates.max() <= 1
    first_step = moved[moved != 0].abs()
    assert first_step.max().item() == pytest.approx(0.05, rel=1e-3)  # Adam's first step, though iteration is 3


def test_training_lowers_the_leave_one_out_loss(network, samplers):
    matching = Matching(network, 1e-3, 0.999, 0.3, 1, warm_up=2, scale=10.0)
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    variables = matching.start(network.initial(np.random.default_rng(3)), (1, 1))
    moment, everyone = torch.zeros_like(variables), torch.arange(12)
    losses = [matching.step(variables, moment, 0, i, support, labels, everyone) for i in range(1, 31)]
    assert losses[-1] < 0.7 * losses[0]


def test_one_example_a_class_is_refused():
    with pytest.raises(FedmetaError, match="at least 2 examples"):
        require_shot(1)


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
def test_step_by_hand_written_passes_is_the_step_by_autograd(samplers, batch_norm):
    matching = Matching(Conv4(1, 16, 3, 8, batch_norm), 1e-3, 0.999, 0.5, 1, warm_up=1, scale=10.0)
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    start = matching.start(matching.network.initial(np.random.default_rng(3)), (1, 1))
    by_hand, by_autograd = start.clone(), start.clone()
    moments = torch.zeros_like(start), torch.zeros_like(start)
    for iteration in (1, 2, 3):
        arguments = (0, iteration, support, labels, torch.tensor([0, 4, 8, 1]))
        first = matching.step(by_hand, moments[0], *arguments)
        second = Learner.step(matching, by_autograd, moments[1], *arguments)
        assert first == pytest.approx(second, rel=1e-4)
    assert (by_hand - by_autograd).norm() <= 1e-3 * (by_hand - start).norm()
