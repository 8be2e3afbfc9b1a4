"""The paper's aggregation: the weighted sum of the updates, whoever they are from (Sec. 2)."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.settings.fields import MethodOptions

SUM_ONLY = True


class Options(MethodOptions):
    pass


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + sum_i alpha_i delta_i; nobody is rejected."""
    alphas = torch.tensor([weights[user] for user in updates], dtype=shared.dtype)
    total = torch.einsum("i,ip->p", alphas, torch.stack(list(updates.values())))
    return Aggregate(shared + total, {user: weights[user] for user in updates}, {})
