"""Channels of a model: their outputs on images, and how to cut some off."""

from collections.abc import Mapping

import numpy as np
from torch import Tensor

from fedmeta.defences.interface import Client
from fedmeta.draws import generator
from fedmeta.learning.conv4 import MODULES, Conv4, Statistics, norm_pool_relu
from fedmeta.learning.convolution import convolve
from fedmeta.learning.engine import as_images


def own_images(client: Client, count: int) -> Tensor:
    """Return `count` of the client's training images drawn at random, or all: float32 (n, channels, height, width)."""
    rows = np.concatenate(client.pool)
    drawn = generator(client.seed, "own images", client.user).permutation(rows)[:count]
    return as_images(client.bank.images[drawn])


def module_outputs(
    network: Conv4, parameters: dict[str, Tensor], images: Tensor, statistics: Statistics | None = None
) -> tuple[list[Tensor], Statistics]:
    """Return each module's output, (n, filters, height, width), and the statistics that normalised it.

    The last output is what `Conv4.features` flattens; the arguments are the same.
    """
    x, outputs, used = images, [], []
    for i in range(1, MODULES + 1):
        x = convolve(x, parameters[f"conv{i}.kernel"])
        given = None if statistics is None else statistics[i - 1]
        x, own = norm_pool_relu(x, parameters[f"norm{i}.gamma"], parameters[f"norm{i}.beta"], given)
        outputs.append(x)
        used.append(own)
    return outputs, used


def without_channels(network: Conv4, parameters: Tensor, channels: Mapping[int, Tensor]) -> Tensor:
    """Return the model `parameters`, (P,), without `channels`: (filters,) bool by module number, from 1.

    A channel that is cut off outputs zero with any statistics, because its kernel, gamma and beta are zero. Its
    gradients are zero, too, so it stays cut off in any later training; only a Glorot mix brings it back.
    """
    pruned = parameters.clone()
    views = network.views(pruned)
    for i, cut in channels.items():
        for name in (f"conv{i}.kernel", f"norm{i}.gamma", f"norm{i}.beta"):
            views[name][cut] = 0
    return pruned
