"""What the server does with the users' updates."""

from collections.abc import Sequence

import torch
from torch import Tensor


def aggregate(shared: Tensor, updates: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """Return theta_G + sum_i alpha_i delta_i (Sec. 2).

    `shared` (P,) is theta_G, `updates` the deltas (P,) of the users whose updates arrived, `weights` their alphas.
    """
    return shared + torch.einsum("i,ip->p", torch.tensor(weights, dtype=shared.dtype), torch.stack(list(updates)))
