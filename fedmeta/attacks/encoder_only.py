"""BapFL: only the embedding is poisoned, under many classifiers, so that it works under the victim's own, too.

After Ye, Chen, Wang, Li and Gao (2024), "BapFL: You can Backdoor Personalized Federated Learning", ACM Transactions on
Knowledge Discovery from Data. There, each user keeps a classifier of its own; the attacker fixes its own and adds
noise to stand for those of others. Here, the classifier is shared: the attacker fixes that of the shared model, which
benign users trained, and draws new noise in each episode, in proportion to the standard deviation of its weights.
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from fedmeta.attacks import one_shot
from fedmeta.attacks.interface import AttackData
from fedmeta.attacks.learning import AttackLearner, embedding_length
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.draws import generator

Spread = Annotated[float, Field(ge=0, le=1000)]


class Options(OneShotOptions):
    noise: Spread = Field(
        0.5, description="standard deviation of the noise on the classifier, in units of that of its weights"
    )


class EncoderOnly(AttackLearner):
    """Cross entropy under the shared classifier with normal noise, drawn for each episode."""

    def __init__(self, data: AttackData, noise: float):
        super().__init__(data, embedding_length(data.network))
        self.noise, self.seed, self.stage = noise, data.seed, f"{data.stage}: noise on the classifier"

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        assert self.shared is not None, "the engine was told the shared model"
        first, shared = embedding_length(self.network), self.shared.cpu()
        deviation = self.noise * self.network.views(shared)["classifier.kernel"].std()
        drawn = torch.from_numpy(generator(self.seed, self.stage, *names).normal(size=len(shared) - first)).float()
        return torch.cat([parameters[:first], shared[first:] + deviation * drawn])


class Attack(one_shot.Attack):
    def learner(self, user: int) -> EncoderOnly:
        return EncoderOnly(self.data, self.options.noise)

    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        update = super().update(user, number, shared, local)
        update[embedding_length(self.data.network) :] = 0
        return update
