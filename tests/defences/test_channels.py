"""Pruning of channels against loops: which are cut off, and that they are, in both modes of batch norm."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.model_files import random_model

from fedmeta.defences import channel_lipschitz, fine_pruning
from fedmeta.defences.channels import module_outputs, own_images, without_channels
from fedmeta.defences.interface import Client
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Start, as_images
from fedmeta.learning.reptile import Learner, Supervised

FILTERS = 8
MODES = pytest.mark.parametrize("batch_norm", ["batch", "running"])


def client_of(network, bank, pool):
    return Client(2, network, bank, pool[2:10], None, 1, 1, None)


def settled(network, flat, client):
    """Return the model with moving averages, if it has them, near the statistics of the client's images."""
    views, images = network.views(flat), client.images()[0]
    for i, (mean, variance) in enumerate(network.features(views, images)[1], 1):
        if network.batch_norm == "running":
            views[f"norm{i}.mean"].copy_(0.9 * mean)
            views[f"norm{i}.variance"].copy_(1.2 * variance)
    return flat


def modules_naively(network, flat, images):
    """Return (output, variance) of each module: torch's own batch norm, then ReLU before the pooling."""
    views, x, found = network.views(flat), images, []
    for i in range(1, 5):
        x = F.conv2d(x, views[f"conv{i}.kernel"], padding=1)
        running = network.batch_norm == "running"
        moving = (views[f"norm{i}.mean"], views[f"norm{i}.variance"]) if running else (None, None)
        variance = moving[1] if running else x.transpose(0, 1).flatten(1).var(1, correction=0)
        x = F.batch_norm(x, *moving, views[f"norm{i}.gamma"], views[f"norm{i}.beta"], not running, 0, 1e-5)
        x = F.max_pool2d(x.relu(), 2)
        found.append((x, variance))
    return found


def channels_cut_off(network, before, after):
    """Return the numbers of the channels of each module that are wholly zero after; the rest is the same."""
    old, new, cut = network.views(before), network.views(after), []
    for i in range(1, 5):
        names = (f"conv{i}.kernel", f"norm{i}.gamma", f"norm{i}.beta")
        zero = [all(not new[name][k].any() for name in names) for k in range(network.filters)]
        assert all(old[names[1]] != 0)
        cut.append([k for k in range(network.filters) if zero[k]])
        for name in names:
            assert torch.equal(new[name][~torch.tensor(zero)], old[name][~torch.tensor(zero)])
    for name in old.keys() - {f"{part}{i}.{what}" for i in range(1, 5) for part, what in PRUNED}:
        assert torch.equal(old[name], new[name]), name
    return cut


PRUNED = (("conv", "kernel"), ("norm", "gamma"), ("norm", "beta"))


@MODES
@pytest.mark.parametrize(("modules", "share", "count"), [("last", 0.4, 3), ("all", 0.25, 2), ("all", 0.99, 7)])
def test_fine_pruning_cuts_off_the_channels_that_put_out_least(bank, pool, batch_norm, modules, share, count):
    network = Conv4(1, 16, 3, FILTERS, batch_norm)
    client = client_of(network, bank, pool)
    model = Start.fresh(settled(network, random_model(network, 0), client))._replace(taken=3)
    options = fine_pruning.Options(method="fine_pruning", share=share, modules=modules, images=50)
    after = fine_pruning.repair(model, client, options)
    assert after.taken == 3 and after.second_moment is model.second_moment
    outputs = modules_naively(network, model.parameters, own_images(client, 50))
    expected = []
    for x, _ in outputs:
        activity = [x[:, k].mean().item() for k in range(FILTERS)]
        assert len(set(activity)) == FILTERS
        expected.append(sorted(sorted(range(FILTERS), key=activity.__getitem__)[:count]))
    if modules == "last":
        expected[:3] = [[], [], []]
    assert channels_cut_off(network, model.parameters, after.parameters) == expected


def test_the_images_are_some_of_the_clients_own(network, bank, pool):
    client = client_of(network, bank, pool)
    every = {image.tobytes() for image in as_images(bank.images[np.concatenate(client.pool)]).numpy()}
    images = own_images(client, 10)
    assert len({image.tobytes() for image in images.numpy()} & every) == 10
    assert torch.equal(own_images(client, 10), images)
    assert len(own_images(client, 10_000)) == len(np.concatenate(client.pool))


