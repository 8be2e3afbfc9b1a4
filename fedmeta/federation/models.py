"""The shared model as a file: one tensor for each parameter of the network, and every user's Adam state."""

import os
from collections.abc import Mapping

import torch
from torch import Tensor

from fedmeta.checkpoints import read_tensors
from fedmeta.errors import FedmetaError
from fedmeta.federation.rounds import Federation
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Start


def to_named(network: Conv4, federation: Federation, prefix: str = "") -> dict[str, Tensor]:
    """Return the shared model's parameters by name, kernels as (out, in, height, width), and Adam's state."""
    named = {prefix + name: view.contiguous() for name, view in network.views(federation.shared).items()}
    named |= {f"{prefix}user-{user}.second_moment": moment for user, moment in federation.second_moments.items()}
    return named | {f"{prefix}user-{user}.taken": torch.tensor(taken) for user, taken in federation.taken.items()}


def from_named(network: Conv4, named: Mapping[str, Tensor], prefix: str = "") -> Federation:
    """Return the model that `to_named` gave, at the beginning of a stage.

    Raises FedmetaError if the tensors are not of this network.
    """
    shared = parameters_of(network, named, prefix)
    state = {name.removeprefix(prefix): tensor for name, tensor in named.items() if name.startswith(f"{prefix}user-")}
    return Federation.from_tensors({"shared": shared, "progress": torch.tensor([0, 0]), **state})


def parameters_of(network: Conv4, named: Mapping[str, Tensor], prefix: str = "") -> Tensor:
    """Return the model's parameters as one vector, (P,).

    Raises FedmetaError if the tensors are not of this network.
    """
    parameters = torch.empty(network.parameters)
    for name, view in network.views(parameters).items():
        tensor = named.get(prefix + name)
        if tensor is None or tensor.shape != view.shape:
            raise FedmetaError(f"the model file does not fit the network ({prefix + name}): delete it and run again")
        view.copy_(tensor)
    return parameters


def client_model_to_named(network: Conv4, model: Start, user: int) -> dict[str, Tensor]:
    """Return a client's model by name, and its own Adam state if it has trained."""
    trained = model.taken > 0
    moments, taken = ({user: model.second_moment}, {user: model.taken}) if trained else ({}, {})
    return to_named(network, Federation(model.parameters, moments, taken))


def read_client_model(path: str | os.PathLike, network: Conv4, user: int, prefix: str = "") -> Start:
    """Return the model of a file with the Adam state of one user in it, fresh if it never trained.

    Raises FedmetaError for a broken file, and for one of another network.
    """
    named, own = read_tensors(path)[0], f"{prefix}user-{user}."
    model = Start.fresh(parameters_of(network, named, prefix))
    if f"{own}taken" not in named:
        return model
    return model._replace(second_moment=named[f"{own}second_moment"], taken=int(named[f"{own}taken"]))
