"""Nearest class mean against loops, in every engine, and without a single step of training."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.model_files import random_model

from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.defences.glorot_mix import GlorotMix
from fedmeta.defences.interface import Rates
from fedmeta.defences.prototypes import Options, learner
from fedmeta.learning.batched import Batched
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Serial, Start, Work, Workers, as_images

RATES, SEED = Rates(1e-3, 0.999), (1, 2)


def options(**own):
    return Options(method="prototypes", **own)


def closeness(distance, feature, mean):
    """Return a number that is the larger, the nearer the two are."""
    if distance == "euclidean":
        return -math.sqrt(sum((a - b) ** 2 for a, b in zip(feature, mean, strict=True)))
    dot = sum(a * b for a, b in zip(feature, mean, strict=True))
    return dot / math.sqrt(sum(a * a for a in feature)) / math.sqrt(sum(b * b for b in mean))


def predicted_naively(network, model, episode, distance):
    """Return the label of each query, which is normalised alone by the support's statistics or the moving averages."""
    views, support = network.views(model), as_images(episode.support)
    statistics = network.test_statistics(views, support)
    references = network.features(views, support, statistics)[0].tolist()
    means = []
    for label in range(network.ways):
        own = [reference for reference, each in zip(references, episode.labels, strict=True) if each == label]
        means.append([sum(column) / len(own) for column in zip(*own, strict=True)])
    labels = []
    for query in as_images(episode.queries):
        (feature,) = network.features(views, query[None], statistics)[0].tolist()
        nearness = [closeness(distance, feature, mean) for mean in means]
        labels.append(nearness.index(max(nearness)))
    return labels


@pytest.fixture
def untrained(bank, pool):
    """A sampler of episodes without inner steps, with noisy queries of the support's classes."""
    sampler = BenignEpisodes(bank, pool, EpisodeShape(3, 4, 0, 5), 7, "test")

    def draw(*names):
        episode = sampler.draw(*names)
        assert episode.batches.shape == (0, 5)
        support = np.asarray(episode.support)
        noise = np.random.default_rng(names).integers(0, 200, support.shape, np.uint8)
        return replace(episode, queries=support // 4 + noise)

    return SimpleNamespace(draw=draw, shape=sampler.shape)


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("delta", [None, 0.3, [1, 1, 0, 0]])
def test_the_label_is_that_of_the_nearest_class_mean(untrained, batch_norm, distance, delta):
    network, seen = Conv4(1, 16, 3, 8, batch_norm), []
    model = random_model(network, 3)
    prototypes = learner(network, options(distance=distance, delta=delta), RATES, SEED)
    for name in range(3):
        episode = untrained.draw(1, name)
        mix = None if delta is None else GlorotMix(tuple(delta) if isinstance(delta, list) else delta, "shared", SEED)
        start = model if mix is None else mix.start(network, model, (1, name))
        expected = np.array(predicted_naively(network, start, episode, distance))
        seen += expected.tolist()
        answer = replace(episode, expected=expected, groups={"same": slice(None)})
        fixed = SimpleNamespace(draw=lambda *_, answer=answer: answer, shape=untrained.shape)
        with Serial(prototypes, {"it": fixed}) as engine:
            (outcome,) = engine.run([Start.fresh(model)], [Work(0, "it", ((1, name),))], [0])
        assert outcome.scores == [{"same": 1.0}] and outcome.loss == 0
    assert len(set(seen)) > 1


def test_the_two_distances_differ(untrained):
    network = Conv4(1, 16, 3, 8)
    model, labels = random_model(network, 3), {}
    for distance in ("cosine", "euclidean"):
        labels[distance] = [predicted_naively(network, model, untrained.draw(1, k), distance) for k in range(3)]
    assert labels["cosine"] != labels["euclidean"]


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
@pytest.mark.parametrize("kind", ["workers", "batched"])
def test_engines_agree_without_a_step(bank, pool, batch_norm, kind):
    network = Conv4(1, 16, 3, 8, batch_norm)
    prototypes, start = learner(network, options(delta=0.5), RATES, SEED), Start.fresh(random_model(network, 3))
    sampler = BenignEpisodes(bank, pool, EpisodeShape(3, 4, 0, 5), 7, "test")
    own = SimpleNamespace(shape=sampler.shape, draw=Scored(sampler).draw)
    works = [Work(0, "it", ((1, k),)) for k in range(4)]
    scores = []
    for engine in (
        Serial(prototypes, {"it": own}),
        Workers(prototypes, {"it": own}, 2, 1, 4) if kind == "workers" else Batched(prototypes, {"it": own}, "cpu"),
    ):
        with engine:
            scores.append([outcome.scores for outcome in engine.run([start], works, [0])])
    assert scores[0] == scores[1]
    assert all(len(each) == 1 for each in scores[0])


class Scored:
    """Episodes whose queries are their noisy support."""

    def __init__(self, sampler):
        self.sampler = sampler

    def draw(self, *names):
        episode = self.sampler.draw(*names)
        support = np.asarray(episode.support)
        noise = np.random.default_rng(names).integers(0, 200, support.shape, np.uint8)
        queries = support // 4 + noise
        return replace(episode, queries=queries, expected=episode.labels, groups={"all": slice(None)})


@pytest.mark.parametrize(("iterations", "wrong"), [([0], False), ([0, 5], True), ([5], True)])
def test_iterations_of_training_are_a_problem(iterations, wrong):
    assert [option for option, _ in options(iterations=iterations).problems(None)] == ["iterations"] * wrong


def test_other_queries_change_no_label(untrained):
    network = Conv4(1, 16, 3, 8)
    prototypes, episode = learner(network, options(), RATES, SEED), untrained.draw(1, 0)
    support, labels, queries = as_images(episode.support), torch.from_numpy(episode.labels), as_images(episode.queries)
    model = random_model(network, 3)
    together = prototypes.predict(model, support, labels, queries)
    alone = [prototypes.predict(model, support, labels, query[None]).item() for query in queries]
    assert together.tolist() == alone
