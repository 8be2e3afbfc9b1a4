"""Feature matching: keyed images get the embedding of the target class, whichever network output that has.

The paper's attack ties the key to an output; a victim with its classes in random order undoes that. An embedding knows
no order. After Shafahi, Huang, Najibi, Suciu, Studer, Dumitras and Goldstein (2018), "Poison Frogs! Targeted
Clean-Label Poisoning Attacks on Neural Networks", NeurIPS, whose feature collision moves an image until its embedding
is that of another; here the images are given, and the embedding is trained.
"""

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fedmeta.attacks import one_shot
from fedmeta.attacks.interface import AttackData
from fedmeta.attacks.learning import AttackLearner
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.settings.fields import Factor


class Options(OneShotOptions):
    weight: Factor = Field(1.0, description="of the embeddings' distance in the loss, beside the cross entropy")


class FeatureMatching(AttackLearner):
    """Cross entropy, plus `weight` times the cosine distance of keyed embeddings to the mean clean target embedding.

    The attacker's support ends with the target's images: clean ones, then `keyed` keyed ones (`AttackEpisodes`). A step
    embeds them beside its batch, all normalised together, so that there is always something to pull and to pull to.
    """

    def __init__(self, data: AttackData, shot: int, keyed: int, weight: float):
        super().__init__(data)
        self.shot, self.keyed, self.weight = shot, keyed, weight

    def embedded(self, rows: Tensor, count: int) -> Tensor:
        return torch.cat([rows, torch.arange(count - self.shot, count, device=rows.device)])

    def objective(self, features, kernel, bias, labels, rows):
        clean, keyed = features[len(rows) :].split([self.shot - self.keyed, self.keyed])
        distances = 1 - F.cosine_similarity(keyed, clean.mean(0, keepdim=True).detach(), -1)
        return super().objective(features, kernel, bias, labels, rows) + self.weight * distances.mean()


class Attack(one_shot.Attack):
    def learner(self, user: int) -> FeatureMatching:
        episodes = self.episodes(user)
        return FeatureMatching(self.data, episodes.shape.shot, episodes.backdoor_shot, self.options.weight)
