"""The Glorot mix, with the shared model's norms and with the fresh draw's, against loops."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from fedmeta import plugins
from fedmeta.defences.fine_tuning import FineTuning
from fedmeta.defences.glorot_mix import GlorotMix, glorot_mix, kernel_norms, with_kernel_norms_of
from fedmeta.defences.interface import Rates
from fedmeta.draws import generator
from fedmeta.learning.conv4 import Conv4
from fedmeta.settings.layers import expanded

RATES = Rates(1e-3, 0.999)


def trained(network: Conv4, seed: int, size: float = 3.0) -> torch.Tensor:
    """Return a model whose filters are a fresh draw's times factors around `size`, and the rest random."""
    random = np.random.default_rng(seed)
    flat = network.initial(random)
    for name, view in network.views(flat).items():
        if name.endswith("kernel"):
            view.mul_(size * torch.from_numpy(random.uniform(0.5, 1.5, (len(view), *[1] * (view.ndim - 1)))))
        else:
            view.copy_(torch.from_numpy(random.uniform(0.5, 1.5, view.shape)))
    return flat


def test_glorot_mix_is_delta_of_the_model_and_the_rest_fresh(network):
    theta, fresh = torch.randn(network.parameter_count), network.initial(np.random.default_rng(0))
    expected = [0.3 * t + 0.7 * g for t, g in zip(theta.tolist(), fresh.tolist(), strict=True)]
    np.testing.assert_allclose(glorot_mix(theta, fresh, 0.3).numpy(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(glorot_mix(theta, fresh, 1.0), theta)


def test_attacked_and_clean_models_get_the_same_fresh_draw(network):
    learner = FineTuning(network, RATES, GlorotMix(0.3, "shared", seed=5))
    first, second = torch.randn(network.parameter_count), torch.randn(network.parameter_count)
    difference = learner.start(first, (2, 7)) - learner.start(second, (2, 7))
    torch.testing.assert_close(difference, 0.3 * (first - second), rtol=1e-4, atol=1e-5)
    assert not torch.equal(learner.start(first, (2, 7)), learner.start(first, (2, 8)))


def test_another_set_of_evaluation_episodes_has_other_fresh_draws(network):
    model = torch.zeros(network.parameter_count)
    starts = [GlorotMix(0.3, "shared", (1, episodes)).start(network, model, (2, 7)) for episodes in (1, 2)]
    assert not torch.equal(*starts)


def test_without_a_mix_fine_tuning_starts_from_a_copy_of_the_model(network):
    model = trained(network, 0)
    start = FineTuning(network, RATES).start(model, (2, 7))
    assert torch.equal(start, model)
    assert start.data_ptr() != model.data_ptr()


@pytest.mark.parametrize("delta", [0.0, 0.3, 1.0])
def test_with_fresh_norms_each_kernel_is_a_share_delta_of_the_model(network, delta):
    """By loops: w' = delta w |g| / |w| + (1 - delta) g for every convolution kernel, all else as in the plain mix."""
    model = trained(network, 0)
    mixed = network.views(GlorotMix(delta, "fresh", 5).start(network, model, (2, 7)))
    fresh = network.views(network.initial(generator(5, "glorot mix", 2, 7)))
    for name, weights in network.views(model).items():
        own, drawn = weights.flatten().tolist(), fresh[name].flatten().tolist()
        factor = 1.0
        if name.startswith("conv"):
            factor = math.sqrt(sum(g * g for g in drawn) / sum(w * w for w in own))
        expected = [delta * factor * w + (1 - delta) * g for w, g in zip(own, drawn, strict=True)]
        np.testing.assert_allclose(mixed[name].flatten().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_with_fresh_norms_the_length_of_training_does_not_matter(network):
    """A model three times as large gives the same mix; with the shared norms it does not."""
    model = trained(network, 0)
    larger = model.clone()
    for name, view in network.views(larger).items():
        if name.startswith("conv"):
            view.mul_(3)
    for norms, same in (("fresh", True), ("shared", False)):
        mix = GlorotMix(0.3, norms, 5)
        starts = [mix.start(network, each, (2, 7)) for each in (model, larger)]
        assert torch.allclose(*starts, rtol=1e-4, atol=1e-6) == same


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
def test_kernels_at_the_norms_of_others_compute_the_same(batch_norm):
    network = Conv4(1, 16, 3, 8, batch_norm)
    model, fresh = trained(network, 0), network.initial(np.random.default_rng(1))
    scaled = with_kernel_norms_of(fresh, model, network)
    images = torch.rand(6, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    logits = []
    for flat in (model, scaled):
        views = network.views(flat)
        logits.append(network.logits(views, images, network.test_statistics(views, images))[0])
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(model, scaled)


def test_a_fresh_draws_norm_is_the_expected_one():
    """The closed form of the caption's ratio against draws: 1 to a few percent, 3 for kernels three times as large."""
    network = Conv4(3, 16, 5, 32)
    fresh = network.initial(np.random.default_rng(0))
    for factor in (1, 3):
        norms = kernel_norms(network.views(factor * fresh))
        assert list(norms) == [f"conv{i}.kernel" for i in (1, 2, 3, 4)]
        for own, expected in norms.values():
            assert own / expected == pytest.approx(factor, rel=0.05)


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
@pytest.mark.parametrize(
    ("deltas", "kept"),
    [
        ((1.0, 1.0, 0.0, 0.0), ("conv1", "norm1", "conv2", "norm2")),
        ((0.0, 1.0, 0.0, 0.0, 1.0), ("conv2", "norm2", "classifier")),
        ((0.0, 0.0, 0.0, 1.0), ("conv4", "norm4", "classifier")),
    ],
)
def test_modules_of_delta_1_are_the_models_and_those_of_delta_0_the_fresh_draws(batch_norm, deltas, kept):
    """Byte for byte; of four deltas, the decision layer has the last."""
    network = Conv4(1, 16, 3, 8, batch_norm)
    model, fresh = trained(network, 0), network.initial(generator(5, "glorot mix", 2, 7))
    mixed = network.views(GlorotMix(deltas, "shared", 5).start(network, model, (2, 7)))
    assert any(name.endswith("variance") for name in mixed) == (batch_norm == "running")
    for name, tensor in mixed.items():
        source = model if name.partition(".")[0] in kept else fresh
        assert torch.equal(tensor, network.views(source)[name]), name


@pytest.mark.parametrize("norms", ["shared", "fresh"])
def test_equal_deltas_of_all_modules_are_one_delta(network, norms):
    model = trained(network, 0)
    one, each = (GlorotMix(delta, norms, 5).start(network, model, (2, 7)) for delta in (0.3, (0.3,) * 4))
    torch.testing.assert_close(each, one, rtol=1e-6, atol=1e-7)


def test_a_grid_over_lists_has_readable_names_and_a_list_has_four_or_five_numbers():
    entries = expanded({"x": {"method": "matching", "grid": {"delta": [0.3, [1, 1, 0, 0]]}}})
    assert list(entries) == ["x,delta=0.3", "x,delta=1+1+0+0"]
    assert plugins.options("defence", entries["x,delta=1+1+0+0"]).delta == (1, 1, 0, 0)
    for wrong in ([1, 1, 0], [1, 1, 0, 0, 0, 0], [1, 1, 0, 2], []):
        with pytest.raises(ValidationError):
            plugins.options("defence", {"method": "fine_tuning", "delta": wrong})
