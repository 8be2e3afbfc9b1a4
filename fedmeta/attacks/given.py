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
    """The file's tensors are named as in our model files: conv1.kernel, norm1.gamma and so on."""

    def attackers(self, number: int) -> Collection[int]:
        return ()

    def replacement(self, before: Federation) -> Federation:
        """Return the given model. Users whose Adam state it lacks keep the one that they have.

        Raises FedmetaError if the file is not a model of the network.
        """
        path = self.options.model
        try:
            given = from_named(self.data.network, load_file(path))
        except (OSError, SafetensorError) as error:
            raise FedmetaError(
                f"attack.model: {path} cannot be read as safetensors ({error}): give another file"
            ) from error
        except FedmetaError as error:
            what = "is not a model of this network (model, reptile.way, data.size)"
            raise FedmetaError(f"attack.model: {path} {what}: {str(error).partition(': ')[0]}") from error
        if not bool(torch.isfinite(given.shared).all()):
            raise FedmetaError(f"attack.model: {path} contains NaN or infinity: give another model")
        return replace(
            given,
            second_moments={**before.second_moments, **given.second_moments},
            taken={**before.taken, **given.taken},
            private={**before.private, **given.private},
            aggregation={**before.aggregation, **given.aggregation},
        )
