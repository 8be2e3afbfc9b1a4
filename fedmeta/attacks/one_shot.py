"""The one-shot attack (Sec. 2 and 3): the attacker is selected once, trains on poisoned episodes, boosts its update."""

from collections.abc import Mapping

from fedmeta.federation.rounds import LocalTraining


def attacked_round(
    attacker: int, poisoned: LocalTraining, benign: Mapping[int, LocalTraining]
) -> dict[int, LocalTraining]:
    """Return who does what in the attacked round: the selected benign users as ever, the attacker its own training.

    With delta_a = lambda (theta_a - theta_G) and weights alpha = 1 / lambda, the attacker's model replaces theta_G,
    but for the benign users' updates (model replacement).
    """
    return {attacker: poisoned, **benign}


def inner_steps(inner_epochs: float, way: int, shot: int, inner_batch: int) -> int:
    """Return the inner steps of an attacker's episode: `inner_epochs` passes over its N * K examples, rounded up."""
    return -int(-inner_epochs * way * shot // inner_batch)
