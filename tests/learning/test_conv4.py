"""Conv4 and its hand-written inner step compute what an independent torch.nn.Module and torch.optim.Adam compute."""

from collections import defaultdict

import numpy as np
import pytest
import torch
from torch import nn

from fedmeta.learning.conv4 import MODULES, Conv4, Trainer
from fedmeta.learning.cpu_kernels import CLOSED, norm_pool_relu_backward, norm_pool_relu_forward
from fedmeta.learning.winograd import Winograd


class Reference(nn.Module):
    """Conv4 as one writes it: with a bias in the convolutions where batch norm cancels it, and ReLU before pooling."""

    def __init__(self, model: Conv4, flat: torch.Tensor):
        super().__init__()
        layers, channels = [], model.channels
        for _ in range(MODULES):
            running = model.batch_norm == "running"
            convolution = nn.Conv2d(channels, model.filters, 3, padding=1, bias=not running)
            norm = nn.BatchNorm2d(model.filters, track_running_stats=running)
            layers += [convolution, norm, nn.ReLU(), nn.MaxPool2d(2)]
            channels = model.filters
        self.embedding = nn.Sequential(*layers)
        self.classifier = nn.Linear(model.embedding_size, model.ways)
        self.model = model
        self.to(flat.dtype)
        with torch.no_grad():
            for name, own in self.named().items():
                own.copy_(self.ordered(name, model.views(flat)[name]))

    def named(self) -> dict[str, torch.Tensor]:
        """The parameters under Conv4's names."""
        named = {"classifier.kernel": self.classifier.weight, "classifier.bias": self.classifier.bias}
        for i in range(MODULES):
            convolution, norm = self.embedding[4 * i], self.embedding[4 * i + 1]
            named[f"conv{i + 1}.kernel"] = convolution.weight
            named |= {f"norm{i + 1}.gamma": norm.weight, f"norm{i + 1}.beta": norm.bias}
            if self.model.batch_norm == "running":
                named |= {f"norm{i + 1}.mean": norm.running_mean, f"norm{i + 1}.variance": norm.running_var}
        return named

    def ordered(self, name: str, values: torch.Tensor) -> torch.Tensor:
        """Conv4 flattens the embedding as (height, width, filters), nn.Flatten as (filters, height, width)."""
        if name != "classifier.kernel":
            return values
        side = self.model.size >> MODULES
        return values.unflatten(1, (side, side, -1)).permute(0, 3, 1, 2).flatten(1)

    def forward(self, images):
        return self.classifier(self.embedding(images).flatten(1))


def a_batch(model: Conv4, n: int, seed: int = 0):
    random = torch.Generator().manual_seed(seed)
    images = torch.rand(n, model.channels, model.size, model.size, generator=random)
    return images.to(memory_format=torch.channels_last), torch.arange(n) % model.ways


def a_model(model: Conv4, negative: bool = True) -> torch.Tensor:
    """A fresh model, with half the gammas negative and biases that are not zero."""
    random = np.random.default_rng(3)
    flat = model.initial(random)
    for name, view in model.views(flat).items():
        if name.endswith("gamma") and negative:
            view[::2] *= -0.7
        elif name.endswith(("beta", "bias")):
            view += torch.from_numpy(random.normal(0, 0.3, view.shape).astype(np.float32))
    return flat


def gradient_of_one_step(model: Conv4, flat: torch.Tensor, images, labels) -> tuple[float, torch.Tensor]:
    """The gradient that the trainer descends, seen through its first Adam step's second moment and direction."""
    trainer = Trainer(model, 1e-3)
    loss = trainer.step(flat.clone(), torch.zeros_like(flat), 1, images, labels)
    return loss, trainer.gradient


def error_of(actual: torch.Tensor, expected: torch.Tensor) -> float:
    """The distance of two tensors, as a share of the expected one's norm."""
    return float((actual.double() - expected.double()).norm() / expected.double().norm().clamp_min(1e-9))


