"""The shared model as a file: one tensor for each parameter of the network, and every user's Adam state."""

from collections.abc import Mapping

import torch
from torch import Tensor

from fedmeta.errors import FedmetaError
from fedmeta.federation.rounds import Federation
from fedmeta.learning.conv4 import Conv4


def to_named(network: Conv4, federation: Federation, prefix: str = "") -> dict[str, Tensor]:
    """Return the shared model's parameters by name, kernels as (out, in, height, width), and Adam's state."""
    named = {prefix + name: view.contiguous() for name, view in network.views(federation.shared).items()}
    named |= {f"{prefix}user-{user}.second_moment": moment for user, moment in federation.second_moments.items()}
    return named | {f"{prefix}user-{user}.taken": torch.tensor(taken) for user, taken in federation.taken.items()}


def from_named(network: Conv4, named: Mapping[str, Tensor], prefix: str = "") -> Federation:
    """Return the model that `to_named` gave, at the beginning of a stage.

    Raises FedmetaError if the tensors are not of this network.
    """
    shared = torch.empty(network.parameter_count)
    for name, view in network.views(shared).items():
        tensor = named.get(prefix + name)
        if tensor is None or tensor.shape != view.shape:
            raise FedmetaError(f"the model file does not fit the network ({prefix + name}): delete it and run again")
        view.copy_(tensor)
    state = {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(f"{prefix}user-")}
    return Federation.from_tensors({"shared": shared, "progress": torch.tensor([0, 0]), **state})
