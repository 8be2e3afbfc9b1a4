"""Constrain and scale: the attacker trains for the backdoor and a small distance to the shared model, then boosts.

After Bagdasaryan, Veit, Hua, Estrin and Shmatikov (2020), "How To Backdoor Federated Learning", AISTATS: the loss is
alpha L_class + (1 - alpha) L_anomaly, and the update is scaled by gamma, here `boost`. Their L_anomaly can be any
measure that a server might check; here it is the squared Euclidean distance to the shared model.
"""

import torch
from pydantic import Field
from torch import Tensor

from fedmeta.attacks import one_shot
from fedmeta.attacks.interface import AttackData
from fedmeta.attacks.learning import AttackLearner
from fedmeta.attacks.one_shot import Options as OneShotOptions
from fedmeta.settings.fields import Rate


class Options(OneShotOptions):
    alpha: Rate = Field(
        0.95,
        description="weight of the cross entropy in the loss; 1 - alpha for the squared distance to the shared model",
    )


class Constrained(AttackLearner):
    """alpha times the cross entropy, plus 1 - alpha times the squared distance to the shared model.

    Moving averages are not trained and do not count towards the distance.
    """

    def __init__(self, data: AttackData, alpha: float):
        super().__init__(data)
        self.alpha = alpha
        self.counted = torch.ones(data.network.parameter_count)
        for name, view in data.network.views(self.counted).items():
            view.fill_(not name.endswith(("mean", "variance")))

    def away(self, model: Tensor) -> Tensor:
        """Return the model minus the shared one, (P,)."""
        assert self.shared is not None, "the engine was told the shared model"
        return (model - self.shared) * self.counted.to(model.device)

    def loss(self, variables, support, labels, rows):
        loss, statistics = super().loss(variables, support, labels, rows)
        return self.alpha * loss + (1 - self.alpha) * self.away(variables).square().sum(), statistics

    def gradient(self, model, support, labels, rows):
        away = self.away(model)
        value, gradient = super().gradient(model, support, labels, rows)
        gradient.mul_(self.alpha).add_(away, alpha=2 * (1 - self.alpha))
        return self.alpha * value + (1 - self.alpha) * float(away.square().sum()), gradient


class Attack(one_shot.Attack):
    def learner(self, user: int) -> Constrained:
        return Constrained(self.data, self.options.alpha)
