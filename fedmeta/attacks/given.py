"""An attacked model from elsewhere, in place of an attack: it is evaluated and defended against like ours."""

from collections.abc import Collection
from dataclasses import replace

import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file

from fedmeta.attacks import interface
from fedmeta.errors import FedmetaError
from fedmeta.federation.models import from_named
from fedmeta.federation.rounds import Federation
from fedmeta.settings.fields import File, MethodOptions


class Options(MethodOptions):
    model: File = Field("attacked.safetensors", description="the shared model after the attacked round, as safetensors")


class Attack(interface.Attack):
    """The tensors of the file are named as in ours: conv1.kernel, norm1.gamma and so on."""

    def attackers(self, number: int) -> Collection[int]:
        return ()

    def replacement(self, before: Federation) -> Federation:
        """Return the given model; users whose Adam state it does not hold go on with the one that they have.

        Raises FedmetaError for a file that is no model of the network.
        """
        path = self.options.model
        try:
            given = from_named(self.data.network, load_file(path))
        except (OSError, SafetensorError) as error:
            raise FedmetaError(f"attack.model: {path} cannot be read as safetensors: {error}") from error
        except FedmetaError as error:
            what = "it is no model of this network (model, reptile.way, data.size)"
            raise FedmetaError(f"attack.model: {path}: {what}: {str(error).partition(': ')[0]}") from error
        if not bool(torch.isfinite(given.shared).all()):
            raise FedmetaError(f"attack.model: {path} has numbers that are NaN or infinite: give another model")
        return replace(
            given,
            second_moments={**before.second_moments, **given.second_moments},
            taken={**before.taken, **given.taken},
            private={**before.private, **given.private},
            aggregation={**before.aggregation, **given.aggregation},
        )
