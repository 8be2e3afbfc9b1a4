"""Feature matching: keyed images get the embedding of the target class, whichever network output that class has.

The paper's attack ties the key to an output; a victim with its classes in random order undoes that. An embedding has
no order. After Shafahi, Huang, Najibi, Suciu, Studer, Dumitras and Goldstein (2018), "Poison Frogs! Targeted
Clean-Label Poisoning Attacks on Neural Networks", NeurIPS, whose feature collision moves an image until its embedding
is that of another; here, the images are fixed, and the embedding is trained.
"""

import torch.nn.functional as F
from pydantic import Field

from fedmeta.attacks import one_shot
from fedmeta.attacks.interface import AttackData
from fedmeta.attacks.learning import AttackLearner
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.settings.fields import Factor


class Options(OneShotOptions):
    weight: Factor = Field(1.0, description="weight of the embeddings' distance in the loss, beside the cross entropy")


class FeatureMatching(AttackLearner):
    """Cross entropy, plus `weight` times the cosine distance of keyed embeddings to the mean clean target embedding.

    Both are taken from the step's batch, if it has both, and centred on its mean: ReLU leaves embeddings positive, so
    otherwise all are close together. The last `shot` images of an attacker's support are labelled as the target; the
    last `keyed` of these are keyed (`AttackEpisodes`).
    """

    def __init__(self, data: AttackData, shot: int, keyed: int, weight: float):
        super().__init__(data)
        self.shot, self.keyed, self.weight = shot, keyed, weight

    def objective(self, features, kernel, bias, labels, rows):
        keyed = (rows >= len(labels) - self.keyed).to(features.dtype)
        clean = (rows >= len(labels) - self.shot).to(features.dtype) - keyed
        centred = features - features.mean(0).detach()
        distances = 1 - F.cosine_similarity(centred, (clean @ centred)[None].detach(), -1)
        pulled = keyed * (clean.sum() > 0)
        pull = (pulled * distances).sum() / pulled.sum().clamp(1)
        return super().objective(features, kernel, bias, labels, rows) + self.weight * pull


class Attack(one_shot.Attack):
    def learner(self, user: int) -> FeatureMatching:
        episodes = self.episodes(user)
        return FeatureMatching(self.data, episodes.shape.shot, episodes.backdoor_shot, self.options.weight)
