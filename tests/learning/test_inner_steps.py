"""Inner steps of many episodes at once: ways to convolve, steps that are recorded, episodes that are drawn ahead."""

import contextlib
import logging
import threading
from functools import partial

import numpy as np
import pytest
import torch
from torch.func import grad, vmap

from fedmeta import plugins
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.defences.interface import Rates, load_method
from fedmeta.errors import FedmetaError
from fedmeta.federation.rounds import Federation, LocalTraining, works_of
from fedmeta.learning import batched
from fedmeta.learning.batched import Batched, bytes_of, width_for
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.convolution import WAYS, convolve, convolved_by
from fedmeta.learning.engine import Serial, Start, Work
from fedmeta.learning.reptile import Supervised

UNTRAINED = "prototypes"
ADAPTING = (
    each for each in plugins.names("defence") if "learner" in plugins.declared(plugins.source_of("defence", each))
)
DEFENCES = [name for name in ADAPTING if name != UNTRAINED]
SHORT = {
    "matching": {"warm_up": 2, "iterations": [6]},
    "neural_attention_distillation": {"teacher": 2, "iterations": [6]},
}
WORKS = [Work(user - 1, "long", ((0, user, episode),)) for user in (1, 2, 3) for episode in range(2)]


def convolved_naively(images, kernel):
    height, width = images.shape[-2:]
    padded = torch.nn.functional.pad(images, (1, 1, 1, 1))
    rows = [
        [torch.einsum("ncij,ocij->no", padded[:, :, i : i + 3, j : j + 3], kernel) for j in range(width)]
        for i in range(height)
    ]
    return torch.stack([torch.stack(row, -1) for row in rows], -2)


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_convolve_many_episodes_is_a_naive_loop(way):
    images, kernels = torch.rand(3, 2, 4, 7, 6), torch.randn(3, 5, 3, 3, 4).movedim(-1, -3)
    with convolved_by(WAYS[way]):
        together = vmap(convolve)(images, kernels)
        slope = vmap(grad(lambda kernel, images: convolve(images, kernel).square().sum()))(kernels, images)
    for k in range(3):
        torch.testing.assert_close(together[k], convolved_naively(images[k], kernels[k]))
        leaf = kernels[k].clone().requires_grad_()
        convolved_naively(images[k], leaf).square().sum().backward()
        torch.testing.assert_close(slope[k], leaf.grad, rtol=1e-4, atol=1e-3)


def test_the_way_to_convolve_is_chosen_for_a_while():
    images, kernel = torch.rand(1, 2, 4, 4), torch.rand(3, 2, 3, 3)
    with pytest.raises(ZeroDivisionError), convolved_by(lambda images, kernel: 1 / 0):
        convolve(images, kernel)
    torch.testing.assert_close(convolve(images, kernel), convolved_naively(images, kernel))


@pytest.fixture
def long(bank, pool):
    return {"long": BenignEpisodes(bank, pool, EpisodeShape(3, 4, 6, 5), 7, "test")}


@pytest.fixture
def starts(network):
    return [Start(network.initial(np.random.default_rng(k)), torch.rand(network.parameter_count), 5) for k in range(3)]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", DEFENCES)
def test_every_defence_adapts_as_the_serial_engine_does(network, long, starts, name, way):
    """A step is recorded at the first iteration of its kind, and taken for the others."""
    make, options = load_method({"method": name, **SHORT.get(name, {"iterations": [6]})}, "learner")
    learner = make(network, options, Rates(1e-3, 0.999), (1, 1))
    with Serial(learner, long) as engine:
        expected = list(engine.run(starts, WORKS))
    with Batched(learner, long, "cpu", width=4) as engine:
        engine.way = way
        outcomes = list(engine.run(starts, WORKS))
    for outcome, reference in zip(outcomes, expected, strict=True):
        moved, wanted = (each.adapted.parameters for each in (outcome, reference))
        assert (moved - wanted).norm() <= 1e-4 * wanted.norm()
        assert outcome.loss == pytest.approx(reference.loss, rel=1e-3)
        assert outcome.adapted.taken == reference.adapted.taken


def test_steps_are_recorded_once_for_all_works_of_a_shape(network, long, starts):
    make, options = load_method({"method": "matching", **SHORT["matching"]}, "learner")
    learner = make(network, options, Rates(1e-3, 0.999), (1, 1))
    with Batched(learner, long, "cpu", width=2) as engine:
        for _ in range(2):
            list(engine.run(starts, WORKS))
    (steps,) = engine.steps.values()
    assert len(steps.recorded) == 2, "the warm-up and what comes after it"


