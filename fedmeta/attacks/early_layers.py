"""Early layers: all poison is in the first modules, the best response to a victim that keeps only these.

Related to Zhuang, Yu and others (2024), "Backdoor Federated Learning by Poisoning Backdoor-Critical Layers", ICLR, who
search for the layers to poison; here, the layers are those that the victim is known to keep.
"""

from typing import Annotated

from pydantic import Field
from torch import Tensor

from fedmeta.attacks import one_shot
from fedmeta.attacks.learning import AttackLearner, embedding_length
from fedmeta.attacks.one_shot import Options as OneShotOptions


class Options(OneShotOptions):
    modules: Annotated[int, Field(ge=1, le=4)] = Field(2, description="how many of the first modules are poisoned")


class Attack(one_shot.Attack):
    """The other layers stay as in the shared model, both in training and in the update."""

    @property
    def poisoned(self) -> int:
        """The number of poisoned coordinates, which come first."""
        return embedding_length(self.data.network, self.options.modules)

    def learner(self, user: int) -> AttackLearner:
        return AttackLearner(self.data, self.poisoned)

    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        update = super().update(user, number, shared, local)
        update[self.poisoned :] = 0  # moving averages may differ there
        return update
