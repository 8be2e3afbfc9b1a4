"""The defence against its equations written as loops."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fedmeta.defences.glorot_mix import GlorotMix
from fedmeta.defences.interface import Rates
from fedmeta.defences.matching import Matching, Options, attention, class_log_probabilities
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Serial, Start, Work, as_images
from fedmeta.learning.reptile import Learner

MIX = GlorotMix(0.3, "shared", seed=1)


def matching_of(network: Conv4, learning_rate: float = 1e-3, **options) -> Matching:
    return Matching(network, Rates(learning_rate, 0.999), MIX, Options(method="matching", **options))


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
    matching = matching_of(network, warm_up=0)
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


def test_warm_up_leaves_the_embedding_alone_and_gates_stay_in_bounds(network, samplers):
    matching = matching_of(network, 0.05, warm_up=2)
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    variables = matching.start(network.initial(np.random.default_rng(3)), (1, 1))
    moment, before, size = torch.zeros_like(variables), variables.clone(), network.parameter_count
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
    matching = matching_of(network, warm_up=2)
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    variables = matching.start(network.initial(np.random.default_rng(3)), (1, 1))
    moment, everyone = torch.zeros_like(variables), torch.arange(12)
    losses = [matching.step(variables, moment, 0, i, support, labels, everyone) for i in range(1, 31)]
    assert losses[-1] < 0.7 * losses[0]


def naive_descent(network, start, gates, scales, train, support, labels, batches, learning_rate, warm_up):
    """Return (parameters, gates, scales) after leave-one-out training as Sec. 4 has it, written as loops.

    `train`: which of the attention's two are trained; the others stay what they are given as. Adam with beta1 = 0.
    """
    tensors = {"parameters": start.clone(), "gates": gates.clone(), "scales": scales.clone()}
    moments = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()}
    steps = dict.fromkeys(tensors, 0)
    for iteration, rows in enumerate(batches, 1):
        leaves = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
        features = network.features(network.views(leaves["parameters"]), support)[0]
        loss = 0
        for row in rows:
            weights = []
            for i, feature in enumerate(features):
                cosine = F.cosine_similarity(leaves["gates"][labels[i]] * features[row], feature, 0)
                weights.append(torch.exp(cosine * leaves["scales"][labels[i]]) if i != row else torch.zeros(()))
            own = sum(weight for i, weight in enumerate(weights) if labels[i] == labels[row])
            loss = loss - torch.log(own / sum(weights)) / len(rows)
        moving = [*train, *(["parameters"] if iteration > warm_up else [])]
        gradients = torch.autograd.grad(loss, [leaves[name] for name in moving])
        tensors = {name: tensor.detach() for name, tensor in tensors.items()}
        for name, gradient in zip(moving, gradients, strict=True):
            steps[name] += 1
            moments[name] = 0.999 * moments[name] + 0.001 * gradient**2
            unbiased = moments[name] / (1 - 0.999 ** steps[name])
            tensors[name] = tensors[name] - learning_rate * gradient / (unbiased.sqrt() + 1e-8)
        tensors["gates"] = tensors["gates"].clamp(0, 1)
    return tensors


@pytest.mark.parametrize(
    ("gates", "scales", "warm_up"),
    [(True, True, 1), (False, True, 1), (True, False, 1), (False, False, 0), (True, True, 0)],
    ids=["full", "no gates", "no scales", "neither", "no warm-up"],
)
def test_what_the_ablation_leaves_out_stays_at_one(network, samplers, gates, scales, warm_up):
    """Against naive training in which gates, or scales, are a constant one."""
    scale = 10.0 if scales else 1.0
    matching = matching_of(network, warm_up=warm_up, gates=gates, scales=scales)
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    batches = [torch.tensor(rows) for rows in ([0, 4, 8, 1], [5, 2, 9, 11], [3, 6, 10, 7])]
    variables = matching.start(network.initial(np.random.default_rng(3)), (1, 1))
    moment, size = torch.zeros_like(variables), network.parameter_count
    expected = naive_descent(
        network,
        variables[:size],
        torch.ones(3, network.embedding_size),
        torch.full((3,), scale),
        ["gates"] * gates + ["scales"] * scales,
        support,
        labels,
        batches,
        1e-3,
        warm_up,
    )
    before = variables.clone()
    for iteration, rows in enumerate(batches, 1):
        matching.step(variables, moment, 0, iteration, support, labels, rows)
    parameters, own_gates, own_scales = matching.split(variables)
    torch.testing.assert_close(own_scales, expected["scales"], rtol=1e-4, atol=1e-5)
    assert (own_gates - expected["gates"]).norm() <= 1e-2 * (1 - expected["gates"]).norm()
    moved = (parameters - before[:size]).norm()
    assert moved > 0
    assert (parameters - expected["parameters"]).norm() <= 1e-2 * moved
    assert bool((own_gates == 1).all()) == (not gates)
    assert bool((own_scales == 1).all()) == (not scales)


def test_before_fine_tuning_the_attention_is_plain_cosine_attention_on_the_mix(network, samplers):
    """Iteration 0 of the defence: gates one, equal scales, so a softmax of scaled cosines of the mixed model."""
    episode, queries = samplers["user 1"].draw(0, 1, 0), samplers["user 3"].draw(0, 3, 0).support
    model = network.initial(np.random.default_rng(3))
    views = network.views(MIX.start(network, model, (1, 1)))
    references, statistics = network.features(views, as_images(episode.support))
    features = network.features(views, as_images(queries), statistics)[0]
    rest = (references.tolist(), episode.labels, np.ones((3, network.embedding_size)).tolist(), [10.0] * 3)
    expected = np.array([np.argmax(naive_probabilities(feature, *rest)) for feature in features.tolist()])
    assert len(set(expected)) > 1
    episode = replace(episode, queries=queries, expected=expected, groups={"same class": slice(None)})
    with Serial(matching_of(network, warm_up=1), {"it": SimpleNamespace(draw=lambda *_: episode)}) as engine:
        (outcome,) = engine.run([Start.fresh(model)], [Work(0, "it", ((1, 1),))], [0])
    assert outcome.scores == [{"same class": 1.0}]


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
def test_step_by_hand_written_passes_is_the_step_by_autograd(samplers, batch_norm):
    matching = matching_of(Conv4(1, 16, 3, 8, batch_norm), warm_up=1)
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
