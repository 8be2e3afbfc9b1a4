"""Reptile (Nichol, Achiam and Schulman 2018, "On First-Order Meta-Learning Algorithms"): the paper's learner (Sec. 2).

The outcome of an episode is the adapted model, so a meta-step moves theta towards the mean of the adapted models.
"""

from functools import cached_property

from fedmeta.data.bank import ImageBank
from fedmeta.data.episodes import BenignEpisodes
from fedmeta.data.splits import Pool
from fedmeta.learning.meta import interface
from fedmeta.learning.reptile import Supervised
from fedmeta.settings.fields import MethodOptions


class Options(MethodOptions):
    pass


class MetaTraining(interface.MetaTraining):
    def episodes(self, bank: ImageBank, pool: Pool, seed: int, stage: str) -> BenignEpisodes:
        return BenignEpisodes(bank, pool, self.shape, seed, stage)

    def learner(self, pool: Pool) -> Supervised:
        return self.adapting

    @cached_property
    def adapting(self) -> Supervised:
        """One for all users."""
        return Supervised(self.network, self.settings.inner_learning_rate, self.settings.beta2)
