"""A benign user's own model as a file: the shared model that it received, with its Adam state and no other user's."""

import os

from torch import Tensor

from fedmeta.checkpoints import read_tensors
from fedmeta.federation.models import parameters_of, to_named
from fedmeta.federation.rounds import Federation
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Start


def client_model_to_named(network: Conv4, model: Start, user: int) -> dict[str, Tensor]:
    """Return a client's model by name, and its own Adam state if it has trained."""
    trained = model.taken > 0
    moments, taken = ({user: model.second_moment}, {user: model.taken}) if trained else ({}, {})
    return to_named(network, Federation(model.parameters, moments, taken))


def read_private(path: str | os.PathLike, user: int) -> Start | None:
    """Return what a user keeps to itself in the training that made a file: see `Federation.private`."""
    named, own = read_tensors(path)[0], f"user-{user}.private."
    if f"{own}taken" not in named:
        return None
    return Start(named[f"{own}parameters"], named[f"{own}second_moment"], int(named[f"{own}taken"]))


def read_client_model(path: str | os.PathLike, network: Conv4, user: int, prefix: str = "") -> Start:
    """Return the model in a file with one user's Adam state, fresh if that user never trained.

    Raises FedmetaError if the file is broken or of another network.
    """
    named, own = read_tensors(path)[0], f"{prefix}user-{user}."
    model = Start.fresh(parameters_of(network, named, prefix))
    if f"{own}taken" not in named:
        return model
    return model._replace(second_moment=named[f"{own}second_moment"], taken=int(named[f"{own}taken"]))
