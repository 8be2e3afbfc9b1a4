"""Norm clipping and noise: no update's norm exceeds a bound, and the new model gets normal noise (Sun, Kairouz, Suresh
and McMahan 2019, "Can You Really Backdoor Federated Learning?").

The noise is added once to the sum, whatever the weights. If no bound is set, each round's is the median norm of
its updates. The default noise is about as large as the change of a parameter in a benign round.
"""

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from fedmeta.federation.aggregation.interface import Aggregate
from fedmeta.federation.aggregation.robust import answer, clip_factors, stack
from fedmeta.settings.fields import MethodOptions, Positive


class Options(MethodOptions):
    bound: Positive | None = Field(None, description="largest norm of an update; null: the median norm of the round")
    noise: Annotated[float, Field(ge=0, le=1e38)] = Field(
        0.0001, description="standard deviation of the noise on each parameter of the model"
    )


def aggregate(
    shared: Tensor,
    updates: Mapping[int, Tensor],
    weights: Mapping[int, float],
    state: Mapping[str, Tensor],
    options: Options,
    random: np.random.Generator,
) -> Aggregate:
    """Return theta_G + sum_i alpha_i c_i delta_i + noise, c_i the factor that clips; nobody is rejected."""
    vectors = stack(updates)
    norms = np.linalg.norm(vectors, axis=1)
    alphas = np.array([weights[user] for user in sorted(updates)])
    alphas = alphas * clip_factors(norms, float(options.bound or np.median(norms)))
    moved = np.einsum("i,ip->p", alphas, vectors) + random.normal(0, options.noise, len(shared))
    return answer(shared, updates, moved, alphas)
