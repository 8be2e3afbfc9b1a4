"""The defence of Sec. 4: a matching network, fine-tuned by a benign user on its support set alone.

The class of an image is the one to which attention over the support set gives the most weight; the decision layer
of the shared model, which the attacker trained, is not used.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from fedmeta.defences.glorot_mix import Delta, GlorotMix, Norms
from fedmeta.defences.interface import Rates
from fedmeta.learning.conv4 import Conv4
from fedmeta.learning.reptile import Learner, Segments
from fedmeta.settings.fields import DefenceOptions, Factor, Number, Several


class Options(DefenceOptions):
    iterations: Several[Number] = Field(
        (0, 5, 10, 20, 30, 40, 50), description="at which accuracy is measured; training stops at the highest"
    )
    delta: Delta = Field(
        0.3,
        description="share of the shared model in the Glorot mix, or a list with one per module; 0: a fresh network",
    )
    norms: Norms = Field(
        "shared",
        description="norms of mixed kernels: shared, as in the shared model (the paper); fresh, as in the fresh draw",
    )
    warm_up: Number = Field(10, description="first iterations, which train gates and scales alone")
    gates: bool = Field(True, description="alpha_l of the attention; false: all at one")
    scales: bool = Field(True, description="beta_l of the attention; false: all at one")
    scale: Factor = Field(10.0, description="initial beta_l")


def attention(queries: Tensor, support: Tensor, member: Tensor, gates: Tensor, scales: Tensor) -> Tensor:
    """Return the attention logits c(alpha_l * f(query), f(support)) beta_l, (query, support), l the support's class.

    queries: (query, d) and support: (support, d) embeddings; member: (class, support), 1 where the image is of the
    class; gates: (class, d), alpha in [0, 1]; scales: (class,), beta; c: cosine similarity.
    """
    gated = F.normalize(queries[:, None] * gates, dim=-1, eps=1e-8)
    similarity = gated @ F.normalize(support, dim=-1, eps=1e-8).T
    return (similarity * (member * scales[:, None])).sum(-2)


def class_log_probabilities(logits: Tensor, member: Tensor) -> Tensor:
    """Return log P(class | query), (query, class): the softmax attention, summed over each class's support."""
    log_attention = F.log_softmax(logits, -1)
    return torch.logsumexp(log_attention[:, None] + member.log(), -1)


class Matching(Learner):
    """Matching network with gates alpha and scales beta, started from a Glorot mix.

    Variables: the network's parameters, then gates (way, d), then scales (way,). The first `warm_up` iterations
    train gates and scales with the embedding fixed; then all are trained jointly. Training is leave-one-out over
    the support set: an inner batch is the query, and an image never attends to itself.
    """

    def __init__(self, network: Conv4, rates: Rates, mix: GlorotMix, options: Options):
        """`options.scale` is the initial beta; without `options.gates`, or `options.scales`, these stay at one."""
        super().__init__(network, *rates)
        self.mix, self.warm_up, self.scale = mix, options.warm_up, options.scale
        self.gated, self.scaled = options.gates, options.scales
        self.gates = network.ways * network.embedding_size

    def start(self, parameters: Tensor, names: Sequence[int]) -> Tensor:
        mixed = self.mix.start(self.network, parameters, names)
        variables = torch.cat([mixed, torch.ones(self.gates), torch.full((self.network.ways,), self.scale)])
        self.project(variables)
        return variables

    def split(self, variables: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return views (parameters, gates (way, d), scales (way,)) of the variables."""
        size = self.network.parameter_count
        gates = variables[..., size : size + self.gates].unflatten(-1, (self.network.ways, -1))
        return variables[..., :size], gates, variables[..., size + self.gates :]

    def segments(self, iteration: int) -> Segments:
        size = self.network.parameter_count
        head = [(slice(size, None), iteration)]
        return head if iteration <= self.warm_up else [(slice(size), iteration - self.warm_up), *head]

    def loss(self, variables, support, labels, rows):
        parameters, gates, scales = self.split(variables)
        features, statistics = self.network.features(self.network.views(parameters), support)
        return self.leave_one_out(features, gates, scales, labels, rows), statistics

    def membership(self, labels: Tensor, dtype: torch.dtype) -> Tensor:
        """Return (class, support), 1 where the image is of the class."""
        return (labels == torch.arange(self.network.ways, device=labels.device)[:, None]).to(dtype)

    def leave_one_out(self, features: Tensor, gates: Tensor, scales: Tensor, labels: Tensor, rows: Tensor) -> Tensor:
        """Return the mean negative log-likelihood of the images `rows`; each attends to all the support but itself."""
        member = self.membership(labels, features.dtype)
        itself = rows[:, None] == torch.arange(len(labels), device=rows.device)
        logits = attention(features[rows], features, member, gates, scales).masked_fill(itself, -torch.inf)
        return F.nll_loss(class_log_probabilities(logits, member), labels[rows])

    def predict(self, variables, support, labels, queries):
        flat, gates, scales = self.split(variables)
        parameters = self.network.views(flat)
        member = self.membership(labels, support.dtype)
        references, own = self.network.features(parameters, support)
        statistics = own
        if self.network.batch_norm == "running":
            statistics = self.network.test_statistics(parameters, support)
            references = self.network.features(parameters, support, statistics)[0]
        features = self.network.features(parameters, queries, statistics)[0]
        return class_log_probabilities(attention(features, references, member, gates, scales), member).argmax(-1)

    def step(self, variables, second_moment, taken, iteration, support, labels, rows):
        """As `Learner.step`, by the trainer's hand-written passes through the embedding."""
        size = self.network.parameter_count
        parameters, head = variables[:size], variables[size:].clone().requires_grad_()
        gates, scales = head[: self.gates].unflatten(0, (self.network.ways, -1)), head[self.gates :]

        def loss(features: Tensor) -> Tensor:
            return self.leave_one_out(features, gates, scales, labels, rows)

        if iteration <= self.warm_up:
            with torch.no_grad():
                features = self.network.features(self.network.views(parameters), support)[0]
            warming = loss(features)
            warming.backward()
            value = warming.item()
        else:
            value, gradient = self.trainer.embedding_gradient(parameters, support, loss)
            self.trainer.adam(parameters, second_moment[:size], taken + iteration - self.warm_up, gradient)
        assert head.grad is not None, "the loss reads the head"
        self.trainer.adam(variables[size:], second_moment[size:], taken + iteration, head.grad)
        self.project(variables)
        return value

    def note_statistics(self, variables, iteration, statistics, support, rows):
        """As `Learner.note_statistics`: the batch is all the support, and the warm-up leaves the embedding fixed."""
        if iteration > self.warm_up:
            super().note_statistics(variables, iteration, statistics, support, slice(None))

    def project(self, variables: Tensor) -> None:
        _, gates, scales = self.split(variables)
        gates.clamp_(0 if self.gated else 1, 1)
        if not self.scaled:
            scales.fill_(1)


def learner(network: Conv4, options: Options, rates: Rates, seed: tuple[int, int]) -> Matching:
    return Matching(network, rates, GlorotMix(options.delta, options.norms, seed), options)
