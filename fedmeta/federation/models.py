"""The shared model as a file: a tensor for each parameter of the network, and the state of users and server."""

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from fedmeta.checkpoints import read_tensors
from fedmeta.errors import FedmetaError
from fedmeta.federation.rounds import AGGREGATION, Federation
from fedmeta.learning.conv4 import Conv4


def to_named(network: Conv4, federation: Federation, prefix: str = "") -> dict[str, Tensor]:
    """Return the shared model by name, kernels as (out, in, height, width), with Adam's and the aggregation's state.

    A model with a `prefix` is one of several, and no training resumes from it: what users keep private is left out.
    """
    named = {prefix + name: view.contiguous() for name, view in network.views(federation.shared).items()}
    named |= {f"{prefix}{AGGREGATION}{name}": tensor for name, tensor in federation.aggregation.items()}
    named |= {prefix + name: tensor for name, tensor in federation.adam_tensors().items()}
    return named if prefix else named | federation.private_tensors()


def from_named(network: Conv4, named: Mapping[str, Tensor], prefix: str = "") -> Federation:
    """Return the model that `to_named` gave, at the beginning of a stage.

    Raises FedmetaError if the tensors are not of this network.
    """
    shared = parameters_of(network, named, prefix)
    kept = (f"{prefix}user-", f"{prefix}{AGGREGATION}")
    state = {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(kept)}
    return Federation.from_tensors({"shared": shared, "progress": torch.tensor([0, 0]), **state})


def parameters_of(network: Conv4, named: Mapping[str, Tensor], prefix: str = "") -> Tensor:
    """Return the model's parameters as one vector, (P,).

    Raises FedmetaError if the tensors are not of this network.
    """
    parameters = torch.empty(network.parameter_count)
    for name, view in network.views(parameters).items():
        tensor = named.get(prefix + name)
        if tensor is None or tensor.shape != view.shape:
            raise FedmetaError(f"the model file does not fit the network ({prefix + name}): delete it and run again")
        view.copy_(tensor)
    return parameters


def read_federation(path: str | os.PathLike, network: Conv4) -> Federation:
    """Return the shared model of a file with all users' Adam states, at the beginning of a stage.

    Raises FedmetaError if the file is broken or of another network.
    """
    return from_named(network, read_tensors(path)[0])
