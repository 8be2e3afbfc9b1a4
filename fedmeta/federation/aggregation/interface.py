"""What an aggregation is: how the server makes one model of the updates of a round.

A method is a file with a class `Options`, derived from `MethodOptions`, and

    def aggregate(shared, updates, weights, state, options, random) -> Aggregate

`shared` (P,) is the shared model theta_G; `updates` holds what each user sent, (P,), by user, and `weights` their
alphas; `state` is what the method returned as its state the last time ({} in the first round of all), `random` a
generator of this round's own. The tensors that it gets are not to be changed in place.

A file with `SUM_ONLY = True` says that its method needs sum_i alpha_i delta_i and no single update. Under secure
aggregation it gets that sum as the update of a user 0 whose weight is 1; methods without it are refused.
"""

from typing import NamedTuple

from torch import Tensor


class Aggregate(NamedTuple):
    """What the server made of a round.

    shared: the new shared model, (P,); decisions: the weight that each user's update got, 0 for a rejected one; state:
    tensors by name that the method has at hand in the next round, also after an interruption and in later stages.
    """

    shared: Tensor
    decisions: dict[int, float]
    state: dict[str, Tensor]