def assert_near(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert error_of(actual, expected) <= tolerance


# 30 -> 15 -> 7 -> 3 and 21 -> 10 -> 5 -> 2 leave rows over in the pooling; 8 filters take PyTorch's convolutions.
MODELS = [
    Conv4(1, 28, 5),
    Conv4(3, 30, 4),
    Conv4(3, 21, 5, filters=8),
    Conv4(1, 30, 5, batch_norm="running"),
]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("n", [10, 25])
def test_loss_and_gradient_are_the_reference_networks(model, n):
    """In most of three batches: where two pixels of a pool tie to within rounding, the gradient jumps between them.

    Which of them wins in a batch depends on the processor, and moves a gradient by some 1e-4 of its norm.
    """
    flat, errors = a_model(model), defaultdict(list)
    for seed in range(3):
        images, labels = a_batch(model, n, seed)
        reference = Reference(model, flat.double())
        expected = nn.functional.cross_entropy(reference(images.double()), labels)
        expected.backward()
        loss, gradient = gradient_of_one_step(model, flat, images, labels)
        assert loss == pytest.approx(expected.item(), rel=1e-5)
        gradients = model.views(gradient)
        for name, own in reference.named().items():
            if own.grad is not None:
                errors[name].append(error_of(reference.ordered(name, gradients[name]), own.grad))
            else:
                assert not gradients[name].any()
    assert {name: each for name, each in errors.items() if np.median(each) > 1e-4} == {}


@pytest.mark.parametrize("model", MODELS)
def test_the_plain_forward_is_the_reference_network(model):
    flat, (images, _) = a_model(model), a_batch(model, 10)
    logits, _ = model.logits(model.views(flat), images)
    torch.testing.assert_close(logits, Reference(model, flat)(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [MODELS[0], MODELS[2], MODELS[-1]])
def test_several_steps_follow_torch_adam(model):
    flat = a_model(model)
    reference = Reference(model, flat.double())
    optimiser = torch.optim.Adam(reference.parameters(), lr=1e-3, betas=(0.0, 0.99))
    trainer, second_moment, start = Trainer(model, 1e-3, 0.99), torch.zeros_like(flat), flat.clone()
    for count in range(1, 4):
        images, labels = a_batch(model, 10, seed=count)
        expected = nn.functional.cross_entropy(reference(images.double()), labels)
        optimiser.zero_grad()
        expected.backward()
        optimiser.step()
        assert trainer.step(flat, second_moment, count, images, labels) == pytest.approx(expected.item(), rel=1e-3)
    views, before = model.views(flat), model.views(start)
    for name, own in reference.named().items():
        # The first step is the gradient's sign, so a weight whose gradient is all rounding may go the other way.
        origin = reference.ordered(name, before[name])
        assert_near(reference.ordered(name, views[name]) - origin, own.detach() - origin, 0.05)


def test_adam_is_torch_adam():
    random = torch.Generator().manual_seed(0)
    flat, second_moment = torch.randn(1000, generator=random), torch.zeros(1000)
    leaf = flat.clone().requires_grad_()
    optimiser = torch.optim.Adam([leaf], lr=0.01, betas=(0.0, 0.999))
    for count in range(1, 20):
        gradient = torch.randn(1000, generator=random) * 10.0 ** -(count % 6)
        leaf.grad = gradient
        optimiser.step()
        Trainer(MODELS[0], 0.01).adam(flat, second_moment, count, gradient)
    torch.testing.assert_close(flat, leaf.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("images", [torch.zeros(10, 1, 28, 28), torch.ones(10, 1, 28, 28)], ids=["zeros", "ones"])
def test_blank_images_tie_as_in_pytorch(images):
    model, labels = MODELS[0], torch.arange(10) % 5
    flat = a_model(model)
    reference = Reference(model, flat.double())
    nn.functional.cross_entropy(reference(images.double()), labels).backward()
    loss, gradient = gradient_of_one_step(model, flat, images, labels)
    assert np.isfinite(loss)
    assert torch.isfinite(gradient).all()
    for name in ("classifier.kernel", "classifier.bias"):
        expected = reference.ordered(name, model.views(gradient)[name])
        torch.testing.assert_close(expected.double(), reference.named()[name].grad, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("size", [2, 3, 7, 10, 21])
def test_the_block_is_batch_norm_pooling_and_relu(size):
    random = torch.Generator().manual_seed(size)
    # Few values, so that windows have ties; an offset, so that the variance must not be lost beside the mean.
    x = torch.randint(0, 4, (6, size, size, 16), generator=random).float() * 0.25 + 100
    gamma, beta = torch.randn(16, generator=random), torch.randn(16, generator=random)
    gamma[3] = 0
    pooled = (6, size // 2, size // 2, 16)
    out_gradient = torch.randn(pooled, generator=random)
    leaves = [values.double().requires_grad_() for values in (x, gamma, beta)]
    expected = nn.functional.batch_norm(leaves[0].permute(0, 3, 1, 2), None, None, *leaves[1:], training=True)
    expected = nn.functional.max_pool2d(expected.relu(), 2).permute(0, 2, 3, 1)
    gradients = torch.autograd.grad(expected, leaves, out_gradient.double())

    arrays = [np.empty(pooled, np.float32), np.empty(pooled, np.float32), np.empty(pooled, np.int32)]
    statistics = [np.empty(16, np.float32) for _ in range(2)]
    results, dx = [np.empty(16, np.float32) for _ in range(2)], x.clone().numpy()
    norm_pool_relu_forward(dx, gamma.numpy(), beta.numpy(), *arrays, *statistics)
    np.testing.assert_allclose(arrays[0], expected.detach(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(statistics[1], x.double().var((0, 1, 2), correction=0), rtol=1e-4)
    norm_pool_relu_backward(dx, out_gradient.numpy(), gamma.numpy(), *arrays[1:], *statistics, *results)
    for actual, wanted in zip((dx, *results), gradients, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-3, atol=1e-3)
    assert (arrays[2] == CLOSED).any()


@pytest.mark.parametrize("size", [1, 3, 4, 7, 10, 14])
def test_winograd_is_the_convolution(size):
    random = torch.Generator().manual_seed(size)
    x, y_gradient = (torch.randn(3, size, size, 64, generator=random) for _ in range(2))
    kernel = torch.randn(64, 3, 3, 64, generator=random)
    leaves = [values.double().requires_grad_() for values in (x, kernel)]
    expected = nn.functional.conv2d(*(leaf.permute(0, 3, 1, 2) for leaf in leaves), padding=1).permute(0, 2, 3, 1)
    gradients = torch.autograd.grad(expected, leaves, y_gradient.double())
    convolution, kernel_gradient = Winograd(3, size), torch.empty_like(kernel)
    for _ in range(2):  # the second time with used buffers
        assert_near(convolution.forward(x, kernel), expected.detach(), 1e-5)
        assert_near(convolution.backward(y_gradient, kernel_gradient), gradients[0], 1e-5)
        assert_near(kernel_gradient, gradients[1], 1e-5)


def test_a_loss_of_the_features_gives_autograds_gradient():
    model = Conv4(1, 32, 5)
    flat, (images, _) = a_model(model), a_batch(model, 25)
    weights = torch.randn(25, model.embedding_size, generator=torch.Generator().manual_seed(1))
    gate, same_gate = (torch.ones(model.embedding_size, requires_grad=True) for _ in range(2))
    value, gradient = Trainer(model, 1e-3).embedding_gradient(
        flat, images, lambda features: ((features * gate).tanh() * weights).sum()
    )
    leaf = flat.clone().requires_grad_()
    features, _ = model.features(model.views(leaf), images)
    expected = ((features * same_gate).tanh() * weights).sum()
    expected.backward()
    assert value == pytest.approx(expected.item(), rel=1e-4)
    assert_near(gradient, leaf.grad, 1e-3)
    assert_near(gate.grad, same_gate.grad, 1e-4)


@pytest.mark.parametrize("batch_norm", ["batch", "running"])
def test_a_query_is_predicted_the_same_alone_and_together(batch_norm):
    model = Conv4(1, 28, 5, batch_norm=batch_norm)
    parameters = model.views(a_model(model))
    (support, _), (queries, _) = a_batch(model, 25), a_batch(model, 8, seed=1)
    statistics = model.test_statistics(parameters, support)
    together, _ = model.logits(parameters, queries, statistics)
    for query, logits in zip(queries, together, strict=True):
        alone, _ = model.logits(parameters, query[None], statistics)
        torch.testing.assert_close(alone[0], logits, rtol=1e-4, atol=1e-5)


def test_support_statistics_are_those_that_normalise_the_support():
    model = Conv4(1, 28, 5)
    parameters, (support, _) = model.views(a_model(model)), a_batch(model, 25)
    own, statistics = model.logits(parameters, support)
    again, _ = model.logits(parameters, support, statistics)
    torch.testing.assert_close(again, own, rtol=1e-4, atol=1e-4)


def test_moving_averages_are_used_at_test():
    model = MODELS[-1]
    flat, (images, labels) = a_model(model), a_batch(model, 10)
    Trainer(model, 1e-3).step(flat, torch.zeros_like(flat), 1, images, labels)
    parameters = model.views(flat)
    expected = Reference(model, flat).eval()(images)
    logits, _ = model.logits(parameters, images, model.test_statistics(parameters, images[:1]))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("model", [MODELS[0], MODELS[2]])
def test_the_same_inputs_give_the_same_bytes(model):
    flat, results = a_model(model), []
    for trainer in (Trainer(model, 1e-3), Trainer(model, 1e-3)):
        parameters, second_moment = flat.clone(), torch.zeros_like(flat)
        for count in range(1, 4):
            trainer.step(parameters, second_moment, count, *a_batch(model, 10, count))
        results.append(parameters)
    assert torch.equal(*results)


def test_divergence_shows():
    model = MODELS[0]
    flat, (images, labels) = a_model(model), a_batch(model, 10)
    model.views(flat)["conv2.kernel"][0, 0, 0, 0] = torch.nan
    assert np.isnan(Trainer(model, 1e-3).step(flat, torch.zeros_like(flat), 1, images, labels))


def test_initial_is_glorot_uniform():
    model = Conv4(3, 84, 5)
    views = model.views(model.initial(np.random.default_rng(0)))
    for name, fans in [("conv1.kernel", 9 * (3 + 64)), ("conv3.kernel", 9 * 128), ("classifier.kernel", 1600 + 5)]:
        bound = (6 / fans) ** 0.5
        assert 0.98 * bound < views[name].abs().max() <= bound
        assert views[name].var().item() == pytest.approx(bound**2 / 3, rel=0.05)
    assert (views["norm2.gamma"] == 1).all()
    assert not views["norm2.beta"].any()
    assert sum(view.numel() for view in views.values()) == model.parameter_count