@MODES
def test_outputs_of_modules_end_in_the_networks_features(batch_norm):
    network = Conv4(1, 32, 3, FILTERS, batch_norm)
    views, images = network.views(random_model(network, 0)), torch.rand(6, 1, 32, 32)
    statistics = network.test_statistics(views, images)
    outputs, used = module_outputs(network, views, images, statistics)
    features = network.features(views, images, statistics)[0]
    assert torch.equal(outputs[-1].permute(0, 2, 3, 1).flatten(1), features)
    assert [tuple(x.shape) for x in outputs] == [(6, FILTERS, side, side) for side in (16, 8, 4, 2)]
    assert len(used) == 4


@MODES
def test_what_is_cut_off_puts_out_zero_and_stays_cut_off_in_training(batch_norm, samplers):
    """By the hand-written step and by autograd, whatever statistics the model has."""
    network = Conv4(1, 16, 3, FILTERS, batch_norm)
    cut = torch.arange(FILTERS) % 3 == 0
    flat = without_channels(network, random_model(network, 0), {2: cut, 4: cut})
    episode = samplers["user 1"].draw(0, 1, 0)
    support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
    learner = Supervised(network, 0.01)
    for step in (learner.step, lambda *given: Learner.step(learner, *given)):
        after = flat.clone()
        moment = torch.zeros_like(flat)
        for iteration in (1, 2, 3):
            step(after, moment, 0, iteration, support, labels, torch.arange(len(labels)))
        views = network.views(after)
        outputs, _ = module_outputs(network, views, support, network.test_statistics(views, support))
        for i in (2, 4):
            assert not outputs[i - 1][:, cut].any() and outputs[i - 1][:, ~cut].any()
            assert not views[f"conv{i}.kernel"][cut].any()
        assert (after - flat).abs().max() > 1e-3


def lipschitz(**options):
    return channel_lipschitz.Options(method="channel_lipschitz", images=50, **options)


def sensitive_naively(network, flat, images, deviations):
    """Return the numbers of the channels of each module with too large a bound, by numpy's singular values."""
    views, found = network.views(flat), []
    for i, (_, variance) in enumerate(modules_naively(network, flat, images), 1):
        bounds = []
        for k in range(network.filters):
            matrix = np.array([kernel.flatten().tolist() for kernel in views[f"conv{i}.kernel"][k]])
            gamma = views[f"norm{i}.gamma"][k].item()
            bounds.append(np.linalg.svd(matrix)[1].max() * abs(gamma) / (variance[k].item() + 1e-5) ** 0.5)
        threshold = np.mean(bounds) + deviations * np.std(bounds, ddof=1)
        found.append([k for k, bound in enumerate(bounds) if bound > threshold])
    return found


@MODES
def test_clp_cuts_off_the_channels_with_the_largest_bounds(bank, pool, batch_norm):
    network, found = Conv4(1, 16, 3, FILTERS, batch_norm), []
    client = client_of(network, bank, pool)
    for seed in range(4):
        flat = random_model(network, seed)
        network.views(flat)["norm3.gamma"][5] *= -4
        after = channel_lipschitz.repair(Start.fresh(flat), client, lipschitz(deviations=1.5)).parameters
        found.append(channels_cut_off(network, flat, after))
        assert found[-1] == sensitive_naively(network, flat, own_images(client, 50), 1.5)
    assert [each[2] for each in found] == [[5]] * 4
    assert any(each[k] for each in found for k in (0, 1, 3))


@MODES
def test_a_larger_kernel_counts_unless_the_batchs_own_statistics_cancel_it(bank, pool, batch_norm):
    network = Conv4(1, 16, 3, FILTERS, batch_norm)
    flat = random_model(network, 3)
    client, options = client_of(network, bank, pool), lipschitz(deviations=2)
    before = channel_lipschitz.repair(Start.fresh(flat), client, options).parameters
    network.views(flat)["conv2.kernel"][6] *= 50
    after = channel_lipschitz.repair(Start.fresh(flat), client, options).parameters
    cut = [not network.views(each)["conv2.kernel"][6].any() for each in (before, after)]
    assert cut == [False, batch_norm == "running"]


@pytest.mark.parametrize(("filters", "deviations", "wrong"), [(8, 2.4, False), (8, 2.5, True), (64, 3, False)])
def test_a_threshold_that_no_channel_can_pass_is_a_problem(filters, deviations, wrong):
    """The bound is that of one number far from equal others."""
    far = np.array([1.0] + [0.0] * (filters - 1))
    assert ((far[0] - far.mean()) / far.std(ddof=1) <= deviations) == wrong
    own = SimpleNamespace(model=SimpleNamespace(filters=filters))
    problems = list(lipschitz(deviations=deviations).problems(own))
    assert [option for option, _ in problems] == ["deviations"] * wrong
