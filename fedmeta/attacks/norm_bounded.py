"""Norm-bounded attack: no update has a larger norm than a benign one, so that a bound on norms lets it through.

After Sun, Kairouz, Suresh and McMahan (2019), "Can You Really Backdoor Federated Learning?". There, the attacker
knows the server's bound and projects onto it while it trains. Here, it does not: it takes the norm of an update from
its own benign training, and projects once: what the attack beneath sends, boost included.
"""

from pydantic import Field
from torch import Tensor

from fedmeta.attacks.on_top import OnTopOptions
from fedmeta.attacks.own_benign import KnowingBenign, benign_update
from fedmeta.settings.fields import Factor


class Options(OnTopOptions):
    factor: Factor = Field(
        1, description="largest norm of an update, as a multiple of that of the attacker's own benign one"
    )


class Attack(KnowingBenign):
    def update(self, user: int, number: int, shared: Tensor, local: Tensor) -> Tensor:
        bound = self.options.factor * float(benign_update(self.data, user, number, shared).norm())
        return projected(super().update(user, number, shared, local), bound)


def projected(update: Tensor, bound: float) -> Tensor:
    """Return the update, (P,), or, if its norm exceeds `bound`, the nearest vector with that norm."""
    norm = float(update.norm())
    return update * (bound / norm) if norm > bound else update
