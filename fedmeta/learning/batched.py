"""All episodes of a call advance together on one device: the engine for a GPU.

Every episode has its own parameters, batch statistics and Adam state; `torch.vmap` runs the learner's pure loss over
them. Images stay uint8 on the device until they are used, and nothing waits for the device inside the inner loop.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from fedmeta.data.episodes import Episode, Sampler
from fedmeta.learning.engine import Learners, Outcome, Start, Work, as_images, by_sampler, check_finite
from fedmeta.learning.reptile import Learner


class Batched:
    """Runs at most `width` episodes at a time, side by side."""

    def __init__(self, learners: Learners, samplers: Mapping[str, Sampler], device: str, width: int = 64):
        self.learners = by_sampler(learners, samplers)
        self.samplers, self.device, self.width = samplers, device, width
        each = set(self.learners.values())
        self.gradients = {learner: vmap(grad_and_value(learner.loss, has_aux=True)) for learner in each}
        self.predictions = {learner: vmap(learner.predict) for learner in each}
        self.outcomes = {learner: vmap(learner.outcome) for learner in each}

    def __enter__(self) -> "Batched":
        return self

    def __exit__(self, *_) -> None:
        pass

    def share(self, shared: Tensor) -> None:
        """As `fedmeta.learning.engine.Serial.share`."""
        for learner in set(self.learners.values()):
            learner.shared = shared.to(self.device)

    def run(self, starts: Sequence[Start], works: Sequence[Work], observe: Sequence[int] = ()) -> Iterator[Outcome]:
        """As `fedmeta.learning.engine.Serial.run`."""
        for first in range(0, len(works), self.width):
            window = works[first : first + self.width]
            outcomes: dict[int, Outcome] = {}
            for places in self.alike(window):
                together = self.run_together(starts, [window[place] for place in places], observe)
                outcomes |= zip(places, together, strict=True)
            yield from (outcomes[place] for place in range(len(window)))

    def alike(self, works: Sequence[Work]) -> list[list[int]]:
        """Return the places of works that can be stacked: of one learner, equally many episodes, of equal shape.

        In the attacked round the attacker's episodes have more inner steps than benign ones, and meta-batches differ.
        """
        groups: dict[tuple, list[int]] = {}
        for place, work in enumerate(works):
            alike = (self.learners[work.sampler], self.samplers[work.sampler].shape, len(work.episodes))
            groups.setdefault(alike, []).append(place)
        return list(groups.values())

    def run_together(self, starts: Sequence[Start], works: Sequence[Work], observe: Sequence[int]) -> list[Outcome]:
        """Run works that are alike, one episode of each at a time."""
        learner = self.learners[works[0].sampler]
        own = [starts[work.start] for work in works]
        taken = torch.tensor([start.taken for start in own], device=self.device)
        second_moments: Tensor | None = None
        total: Tensor | None = None
        losses: list[float] = []
        scores: list[list[dict[str, float]]] = [[] for _ in works]
        for names in zip(*(work.episodes for work in works), strict=True):
            variables = torch.stack([learner.start(s.parameters, n) for s, n in zip(own, names, strict=True)])
            variables = variables.to(self.device)
            if second_moments is None:
                second_moments = torch.zeros_like(variables)
                begun = torch.stack([start.second_moment for start in own])
                second_moments[:, : begun.shape[1]] = begun
            episodes = [self.samplers[work.sampler].draw(*n) for work, n in zip(works, names, strict=True)]
            losses = self.adapt(learner, variables, second_moments, taken, episodes, observe, scores)
            if not observe and len(episodes[0].queries):
                variables = self.conclude(learner, own, variables, episodes)
            for row, n in zip(variables, names, strict=True):
                check_finite(row, n)
            taken = taken + len(episodes[0].batches)
            total = variables if total is None else total + variables
        if observe:
            return [Outcome(None, loss, s) for loss, s in zip(losses, scores, strict=True)]
        assert total is not None and second_moments is not None, "a work has episodes"
        adapted = zip((total / len(works[0].episodes)).cpu(), second_moments.cpu(), taken.tolist(), strict=True)
        return [Outcome(Start(*state), loss) for state, loss in zip(adapted, losses, strict=True)]

    def conclude(
        self, learner: Learner, own: Sequence[Start], variables: Tensor, episodes: Sequence[Episode]
    ) -> Tensor:
        """Return what comes of the episodes, of equally many queries each."""
        begun = torch.stack([start.parameters for start in own]).to(self.device)
        queries = as_images(np.stack([episode.queries for episode in episodes]), self.device)
        labels = torch.from_numpy(np.stack([episode.expected for episode in episodes])).to(self.device)
        return self.outcomes[learner](begun, variables, queries, labels)

    def adapt(
        self, learner: Learner, variables: Tensor, second_moments: Tensor, taken: Tensor, episodes, observe, scores
    ) -> list[float]:
        """Take the inner steps of all episodes in place; as `fedmeta.learning.engine.Serial.adapt`."""
        support = as_images(np.stack([episode.support for episode in episodes]), self.device)
        labels = torch.from_numpy(np.stack([episode.labels for episode in episodes])).to(self.device)
        batches = torch.from_numpy(np.stack([episode.batches for episode in episodes], 1)).to(self.device)
        losses, wanted = torch.zeros(len(episodes)), set(observe)
        for iteration in range(max(observe, default=len(batches)) + 1):
            if iteration:
                losses = self.descend(
                    learner, variables, second_moments, taken, iteration, support, labels, batches[iteration - 1]
                )
            if iteration in wanted:
                self.observe(learner, variables, support, labels, episodes, scores)
        return losses.tolist()

    def descend(self, learner: Learner, variables, second_moments, taken, iteration, support, labels, rows) -> Tensor:
        """Take one inner step of all episodes in place; return their losses."""
        trainer = learner.trainer
        gradients, (losses, statistics) = self.gradients[learner](variables, support, labels, rows)
        learner.note_statistics(variables, iteration, statistics, support[0], rows[0])
        for part, count in learner.segments(iteration):
            gradient, moment = gradients[:, part], second_moments[:, part]
            moment.mul_(trainer.beta2).addcmul_(gradient, gradient, value=1 - trainer.beta2)
            correction = torch.sqrt(-torch.expm1((taken + count) * math.log(trainer.beta2)))[:, None]
            denominator = moment.sqrt().div_(correction).add_(trainer.epsilon)
            variables[:, part].addcdiv_(gradient, denominator, value=-trainer.learning_rate)
        for row in variables:
            learner.project(row)
        return losses

    def observe(self, learner: Learner, variables, support, labels, episodes, scores: list[list]) -> None:
        """Append each episode's scores; queries are padded to the longest set."""
        longest = max(len(episode.queries) for episode in episodes)
        padded = [np.resize(episode.queries, (longest, *episode.queries.shape[1:])) for episode in episodes]
        with torch.no_grad():
            predicted = (
                self.predictions[learner](variables, support, labels, as_images(np.stack(padded), self.device))
                .cpu()
                .numpy()
            )
        for episode, own, row in zip(episodes, scores, predicted, strict=True):
            own.append(episode.score(row[: len(episode.queries)]))
