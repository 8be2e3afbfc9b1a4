"""The Glorot mix of Sec. 4 as a repair: the client mixes once, before it does anything else with the model.

The paper's client mixes again for each task; as a repair, the mix has one fresh draw for all tasks of the client. Other
repairs can follow it, such as local meta-training. With delta 0, the client starts from a fresh network, which has
nothing of the federation.
"""

from pydantic import Field

from fedmeta.defences.glorot_mix import Delta, GlorotMix, Norms
from fedmeta.defences.interface import Client
from fedmeta.learning.engine import Start
from fedmeta.settings.fields import MethodOptions


class Options(MethodOptions):
    delta: Delta = Field(
        0.3, description="share of the shared model, or a list with one per module; 0: a fresh network"
    )
    norms: Norms = Field(
        "shared",
        description="norms of mixed kernels: shared, as in the shared model (the paper); fresh, as in the fresh draw",
    )


def repair(model: Start, client: Client, options: Options) -> Start:
    """Return the mix, with a fresh Adam state: the client's state belongs to the model before the mix."""
    mix = GlorotMix(options.delta, options.norms, client.seed)
    return Start.fresh(mix.start(client.network, model.parameters, (client.user,)))