def test_a_step_that_cannot_be_captured_is_launched_piece_by_piece(network, long, starts, monkeypatch, caplog):
    def no_stream(*_):
        raise RuntimeError("operation not permitted when stream is capturing")

    with Batched(Supervised(network, 1e-3), long, "cpu", width=6) as engine:
        expected = list(engine.run(starts, WORKS))
        (steps,) = engine.steps.values()
        monkeypatch.setattr(torch.cuda, "Stream", no_stream)
        steps.device, moved = "cuda", steps.variables.clone()
        whole = ((None, None, 0),)
        with caplog.at_level(logging.WARNING):
            steps.recorded = {whole: steps.record(partial(steps.step, whole, 1))}
        assert "one by one: operation not permitted" in caplog.text
        assert torch.equal(steps.variables, moved), "to record changes nothing"
        steps.device = "cpu"
        again = list(engine.run(starts, WORKS))
    for one, other in zip(again, expected, strict=True):
        assert torch.equal(one.adapted.parameters, other.adapted.parameters)


class Noted:
    """A sampler that notes what it draws, and whether in the main thread."""

    def __init__(self, sampler):
        self.sampler, self.shape, self.drawn = sampler, sampler.shape, []

    def draw(self, *names):
        self.drawn.append((names, threading.current_thread() is threading.main_thread()))
        return self.sampler.draw(*names)


def test_episodes_that_are_foreseen_are_drawn_once_and_beside_the_main_thread(network, long, starts):
    noted = Noted(long["long"])
    with Batched(Supervised(network, 1e-3), {"long": noted}, "cpu", width=2) as engine:
        outcomes = list(engine.run(starts, WORKS))
        engine.foresee(WORKS[:2])
        again = list(engine.run(starts, WORKS[:2]))
        assert not engine.drawn
    names = [work.episodes[0] for work in WORKS]
    assert sorted(drawn for drawn, _ in noted.drawn) == sorted([*names, *names[:2]])
    assert sum(in_main for _, in_main in noted.drawn) == 2, "the first two, which nobody foresaw"
    for one, other in zip(again, outcomes[:2], strict=True):
        assert torch.equal(one.adapted.parameters, other.adapted.parameters)


def test_the_works_of_any_meta_step_can_be_told_before_it():
    plan, federation = LocalTraining("user 2", 3, 4, 0.1), Federation(torch.zeros(1), round=5, step=1)
    names = [(5, 2, k) for k in range(8, 12)]
    assert works_of(federation, {2: plan}, 2, "carry") == [Work(0, "user 2", (name,)) for name in names]
    assert works_of(federation, {2: plan}, 2, "persist") == [Work(0, "user 2", tuple(names))]


def test_as_many_episodes_run_side_by_side_as_the_gpu_has_memory_for(network, long, monkeypatch):
    learners, free = {"long": Supervised(network, 1e-3)}, [0.0]
    one = bytes_of(learners["long"], long["long"].shape)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free[0], 2**40))
    for free[0], width in ((20 * one, 10), (1.2 * one, 1), (1e6 * one, batched.MOST)):
        assert width_for(learners, long, "cuda") == width
    free[0] = 0.5 * one
    with pytest.raises(FedmetaError, match="MiB free: free some, or set engine: workers"):
        width_for(learners, long, "cuda")
    assert width_for(learners, long, "cpu") == batched.WIDTH_OF_CPU


def test_the_memory_of_an_episode_is_about_what_a_step_takes():
    """Against what PyTorch keeps for the backward pass, patches and all, of a support of 50 images."""
    network, kept = Conv4(1, 28, 5, filters=32), {}
    parameters = network.initial(np.random.default_rng(0)).requires_grad_()

    def note(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), convolved_by(WAYS["products"]):
        logits, _ = network.logits(network.views(parameters), torch.rand(50, 1, 28, 28))
    assert logits.requires_grad
    taken = sum(kept.values())
    assert taken < bytes_of(Supervised(network, 1e-3), EpisodeShape(5, 10, 10, 10)) < 6 * taken


def test_the_thread_ends_with_the_engine(network, long):
    before = threading.active_count()
    with contextlib.suppress(KeyError), Batched(Supervised(network, 1e-3), long, "cpu") as engine:
        engine.foresee(WORKS)
        raise KeyError
    assert threading.active_count() == before
