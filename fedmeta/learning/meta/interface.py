"""The interface of a learner: how a benign user trains in a round of the federation.

A method is a file with a class `Options`, derived from `MethodOptions`, and a class `MetaTraining`, derived from the
one here. It defines on which episodes a user trains, how it adapts to each, and which part of its model it keeps
private. The outer step is the same for all (`fedmeta.learning.reptile.meta_step`): from theta towards the mean outcome
of the B episodes, by epsilon.
"""

from typing import Any

import torch
from torch import Tensor

from fedmeta import plugins
from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import EpisodeShape, Sampler
from fedmeta.data.splits import Pool
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Learner
from fedmeta.settings.sections import Reptile


class MetaTraining:
    """A learner with its `options`, the settings of `reptile`, and the network."""

    def __init__(self, options: Any, settings: Reptile, network: Conv4):
        self.options, self.settings, self.network = options, settings, network

    @property
    def shape(self) -> EpisodeShape:
        """The usual shape of an episode."""
        own = self.settings
        return EpisodeShape(own.way, own.shot, own.inner_steps, own.inner_batch)

    @property
    def meta_batch(self) -> int:
        """How many episodes of a user start from the same model (B)."""
        return self.settings.meta_batch

    def episodes(self, bank: ImageBank, pool: Pool, seed: int, stage: str) -> Sampler:
        """Return the episodes of a user who has the images `pool` of the `bank`; `seed` and `stage` name the draws.

        If an episode has queries, `expected` are their labels, and `Learner.outcome` gets both.
        """
        raise NotImplementedError

    def learner(self, pool: Pool) -> Learner:
        """Return how this user adapts to an episode. Users who share a `Learner` object can train side by side."""
        raise NotImplementedError

    def private(self, pool: Pool, seed: int, user: int) -> Tensor:
        """Return the private part of this user's model, (H,), before any training; here it is empty.

        It follows the network's parameters in the learner's variables, and nobody else ever sees it.
        """
        return torch.empty(0)


def open_meta_training(settings: Reptile, network: Conv4) -> MetaTraining:
    """Return the learner that the settings of `reptile` name."""
    options = settings.learner
    return plugins.load("learner", options.method).MetaTraining(options, settings, network)
