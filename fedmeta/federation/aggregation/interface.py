"""What an aggregation is: how the server turns the updates of a round into one model.

A method is a file with a class `Options`, derived from `MethodOptions`, and

    def aggregate(shared, updates, weights, state, options, random) -> Aggregate

`shared` (P,) is the shared model theta_G; `updates` holds what each user sent, (P,), by user, and `weights` their
alphas; `state` is the state that the method returned last ({} in the very first round); `random` is this round's
generator. The method must not change the tensors that it gets in place.

A file with `SUM_ONLY = True` says that its method needs only sum_i alpha_i delta_i, no single update. Under secure
aggregation it gets that sum as the update of a user 0 whose weight is 1; methods without it are refused.
"""

from typing import NamedTuple

from torch import Tensor


class Aggregate(NamedTuple):
    """What the server made of a round.

    shared: the new shared model, (P,); decisions: the weight that each user's update got, 0 for a rejected one; state:
    tensors by name that the method gets back in the next round, even after an interruption and in later stages.
    """

    shared: Tensor
    decisions: dict[int, float]
    state: dict[str, Tensor]
