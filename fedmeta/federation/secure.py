"""Secure aggregation: the server learns the sum of the updates and nothing else about them (Bonawitz et al. 2017,
"Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS).

Each pair of users of a round shares a mask of uniform numbers modulo 2^64, which one adds to its update and the other
subtracts: a masked update is uniform itself, and the masks cancel in the sum. This simulation shows who sees what; it
is not cryptography: masks come from named generators, not from keys that users agree on, and no user drops out.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from fedmeta.draws import generator
from fedmeta.errors import FedmetaError

STEP = 2.0**-32  # of the fixed-point numbers
RANGE = 2.0**63 * STEP  # above the size of any sum


def masked(
    updates: Mapping[int, Tensor], weights: Mapping[int, float], seed: int, stage: str, round_number: int
) -> dict[int, np.ndarray]:
    """Return what each user sends of its update (P,): alpha_i delta_i in fixed point under its masks, uint64 (P,).

    Raises FedmetaError if an update is too large for the fixed point.
    """
    sent = {user: _fixed(user, weights[user] * updates[user].double(), len(updates)) for user in sorted(updates)}
    for one, other in combinations(sent, 2):
        random = generator(seed, f"{stage}: masks", round_number, one, other)
        mask = random.integers(0, 2**64, len(sent[one]), dtype=np.uint64)
        sent[one] += mask
        sent[other] -= mask
    return sent


def unmasked_sum(sent: Iterable[np.ndarray]) -> Tensor:
    """Return the sum of what all users of a round sent, float64 (P,): within half a step for each user."""
    total = sum(sent, np.uint64(0))
    return torch.from_numpy(np.asarray(total).view(np.int64) * STEP)


def _fixed(user: int, update: Tensor, users: int) -> np.ndarray:
    largest = float(update.abs().max())
    if not largest * users < RANGE:
        problem = f"the update of user {user} is too large for secure aggregation ({largest:.2g})"
        raise FedmetaError(f"{problem}: lower attack.boost, or set federation.secure_aggregation: false")
    return torch.round(update / STEP).long().numpy().view(np.uint64)
