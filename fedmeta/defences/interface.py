"""What a defence is: what a benign user does, alone, with the model that the federation sends.

A method is a file with a class `Options` and one of these functions, or both:

    def learner(network: Conv4, options: Options, rates: Rates, seed: tuple[int, int]) -> Learner

says how the client adapts its model to a task (*adapt*). `rates` are the run's; `seed` names random
draws: it is the seed of the run with that of the set of evaluation episodes. `Options` then derives from
`DefenceOptions`.

    def repair(model: Start, client: Client, options: Options) -> Start

changes the client's model once, with the client's own data, before any task (*repair*). Several can follow one another.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedmeta import plugins
from fedmeta.checkpoints import Unfinished
from fedmeta.data.bank import ImageBank
from fedmeta.data.splits import Pool
from fedmeta.errors import FedmetaError
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.engine import Start, as_images
from fedmeta.settings import Settings


class Rates(NamedTuple):
    """Learning rate (eta) and decay of Adam's second moment in an episode: the settings of `reptile`."""

    learning_rate: float
    beta2: float


@dataclass(frozen=True)
class Client:
    """A benign user with what it has for a repair.

    `pool`: the rows of `bank` with its training images, one array for each class. `settings`: engine, model and
    reptile. `seed`: the run's. `unfinished`: where long work is kept, to resume after an interruption. `private`:
    what the learner has the user keep to itself, see `Federation.private`.
    """

    user: int
    network: Conv4
    bank: ImageBank
    pool: Pool
    settings: Settings
    seed: int
    threads: int
    unfinished: Unfinished
    private: Start | None = None

    def images(self, each: int | None = None) -> tuple[Tensor, Tensor]:
        """Return (images, classes): float32 (n, channels, height, width) in [0, 1], and each one's class, (n,).

        They are its training images, or the first `each` of every class. Classes are numbered as in `pool`.
        """
        rows = [rows[:each] for rows in self.pool]
        classes = torch.arange(len(rows)).repeat_interleave(torch.tensor([len(own) for own in rows]))
        return as_images(self.bank.images[np.concatenate(rows)]), classes


def load_method(entry: Mapping[str, Any], what: Literal["learner", "repair"]) -> tuple[Callable, Any]:
    """Return a method's function `what` and its options, for an entry of the config.

    Raises FedmetaError if the method has no such function.
    """
    options = plugins.options("defence", entry)
    plugins.require("defence", options.method, what)
    return getattr(plugins.load("defence", options.method), what), options


def repaired(repair: Callable, model: Start, client: Client, options: Any) -> Start:
    """Return the client's model after a method's `repair`, with the method's `options`.

    Raises FedmetaError if the result is not a model of the network, or has numbers that are not finite.
    """
    after = repair(model, client, options)
    if not isinstance(after, Start) or after.parameters.shape != model.parameters.shape:
        raise FedmetaError(f"repair of {options.method} returns no model: return model._replace(parameters=...)")
    if not bool(torch.isfinite(after.parameters).all()):
        raise FedmetaError(f"repair of {options.method} returns a model with NaN or infinity: lower its rates")
    return after
