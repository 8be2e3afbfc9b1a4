"""Learners of their own for some samplers, and one whose loss depends on the round's shared model, in every engine."""

import numpy as np
import pytest
import torch

from fedmeta.learning.batched import Batched
from fedmeta.learning.choice import choose_engine
from fedmeta.learning.engine import Serial, Start, Work, Workers
from fedmeta.learning.reptile import Supervised

WORKS = [Work(0, f"user {user}", ((0, user, episode),)) for user in (1, 2, 3) for episode in range(2)]
STRENGTH = 30.0


class Near(Supervised):
    """Cross entropy, and a term that grows with the distance to the shared model."""

    def loss(self, variables, support, labels, rows):
        loss, statistics = super().loss(variables, support, labels, rows)
        return loss + STRENGTH * (variables - self.shared).square().sum(), statistics


@pytest.fixture
def start(network):
    return Start.fresh(network.initial(np.random.default_rng(0)))


def engine_of(kind, learners, samplers):
    if kind == "serial":
        return Serial(learners, samplers)
    return Workers(learners, samplers, 2, 1, 6) if kind == "workers" else Batched(learners, samplers, "cpu", width=4)


def models_of(kind, learners, samplers, start, shared):
    """Return what becomes of the start in each work, once the engine has been told two shared models."""
    with engine_of(kind, learners, samplers) as engine:
        models = []
        for each in shared:
            engine.share(each)
            models.append([outcome.adapted.parameters for outcome in engine.run([start], WORKS)])
    return models


@pytest.mark.parametrize("kind", ["serial", "workers", "batched"])
def test_one_user_learns_otherwise_and_the_others_the_same_bytes(network, samplers, start, kind):
    plain, near = Supervised(network, 1e-3), Near(network, 1e-3)
    shared = [torch.zeros_like(start.parameters), torch.ones_like(start.parameters)]
    learners = {"user 1": plain, "user 2": near, "user 3": plain}
    alone = models_of(kind, plain, samplers, start, shared[:1])[0]
    mixed = models_of(kind, learners, samplers, start, shared)
    for models, towards in zip(mixed, shared, strict=True):
        for work, model, reference in zip(WORKS, models, alone, strict=True):
            if work.sampler == "user 2":
                assert (model - towards).norm() < (reference - towards).norm() - 1e-3
            elif kind == "batched":  # other works beside it: the same but for rounding
                torch.testing.assert_close(model, reference, rtol=0, atol=1e-4)
            else:
                assert torch.equal(model, reference)


@pytest.mark.parametrize("kind", ["workers", "batched"])
def test_engines_agree_on_a_loss_that_depends_on_the_shared_model(network, samplers, start, kind):
    learners = {"user 1": Supervised(network, 1e-3), "user 2": Near(network, 1e-3), "user 3": Near(network, 1e-2)}
    shared = [torch.rand_like(start.parameters), torch.rand_like(start.parameters)]
    expected = models_of("serial", learners, samplers, start, shared)
    for models, references in zip(models_of(kind, learners, samplers, start, shared), expected, strict=True):
        for model, reference in zip(models, references, strict=True):
            if kind == "workers":
                assert torch.equal(model, reference)
            torch.testing.assert_close(model, reference, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["loss", "segments", "project"])
def test_the_hand_written_step_gives_way_to_what_a_learner_overrides(network, samplers, start, name):
    """What is overridden is called; the general step is the hand-written one but for rounding."""
    called = []

    def overridden(self, *given):
        called.append(name)
        return getattr(Supervised, name)(self, *given)

    own = type("Own", (Supervised,), {name: overridden})(network, 1e-3)
    (written_out,), (general,) = (
        models_of("serial", learner, samplers, start, [start.parameters])
        for learner in (Supervised(network, 1e-3), own)
    )
    assert called
    for model, reference in zip(general, written_out, strict=True):
        torch.testing.assert_close(model, reference, rtol=0, atol=1e-4)


def test_the_engine_is_the_one_that_is_named(network, samplers):
    learner = Supervised(network, 1e-3)
    for kind, threads, expected in (
        ("serial", 2, Serial),
        ("workers", 2, Workers),
        ("workers", 1, Serial),
        ("batched", 2, Batched),
    ):
        assert type(choose_engine(kind, learner, samplers, threads, 1, 1)) is expected


def test_products_are_rounded_to_tensorfloat_only_where_the_config_says_so(network, samplers):
    for kind, rounded in (("batched-tf32", True), ("batched", False)):
        choose_engine(kind, Supervised(network, 1e-3), samplers, 1, 1, 1)
        assert (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32) == (rounded, rounded)
