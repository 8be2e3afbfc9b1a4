"""Kernel inflation: a model that computes the same with larger kernels, which dominate a mix with fresh ones.

Batch normalisation cancels a factor on the kernel before it. The Glorot mix of Sec. 4, delta theta + (1 - delta)
theta_g, does not: the share of theta in each kernel grows with the factor. This is an adaptive attack on that defence;
we know of no publication of it. The defence's option `norms: fresh` counters it.
"""

from pydantic import Field
from torch import Tensor

from fedmeta.attacks.on_top import OnTop, OnTopOptions
from fedmeta.learning.conv4 import MODULES, Conv4
from fedmeta.settings.fields import Factor


class Options(OnTopOptions):
    factor: Factor = Field(10, description="c, by which the attacker multiplies its convolution kernels")


class Attack(OnTop):
    """The attack beneath takes the inflated model, theta_c, for its local one, and computes its update from that.

    Model replacement sends lambda (theta_c - theta_G). So with alpha lambda = 1 the shared model becomes theta_c, apart
    from the benign users' updates.
    """

    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        return self.beneath.update(user, number, shared, inflated(self.data.network, local, self.options.factor))


def inflated(network: Conv4, parameters: Tensor, factor: float) -> Tensor:
    """Return the model, (P,), with its convolution kernels `factor` times as large, and moving averages to match.

    It computes what `parameters` does, apart from the constant that batch normalisation adds to the variance: a feature
    changes by half the constant's share of its variance.
    """
    scaled = parameters.clone()
    views = network.views(scaled)
    for i in range(1, MODULES + 1):
        views[f"conv{i}.kernel"].mul_(factor)
        if network.batch_norm == "running":
            views[f"norm{i}.mean"].mul_(factor)
            views[f"norm{i}.variance"].mul_(factor**2)
    return scaled
