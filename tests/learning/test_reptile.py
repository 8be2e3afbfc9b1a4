"""Reptile's inner loop and outer step against a plain PyTorch module and a naive loop."""

import numpy as np
import torch

from fedmeta.learning.engine import Serial, Start, Work, as_images
from fedmeta.learning.reptile import Supervised, meta_step


def plain_module(network, flat):
    """Return the same network as torch.nn modules, independently put together."""
    layers, channels = [], network.channels
    for _ in range(4):
        layers += [torch.nn.Conv2d(channels, network.filters, 3, padding=1, bias=False)]
        layers += [torch.nn.BatchNorm2d(network.filters, track_running_stats=False), torch.nn.ReLU()]
        layers += [torch.nn.MaxPool2d(2)]
        channels = network.filters
    module = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(network.embedding_size, network.ways))
    with torch.no_grad():
        for own, view in zip(module.parameters(), network.views(flat).values(), strict=True):
            own.copy_(view)
    return module


def adapt_naively(network, flat, episode):
    """Adapt as a textbook would: a module, torch.optim.Adam with beta1 = 0, a loop over the batches."""
    module = plain_module(network, flat)
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3, betas=(0.0, 0.999))
    images, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    for rows in torch.from_numpy(episode.batches):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(images[rows]), labels[rows]).backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in module.parameters()])


def flatten(network, flat):
    return torch.cat([view.flatten() for view in network.views(flat).values()])


def test_meta_step_is_the_papers_convex_combination():
    random = np.random.default_rng(0)
    theta, adapted = random.normal(size=6), random.normal(size=(5, 6))
    expected = [(1 - 0.3) * theta[k] + 0.3 / 5 * sum(adapted[j][k] for j in range(5)) for k in range(6)]
    result = meta_step(torch.from_numpy(theta), torch.from_numpy(adapted), 0.3)
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)


def test_inner_loop_is_adam_on_cross_entropy(network, samplers):
    flat = network.initial(np.random.default_rng(1))
    with Serial(Supervised(network, 1e-3), samplers) as engine:
        (outcome,) = engine.run([Start.fresh(flat)], [Work(0, "user 1", ((0, 1, 0),))])
    expected = adapt_naively(network, flat, samplers["user 1"].draw(0, 1, 0))
    moved = flatten(network, outcome.adapted.parameters) - flatten(network, flat)
    assert moved.abs().max() > 1e-3
    torch.testing.assert_close(moved, expected - flatten(network, flat), rtol=2e-2, atol=2e-5)
    assert outcome.adapted.taken == 3


def test_persistent_adam_goes_on_from_the_second_moment(network, samplers):
    flat = network.initial(np.random.default_rng(1))
    names = ((0, 1, 0), (0, 1, 1))
    with Serial(Supervised(network, 1e-3), samplers) as engine:
        (chain,) = engine.run([Start.fresh(flat)], [Work(0, "user 1", names)])
        (first,) = engine.run([Start.fresh(flat)], [Work(0, "user 1", names[:1])])
        carried = first.adapted._replace(parameters=flat)
        (second,) = engine.run([carried], [Work(0, "user 1", names[1:])])
        (restarted,) = engine.run([Start.fresh(flat)], [Work(0, "user 1", names[1:])])
    mean = (first.adapted.parameters + second.adapted.parameters) / 2
    torch.testing.assert_close(chain.adapted.parameters, mean, rtol=0, atol=0)
    assert chain.adapted.taken == second.adapted.taken == 6
    assert not torch.allclose(second.adapted.parameters, restarted.adapted.parameters, atol=1e-4)


def test_queries_do_not_influence_one_another(network, samplers):
    learner = Supervised(network, 1e-3)
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    queries = as_images(samplers["user 2"].draw(0, 2, 0).support)
    variables = network.initial(np.random.default_rng(1))
    together = learner.predict(variables, support, labels, queries)
    alone = torch.cat([learner.predict(variables, support, labels, query[None]) for query in queries])
    assert together.tolist() == alone.tolist()
    assert len(set(together.tolist())) > 1
