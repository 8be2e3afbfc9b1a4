"""Simple-Tuning, sharpness-aware fine-tuning and attention distillation: against naive descent, and in every engine."""

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers.model_files import random_model

from fedmeta.defences import neural_attention_distillation, sharpness_aware, simple_tuning
from fedmeta.defences.glorot_mix import glorot_mix
from fedmeta.defences.interface import Rates
from fedmeta.draws import generator
from fedmeta.learning.batched import Batched
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Serial, Start, Work, Workers, as_images
from fedmeta.learning.reptile import Learner, Supervised

RATES, SEED = Rates(1e-2, 0.999), (1, 2)
BATCHES = [torch.tensor(rows) for rows in ([0, 4, 8, 1], [5, 2, 9, 11], [3, 6, 10, 7], [1, 5, 9, 2])]
METHODS = {
    "simple_tuning": simple_tuning,
    "sharpness_aware": sharpness_aware,
    "neural_attention_distillation": neural_attention_distillation,
}
OPTIONS = {"neural_attention_distillation": {"teacher": 2, "iterations": [0, 4]}}
MODES = pytest.mark.parametrize("batch_norm", ["batch", "running"])


def learner_of(name, network, **options):
    own = METHODS[name].Options(method=name, **{**OPTIONS.get(name, {}), **options})
    return METHODS[name].learner(network, own, RATES, SEED)


@pytest.fixture
def task(samplers):
    episode = samplers["user 1"].draw(0, 1, 0)
    return as_images(episode.support), torch.from_numpy(episode.labels)


def taken_steps(learner, model, task, count=4):
    """Return the variables after each of these inner steps, the start first."""
    variables = learner.start(model, (1, 1))
    moment, seen = torch.zeros_like(variables), [variables.clone()]
    for iteration, rows in enumerate(BATCHES[:count], 1):
        learner.step(variables, moment, 0, iteration, *task, rows)
        seen.append(variables.clone())
    return seen


def adam_of(parameters):
    return torch.optim.Adam(parameters, RATES.learning_rate, betas=(0.0, RATES.beta2))


def assert_near(ours, expected, start, share=1e-2):
    """The two ends of a path are near, by the length of the path."""
    assert (expected - start).norm() > 0
    assert (ours - expected).norm() <= share * (expected - start).norm()


@MODES
def test_simple_tuning_trains_a_fresh_decision_layer_alone(batch_norm, task):
    """Multinomial regression on fixed embeddings, normalised as those of queries are."""
    network = Conv4(1, 16, 3, 8, batch_norm)
    model, (support, labels) = random_model(network, 3), task
    start, *_, end = taken_steps(learner_of("simple_tuning", network), model, task)
    fresh = network.views(network.initial(generator(SEED, "glorot mix", 1, 1)))
    before, own = network.views(model), network.views(end)
    for name, tensor in network.views(start).items():
        head = name.startswith("classifier")
        assert torch.equal(tensor, fresh[name] if head else before[name])
        assert torch.equal(own[name], tensor) != head, name
    features = network.features(before, support, network.test_statistics(before, support))[0]
    head = torch.nn.Linear(network.embedding_size, 3)
    with torch.no_grad():
        head.weight.copy_(fresh["classifier.kernel"])
        head.bias.copy_(fresh["classifier.bias"])
    optimizer = adam_of(head.parameters())
    for rows in BATCHES:
        optimizer.zero_grad()
        F.cross_entropy(head(features[rows]), labels[rows]).backward()
        optimizer.step()
    torch.testing.assert_close(own["classifier.kernel"], head.weight.detach(), rtol=0, atol=1e-4)
    torch.testing.assert_close(own["classifier.bias"], head.bias.detach(), rtol=0, atol=1e-4)


def loss_of(network, flat, task, rows):
    support, labels = task
    logits, statistics = network.logits(network.views(flat), support[rows])
    return F.cross_entropy(logits, labels[rows]), statistics


@MODES
@pytest.mark.parametrize("rho", [0.5, 5.0])
def test_sharpness_aware_steps_follow_the_gradient_at_the_perturbed_weights(batch_norm, task, rho):
    network = Conv4(1, 16, 3, 8, batch_norm)
    model = random_model(network, 3)
    end = taken_steps(learner_of("sharpness_aware", network, rho=rho), model, task, 3)[-1]
    expected = model.clone().requires_grad_()
    optimizer = adam_of([expected])
    for rows in BATCHES[:3]:
        loss, statistics = loss_of(network, expected, task, rows)
        (gradient,) = torch.autograd.grad(loss, expected)
        with torch.no_grad():
            size = sum((w * g) ** 2 for w, g in zip(expected.tolist(), gradient.tolist(), strict=True)) ** 0.5
            moved = expected + rho * expected**2 * gradient / size
        moved.requires_grad_()
        risen = loss_of(network, moved, task, rows)[0]
        assert risen > loss
        optimizer.zero_grad()
        (expected.grad,) = torch.autograd.grad(risen, moved)
        optimizer.step()
        with torch.no_grad():
            network.update_moving_averages(network.views(expected), statistics, task[0][rows])
    assert_near(end, expected.detach(), model)
    plain = taken_steps(Supervised(network, *RATES), model, task, 3)[-1]
    assert (plain - end).norm() > 0.1 * (plain - model).norm()


