"""The network of the paper (Section 3): four convolutional modules and a fully connected layer.

A model is one flat float32 vector. Loading, interpolating, sending and Adam are then one operation each, and
`Conv4.views` gives the layers' parameters as views of it. Kernels lie in the vector as (out, height, width, in), the
order in which convolutions on `channels_last` images read them.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedmeta.learning import cpu_kernels
from fedmeta.learning.convolution import convolve
from fedmeta.learning.cpu_embedding import CpuEmbedding

MODULES = 4
EPSILON = 1e-5  # added to the variance in batch normalisation
MOMENTUM = 0.1  # weight of the newest batch in the moving averages of batch_norm="running"

Statistics = list[tuple[Tensor, Tensor]]  # a (mean, biased variance) for each module, (filters,) each


def norm_pool_relu(x: Tensor, gamma: Tensor, beta: Tensor, statistics: tuple[Tensor, Tensor] | None = None):
    """Return the module's output after its convolution, (n, filters, height // 2, width // 2), and (mean, variance).

    Normalises by `statistics`, or by the batch's own if None. ReLU comes after the pooling, which gives the same result
    on a quarter of the data.
    """
    if statistics is None:
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    else:
        mean, variance = statistics
    scale = gamma * torch.rsqrt(variance + EPSILON)
    x = x * scale[:, None, None] + (beta - mean * scale)[:, None, None]
    return F.relu(F.max_pool2d(x, 2)), (mean, variance)


class Conv4(NamedTuple):
    """Conv4: (3x3 convolution, batch norm, ReLU, 2x2 max-pooling) x 4, then a fully connected layer.

    `batch_norm` is "batch" (statistics of the current batch in training, of the support set at test; nothing shared)
    or "running" (moving averages that are part of the model). Convolutions have no bias: batch norm cancels it.
    """

    channels: int
    size: int
    ways: int
    filters: int = 64
    batch_norm: str = "batch"

    @property
    def embedding_size(self) -> int:
        """Length of `features`, flattened as (height, width, filters)."""
        return self.filters * (self.size >> MODULES) ** 2

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of each parameter, in the vector's order."""
        shapes: dict[str, tuple[int, ...]] = {}
        channels = self.channels
        for i in range(1, MODULES + 1):
            shapes[f"conv{i}.kernel"] = (self.filters, channels, 3, 3)
            shapes[f"norm{i}.gamma"] = shapes[f"norm{i}.beta"] = (self.filters,)
            if self.batch_norm == "running":
                shapes[f"norm{i}.mean"] = shapes[f"norm{i}.variance"] = (self.filters,)
            channels = self.filters
        shapes["classifier.kernel"] = (self.ways, self.embedding_size)
        shapes["classifier.bias"] = (self.ways,)
        return shapes

    @property
    def parameter_count(self) -> int:
        """Length of the flat vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Return each parameter as a view of `flat`: (..., parameters) -> (..., *shape)."""
        views, start = {}, 0
        for name, shape in self.shapes.items():
            part = flat[..., start : start + math.prod(shape)]
            if len(shape) == 4:
                out, channels, height, width = shape
                views[name] = part.unflatten(-1, (out, height, width, channels)).movedim(-1, -3)
            else:
                views[name] = part.unflatten(-1, shape)
            start += math.prod(shape)
        return views

    def initial(self, generator: np.random.Generator) -> Tensor:
        """Return a fresh model: Glorot-uniform kernels, gamma and moving variances 1, everything else 0."""
        flat = torch.zeros(self.parameter_count)
        for name, view in self.views(flat).items():
            if name.endswith("kernel"):
                out, fan_in, *field = view.shape
                bound = math.sqrt(6 / ((fan_in + out) * math.prod(field)))
                view.copy_(torch.from_numpy(generator.uniform(-bound, bound, tuple(view.shape)).astype(np.float32)))
            elif name.endswith(("gamma", "variance")):
                view.fill_(1)
        return flat

    def features(
        self, parameters: dict[str, Tensor], images: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Return the embedding, (n, embedding_size), and the statistics that normalised it.

        `images`: float32, (n, channels, size, size), values in [0, 1]. If `statistics` is None, the batch is normalised
        by its own. Plain PyTorch on any device; can be differentiated and vmapped.
        """
        x, used = images, []
        for i in range(MODULES):
            x = convolve(x, parameters[f"conv{i + 1}.kernel"])
            given = None if statistics is None else statistics[i]
            x, own = norm_pool_relu(x, parameters[f"norm{i + 1}.gamma"], parameters[f"norm{i + 1}.beta"], given)
            used.append(own)
        return x.permute(0, 2, 3, 1).flatten(1), used

    def logits(
        self, parameters: dict[str, Tensor], images: Tensor, statistics: Statistics | None = None
    ) -> tuple[Tensor, Statistics]:
        """Return the class scores, (n, ways), and the statistics that normalised the batch."""
        x, used = self.features(parameters, images, statistics)
        return F.linear(x, parameters["classifier.kernel"], parameters["classifier.bias"]), used

    def test_statistics(self, parameters: dict[str, Tensor], support: Tensor) -> Statistics:
        """Return the statistics that normalise queries: the support set's, or the model's moving averages."""
        if self.batch_norm == "running":
            return [(parameters[f"norm{i}.mean"], parameters[f"norm{i}.variance"]) for i in range(1, MODULES + 1)]
        return self.features(parameters, support)[1]

    def update_moving_averages(self, parameters: dict[str, Tensor], statistics: Statistics, images: Tensor) -> None:
        """Move the averages of batch_norm="running" towards the batch's statistics, in place."""
        if self.batch_norm != "running":
            return
        for i, (mean, variance) in enumerate(statistics):
            count = images.shape[0] * (images.shape[-1] >> i) ** 2
            parameters[f"norm{i + 1}.mean"].lerp_(mean, MOMENTUM)
            parameters[f"norm{i + 1}.variance"].lerp_(variance * (count / max(count - 1, 1)), MOMENTUM)


class Trainer:
    """Inner steps on one CPU core: forward, backward and Adam (beta1 = 0), in place on the flat vector.

    The passes are written by hand for speed; `Conv4.logits` defines what they compute.
    """

    def __init__(self, model: Conv4, learning_rate: float, beta2: float = 0.999, epsilon: float = 1e-8):
        self.model, self.learning_rate, self.beta2, self.epsilon = model, learning_rate, beta2, epsilon
        self.embeddings: dict[int, CpuEmbedding] = {}  # by batch size
        self.bound: Tensor | None = None

    def step(self, flat: Tensor, second_moment: Tensor, count: int, images: Tensor, labels: Tensor) -> float:
        """Take Adam's step number `count` (from 1) on the cross entropy of a batch; return the loss before the step."""
        embedding, parameters, gradients = self._bind(flat, len(images))
        features = embedding.forward(images, parameters)
        log_probabilities = torch.addmm(self.views["classifier.bias"], features, self.views["classifier.kernel"].T)
        log_probabilities = log_probabilities.log_softmax(1)
        rows = torch.arange(len(labels))
        loss = -log_probabilities[rows, labels].mean().item()
        error = log_probabilities.exp_()  # becomes the gradient of the logits
        error[rows, labels] -= 1
        error /= len(labels)
        torch.mm(error.T, features, out=self.gradients["classifier.kernel"])
        torch.sum(error, 0, out=self.gradients["classifier.bias"])
        embedding.backward(error @ self.views["classifier.kernel"], parameters, gradients)
        self.model.update_moving_averages(self.views, embedding.statistics(), images)
        self.adam(flat, second_moment, count, self.gradient)
        return loss

    def embedding_gradient(
        self, flat: Tensor, images: Tensor, loss: Callable[[Tensor], Tensor]
    ) -> tuple[float, Tensor]:
        """Return the value of `loss(features)`, a scalar, and its gradient, (parameters,), zero for the classifier.

        `features`: (n, embedding_size), normalised by the batch's own statistics. Gradients of other leaves in `loss`
        accumulate in their `.grad`. The returned gradient is overwritten by the next call.
        """
        embedding, parameters, gradients = self._bind(flat, len(images))
        features = embedding.forward(images, parameters).detach().requires_grad_()
        value = loss(features)
        value.backward()
        for name in ("classifier.kernel", "classifier.bias"):
            self.gradients[name].zero_()
        assert features.grad is not None, "the loss reads the features"
        embedding.backward(features.grad, parameters, gradients)
        self.model.update_moving_averages(self.views, embedding.statistics(), images)
        return value.item(), self.gradient

    def adam(self, parameters: Tensor, second_moment: Tensor, count: int, gradient: Tensor) -> None:
        """Take Adam's step number `count` (from 1), in place on any flat vectors."""
        arrays = (parameters.numpy(), second_moment.numpy(), gradient.numpy())
        cpu_kernels.adam(*arrays, self.learning_rate, self.beta2, self.epsilon, count)

    def warm_up(self) -> None:
        """Compile the kernels, or load them compiled. Once in a parent process serves all the processes it forks."""
        flat, images = (
            torch.zeros(self.model.parameter_count),
            torch.zeros(1, self.model.channels, *[self.model.size] * 2),
        )
        Trainer(self.model, 0.0).step(flat, flat.clone(), 1, images, torch.zeros(1, dtype=torch.long))

    def _bind(self, flat: Tensor, n: int) -> tuple[CpuEmbedding, list[list[Tensor]], list[list[Tensor]]]:
        """Return the buffers for batches of n, and the modules' (kernel, gamma, beta) in `flat` and in the gradient."""
        if self.bound is None or self.bound.data_ptr() != flat.data_ptr():
            self.bound, self.gradient = flat, torch.zeros(self.model.parameter_count)
            self.views, self.gradients = self.model.views(flat), self.model.views(self.gradient)
            self.modules = self._modules(self.views), self._modules(self.gradients)
        if n not in self.embeddings:
            model = self.model
            self.embeddings[n] = CpuEmbedding(n, model.channels, model.size, model.filters, MODULES)
        return self.embeddings[n], *self.modules

    @staticmethod
    def _modules(views: dict[str, Tensor]) -> list[list[Tensor]]:
        return [
            [views[f"conv{i}.kernel"].permute(0, 2, 3, 1), views[f"norm{i}.gamma"], views[f"norm{i}.beta"]]
            for i in range(1, MODULES + 1)
        ]
