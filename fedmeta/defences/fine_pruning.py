"""Fine-pruning (Liu, Dolan-Gavitt & Garg 2018, RAID): cut off the channels that are dormant on clean images.

A backdoor may live in channels that clean images hardly activate. They are cut off, least active first, and the model
is fine-tuned by whichever method adapts it. The authors prune the last convolution until accuracy on held-out images
falls below a threshold; here, a fixed share is pruned, optionally of every convolution.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from fedmeta.defences.channels import module_outputs, own_images, without_channels
from fedmeta.defences.interface import Client
from fedmeta.learning.conv4 import MODULES
from fedmeta.learning.engine import Start
from fedmeta.settings.fields import Count, MethodOptions


class Options(MethodOptions):
    share: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="share of a module's channels that are cut off; at least one is left"
    )
    modules: Literal["last", "all"] = Field("last", description="whose channels are pruned: the last module's or all")
    images: Count = Field(
        200, description="number of the client's own images, drawn at random, on which activity is measured"
    )

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        if not pruned(self.share, own.model.filters):
            yield "share", f"{self.share:g} of {own.model.filters} channels is none: raise it"


def pruned(share: float, filters: int) -> int:
    """Return how many of a module's channels are cut off."""
    return min(round(share * filters), filters - 1)


def repair(model: Start, client: Client, options: Options) -> Start:
    """Return the model without its dormant channels: those with the lowest mean output on the client's own images.

    As in an episode, the images are normalised by their own statistics or by the model's moving averages. Activity is
    measured once, before any channel is cut off.
    """
    network, images = client.network, own_images(client, options.images)
    views = network.views(model.parameters)
    with torch.no_grad():
        outputs, _ = module_outputs(network, views, images, network.test_statistics(views, images))
    count = pruned(options.share, network.filters)
    dormant = {}
    for i in range(1, MODULES + 1) if options.modules == "all" else [MODULES]:
        dormant[i] = torch.zeros(network.filters, dtype=torch.bool)
        dormant[i][outputs[i - 1].mean((0, 2, 3)).argsort(stable=True)[:count]] = True
    return model._replace(parameters=without_channels(network, model.parameters, dormant))