def test_sharpness_aware_fine_tuning_can_start_from_a_mix_and_else_keeps_adam(network):
    model = random_model(network, 3)
    assert learner_of("sharpness_aware", network).keeps_adam
    mixed = learner_of("sharpness_aware", network, delta=0.3)
    assert not mixed.keeps_adam
    fresh = network.initial(generator(SEED, "glorot mix", 1, 1))
    assert torch.equal(mixed.start(model, (1, 1)), glorot_mix(model, fresh, 0.3))


def attention_naively(network, flat, images):
    """Return each module's attention maps, (n, places), normalised; images by their own statistics."""
    views, x, maps = network.views(flat), images, []
    for i in range(1, 5):
        x = F.conv2d(x, views[f"conv{i}.kernel"], padding=1)
        x = F.batch_norm(x, None, None, views[f"norm{i}.gamma"], views[f"norm{i}.beta"], True, 0, 1e-5)
        x = F.max_pool2d(x.relu(), 2)
        squares = sum(x[:, k] ** 2 for k in range(x.shape[1])).flatten(1)
        maps.append(squares / squares.norm(dim=1, keepdim=True))
    return maps


@MODES
def test_the_student_learns_labels_and_the_teachers_attention(batch_norm, task):
    network, beta = Conv4(1, 16, 3, 8, batch_norm), 30.0
    model, size = random_model(network, 3), network.parameter_count
    seen = taken_steps(learner_of("neural_attention_distillation", network, beta=beta), model, task)
    assert torch.equal(seen[0], torch.cat([model, model]))
    teacher = taken_steps(Supervised(network, *RATES), model, task, 2)[-1]
    assert_near(seen[2][size:], teacher, model)
    assert torch.equal(seen[2][:size], model), "the student waits for its teacher"
    assert torch.equal(seen[4][size:], seen[2][size:]), "the teacher is done"
    expected, teacher = model.clone().requires_grad_(), seen[2][size:]
    optimizer = adam_of([expected])
    for rows in BATCHES[2:]:
        optimizer.zero_grad()
        loss, statistics = loss_of(network, expected, task, rows)
        pairs = zip(*(attention_naively(network, flat, task[0][rows]) for flat in (expected, teacher)), strict=True)
        for own, wanted in pairs:
            loss = loss + beta * sum(((a - b) ** 2).sum() for a, b in zip(own, wanted, strict=True)) / len(rows)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            network.update_moving_averages(network.views(expected), statistics, task[0][rows])
    assert_near(seen[4][:size], expected.detach(), model)


def test_the_teachers_steps_by_hand_written_passes_are_those_by_autograd(network, task):
    learner = learner_of("neural_attention_distillation", network)
    general = copy.copy(learner)
    general.step = lambda *given: Learner.step(general, *given)
    paths = [taken_steps(each, random_model(network, 3), task) for each in (learner, general)]
    assert_near(paths[0][2], paths[1][2], paths[1][0])


@pytest.mark.parametrize(("teacher", "last", "wrong"), [(3, 4, False), (4, 4, True), (9, 4, True)])
def test_a_teacher_that_leaves_no_iteration_is_a_problem(teacher, last, wrong):
    options = neural_attention_distillation.Options(method="x", teacher=teacher, iterations=[0, last])
    assert [option for option, _ in options.problems(None)] == ["iterations"] * wrong


@MODES
@pytest.mark.parametrize("name", METHODS)
def test_engines_agree(samplers, batch_norm, name):
    network = Conv4(1, 16, 3, 8, batch_norm)
    learner, works = learner_of(name, network), [Work(0, "user 1", ((0, 1, k),)) for k in range(3)]
    if name == "neural_attention_distillation":
        learner.teacher = 1
    model = random_model(network, 3)
    ends = {}
    for kind, engine in {
        "serial": Serial(learner, samplers),
        "workers": Workers(learner, samplers, 2, 1, 3),
        "batched": Batched(learner, samplers, "cpu"),
    }.items():
        if kind == "workers" and name == "neural_attention_distillation":
            continue  # for adaptation alone: as in matching, there are more variables than parameters
        with engine:
            outcomes = engine.run([Start.fresh(model)], works)
            ends[kind] = torch.stack([outcome.adapted.parameters for outcome in outcomes])
    assert torch.equal(ends.get("workers", ends["serial"]), ends["serial"])
    start = torch.cat([model, model]) if name == "neural_attention_distillation" else model
    for batched, serial in zip(ends["batched"], ends["serial"], strict=True):
        assert_near(batched, serial, start, 0.05)
