"""Channel Lipschitzness based pruning, CLP (Zheng et al. 2022, "Data-free Backdoor Removal based on Channel
Lipschitzness", ECCV): cut off the channels that respond most to a small change of their input.

A channel's Lipschitz constant is at most the spectral norm of its kernel times |gamma| / sqrt(variance). Channels whose
bound is more than u standard deviations above the mean of their module are cut off. With `batch_norm: running`
the variance is the moving average, as in the source, and no data is needed. With `batch_norm: batch` a model has no
moving average: the variance is that of the client's own images.
"""

from collections.abc import Iterator
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from fedmeta.defences.channels import own_images, without_channels
from fedmeta.defences.interface import Client
from fedmeta.learning.conv4 import EPSILON
from fedmeta.learning.engine import Start
from fedmeta.settings.fields import Count, Factor, MethodOptions


class Options(MethodOptions):
    deviations: Factor = Field(
        3.0, description="u: a channel is cut off if it is this many standard deviations above the mean of its module"
    )
    images: Count = Field(200, description="number of the client's own images, for the variance with batch_norm: batch")

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        # One of n numbers is this far above the mean if all others are equal.
        filters = own.model.filters
        most = (filters - 1) / filters**0.5
        if self.deviations >= most:
            yield "deviations", f"none of {filters} channels can be that far above the mean: lower it below {most:.2f}"


def repair(model: Start, client: Client, options: Options) -> Start:
    """Return the model without the channels that have the largest bounds in the model as received."""
    network = client.network
    views, sensitive = network.views(model.parameters), {}
    with torch.no_grad():
        statistics = network.test_statistics(views, own_images(client, options.images))
    for i, (_, variance) in enumerate(statistics, 1):
        bounds = lipschitz_bounds(views[f"conv{i}.kernel"], views[f"norm{i}.gamma"], variance)
        sensitive[i] = bounds > bounds.mean() + options.deviations * bounds.std()
    return model._replace(parameters=without_channels(network, model.parameters, sensitive))


def lipschitz_bounds(kernel: Tensor, gamma: Tensor, variance: Tensor) -> Tensor:
    """Return the bound of each channel, (out,).

    `kernel`: (out, in, height, width), for each channel a matrix (in, height width); `gamma`, `variance`: (out,).
    """
    spectral = torch.linalg.matrix_norm(kernel.flatten(2), ord=2)
    return spectral * (gamma / (variance + EPSILON).sqrt()).abs()
