"""Mix-aware attack: poison that works on average in mixes with a fresh network, from which the victim will start.

Each step takes the loss, and its gradient, not at the attacker's model theta but at delta theta + (1 - delta) theta_g
(Sec. 4), with delta and theta_g drawn for the step. This is expectation over transformation (Athalye, Engstrom, Ilyas
and Kwok 2018, "Synthesizing Robust Adversarial Examples", ICML) for a model rather than an image. It works on top of
any attack: on `matching_aware` it answers both parts of the paper's defence. A victim with a layer-wise mix keeps the
first modules whole; if that is known, so do the mixes drawn here.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from fedmeta.attacks.learning import AttackLearner, embedding_length
from fedmeta.attacks.on_top import OnTop, OnTopOptions
from fedmeta.draws import generator
from fedmeta.learning.conv4 import MODULES
from fedmeta.learning.reptile import Learner, Segments
from fedmeta.settings.fields import Pair, Rate

PLACES = 2**20  # values of delta between its bounds


class Options(OnTopOptions):
    delta: Pair[Rate] = Field(
        (0.1, 1.0), description="share of the attacker's model in a mix: drawn between these two values"
    )
    networks: Annotated[int, Field(ge=1, le=10_000)] = Field(
        64, description="fresh networks, of which each step draws one"
    )
    kept: Annotated[int, Field(ge=0, le=MODULES)] = Field(
        0, description="how many of the first modules the victim keeps whole; delta is for the others"
    )

    def problems(self, own: Any) -> Iterator[tuple[str, str]]:
        yield from super().problems(own)
        lowest, highest = self.delta
        if lowest > highest or (highest == 0 and not self.kept):
            yield "delta", f"[{lowest:g}, {highest:g}] has no share above 0 to draw: give the lowest, then the highest"


class MixAware(Learner):
    """Another learner's loss, taken in a mix.

    `networks`: (D, P), the fresh ones. The hash of a step's batch determines its draw, so the loss stays a pure
    function, and all engines draw the same.
    """

    def __init__(
        self, inner: Learner, networks: Tensor, delta: tuple[float, float], multipliers: Tensor, kept: int = 0
    ):
        """`multipliers`: of the hash, int64, one for each image of a batch; `kept`: modules at delta 1."""
        self.inner = inner
        super().__init__(inner.network, inner.trainer.learning_rate, inner.trainer.beta2)
        self.networks, self.delta, self.multipliers = networks, delta, multipliers
        self.mixed = torch.empty(networks.shape[1])
        self.kept = torch.arange(networks.shape[1]) < embedding_length(inner.network, kept) if kept else None

    @property
    def shared(self) -> Tensor | None:
        return self.inner.shared

    @shared.setter
    def shared(self, shared: Tensor | None) -> None:
        self.inner.shared = shared

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        return self.inner.start(parameters, names)

    def segments(self, iteration: int) -> Segments:
        return self.inner.segments(iteration)

    def project(self, variables: Tensor) -> None:
        self.inner.project(variables)

    def predict(self, variables, support, labels, queries):
        return self.inner.predict(variables, support, labels, queries)

    def drawn(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (theta_g, (P,); delta, a scalar, or (P,) if modules are kept) for a step on the batch `rows`."""
        if self.networks.device != rows.device:
            self.networks, self.multipliers = self.networks.to(rows.device), self.multipliers.to(rows.device)
            self.kept = None if self.kept is None else self.kept.to(rows.device)
        key = ((rows + 1) * self.multipliers).sum() % 2**31
        place = (key // len(self.networks)) % PLACES / (PLACES - 1)
        lowest, highest = self.delta
        delta = lowest + (highest - lowest) * place
        delta = delta if self.kept is None else torch.where(self.kept, 1.0, delta)
        return self.networks.index_select(0, key[None] % len(self.networks))[0], delta

    def loss(self, variables, support, labels, rows):
        network, delta = self.drawn(rows)
        loss, statistics = self.inner.loss(torch.lerp(network, variables, delta), support, labels, rows)
        if self.network.batch_norm == "running":  # the averages are those of the attacker's own model
            statistics = self.network.features(self.network.views(variables.detach()), support[rows])[1]
        return loss, statistics

    def step(self, variables, second_moment, taken, iteration, support, labels, rows):
        if not isinstance(self.inner, AttackLearner) or self.network.batch_norm == "running":
            return super().step(variables, second_moment, taken, iteration, support, labels, rows)
        network, delta = self.drawn(rows)
        value, gradient = self.inner.gradient(
            torch.lerp(network, variables, delta, out=self.mixed), support, labels, rows
        )
        gradient *= delta
        for part, count in self.segments(iteration):
            self.trainer.adam(variables[part], second_moment[part], taken + count, gradient[part])
        self.project(variables)
        return value


class Attack(OnTop):
    def learner(self, user: int) -> MixAware:
        data, options = self.data, self.options
        random = generator(data.seed, f"{data.stage}: mixes of attackers", user)
        networks = torch.stack([data.network.initial(random) for _ in range(options.networks)])
        multipliers = torch.from_numpy(random.integers(1, 2**31, data.settings.reptile.inner_batch))
        return MixAware(
            self.beneath.learner(user) or AttackLearner(data), networks, options.delta, multipliers, options.kept
        )
