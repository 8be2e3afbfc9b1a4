"""All episodes of a call advance together on one device: the engine for a GPU.

Every episode has its own parameters, batch statistics and Adam state; `torch.vmap` runs the learner's pure loss over
them. Images are gathered on the device, episodes are drawn ahead in a thread, and nothing waits for the device inside
the inner loop.
"""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value, vmap

from fedmeta.data.episodes import Episode, EpisodeShape, Sampler
from fedmeta.errors import FedmetaError
from fedmeta.learning.conv4 import MODULES
from fedmeta.learning.convolution import WAYS, convolved_by
from fedmeta.learning.device_images import DeviceImages
from fedmeta.learning.engine import Learners, Outcome, Start, Work, as_images, by_sampler, check_finite
from fedmeta.learning.inner_steps import InnerSteps
from fedmeta.learning.reptile import Learner

logger = logging.getLogger(__name__)

WIDTH_OF_CPU = 64
MOST = 512  # episodes side by side: more are no faster, and their results come late
SHARE = 0.5  # of a GPU's free memory that the episodes may take
COPIES = 6  # of each activation that a step holds at once: patches' gradients, normalised, pooled and so on
PATCH = 9
REPETITIONS = 5  # of each way to convolve, timed before a run on a GPU


class Batched:
    """Runs at most `width` episodes at a time, side by side; None: as many as the device has memory for."""

    def __init__(self, learners: Learners, samplers: Mapping[str, Sampler], device: str, width: int | None = None):
        self.learners = by_sampler(learners, samplers)
        self.samplers, self.device = samplers, device
        self.width = width or width_for(self.learners, samplers, device)
        each = set(self.learners.values())
        self.gradients = {learner: vmap(grad_and_value(learner.loss, has_aux=True)) for learner in each}
        self.predictions = {learner: vmap(learner.predict) for learner in each}
        self.outcomes = {learner: vmap(learner.outcome) for learner in each}
        self.images = DeviceImages(device)
        self.steps: dict[tuple, InnerSteps] = {}
        self.way = "grouped" if device == "cpu" else ""  # "": to be measured
        self.drawn: dict[tuple, Future[Episode]] = {}
        self.shared: Tensor | None = None

    def __enter__(self) -> "Batched":
        self.thread = ThreadPoolExecutor(1, "draws")
        return self

    def __exit__(self, *_) -> None:
        self.thread.shutdown(cancel_futures=True)

    def share(self, shared: Tensor) -> None:
        """As `fedmeta.learning.engine.Serial.share`."""
        if self.shared is None:
            self.shared = shared.to(self.device, copy=True)
        self.shared.copy_(shared)  # in place: recorded steps read it there
        for learner in set(self.learners.values()):
            learner.shared = self.shared

    def foresee(self, works: Sequence[Work]) -> None:
        """As `fedmeta.learning.engine.Serial.foresee`: draw their episodes while the device is busy."""
        for work in works:
            for names in work.episodes:
                key = (work.sampler, names)
                if key not in self.drawn:
                    self.drawn[key] = self.thread.submit(self.samplers[work.sampler].draw, *names)

    def draw(self, work: Work, names: tuple[int, ...]) -> Episode:
        """Return an episode, drawn ahead if it was foreseen."""
        ahead = self.drawn.pop((work.sampler, names), None)
        return ahead.result() if ahead else self.samplers[work.sampler].draw(*names)

    def run(self, starts: Sequence[Start], works: Sequence[Work], observe: Sequence[int] = ()) -> Iterator[Outcome]:
        """As `fedmeta.learning.engine.Serial.run`."""
        for first in range(0, len(works), self.width):
            window = works[first : first + self.width]
            self.foresee(works[first + self.width : first + 2 * self.width])
            outcomes: dict[int, Outcome] = {}
            for places in self.alike(window):
                together = self.run_together(starts, [window[place] for place in places], observe)
                outcomes |= zip(places, together, strict=True)
            yield from (outcomes[place] for place in range(len(window)))

    def alike(self, works: Sequence[Work]) -> list[list[int]]:
        """Return the places of works that can be stacked: with the same learner, number of episodes and shape.

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
            episodes = [self.draw(work, n) for work, n in zip(works, names, strict=True)]
            steps, losses = self.adapt(learner, variables, second_moments, taken, episodes, observe, scores)
            variables, second_moments = steps.variables.clone(), steps.second_moments.clone()
            if not observe and len(episodes[0].queries):
                variables = self.conclude(learner, own, variables, episodes)
            self.check_finite(variables, names)
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
        """Return the outcomes of the episodes, which have equally many queries."""
        begun = torch.stack([start.parameters for start in own]).to(self.device)
        queries = as_images(self.images.stacked([episode.queries for episode in episodes]))
        labels = torch.from_numpy(np.stack([episode.expected for episode in episodes])).to(self.device)
        return self.outcomes[learner](begun, variables, queries, labels)

    def check_finite(self, variables: Tensor, names: Sequence[tuple[int, ...]]) -> None:
        """As `fedmeta.learning.engine.check_finite`, for each row; waits for the device once."""
        if not bool(torch.isfinite(variables).all()):
            for row, name in zip(variables, names, strict=True):
                check_finite(row, name)

    def adapt(
        self, learner: Learner, variables: Tensor, second_moments: Tensor, taken: Tensor, episodes, observe, scores
    ) -> tuple[InnerSteps, list[float]]:
        """Take the inner steps of all episodes; return them, with their results, and the last losses."""
        support = as_images(self.images.stacked([episode.support for episode in episodes]))
        labels = torch.from_numpy(np.stack([episode.labels for episode in episodes])).to(self.device)
        batches = torch.from_numpy(np.stack([episode.batches for episode in episodes], 1))
        steps = self.steps_of(learner, len(episodes), support.shape[1:], batches.shape[1:])
        steps.load(variables, second_moments, taken, support, labels, batches)
        wanted, iterations = set(observe), max(observe, default=len(batches))
        with convolved_by(WAYS[self.way or (self.fastest(steps) if iterations else "grouped")]):
            for iteration in range(iterations + 1):
                if iteration:
                    steps.take(iteration)
                if iteration in wanted:
                    self.observe(learner, steps.variables, support, labels, episodes, scores)
        return steps, steps.losses.tolist() if iterations else [0.0] * len(episodes)

    def steps_of(self, learner: Learner, count: int, *shapes: Sequence[int]) -> InnerSteps:
        """Return the steps of this number of works of these shapes, recorded already if there were such works."""
        key = (learner, count, *map(tuple, shapes))
        if key not in self.steps:
            self.steps[key] = InnerSteps(learner, self.gradients[learner], count, self.device)
        return self.steps[key]

    def fastest(self, steps: InnerSteps) -> str:
        """Return the fastest way to convolve here. It is measured once, with the gradient of a step."""
        given = steps.variables, steps.support, steps.labels, steps.batches[0]
        seconds = {}
        for name, way in WAYS.items():
            with convolved_by(way):
                self.gradients[steps.learner](*given)  # what is compiled or chosen at the first call does not count
                torch.cuda.synchronize()
                began = time.perf_counter()
                for _ in range(REPETITIONS):
                    self.gradients[steps.learner](*given)
                torch.cuda.synchronize()
                seconds[name] = (time.perf_counter() - began) / REPETITIONS
        self.way = min(seconds, key=seconds.__getitem__)
        measured = ", ".join(f"{name} {1000 * each:.2f} ms" for name, each in seconds.items())
        logger.info("convolving by %s (gradient of a step: %s)", self.way, measured)
        return self.way

    def observe(self, learner: Learner, variables, support, labels, episodes, scores: list[list]) -> None:
        """Append each episode's scores; queries are padded to the longest set."""
        queries = as_images(self.images.stacked([episode.queries for episode in episodes]))
        with torch.no_grad():
            predicted = self.predictions[learner](variables, support, labels, queries).cpu().numpy()
        for episode, own, row in zip(episodes, scores, predicted, strict=True):
            own.append(episode.score(row[: len(episode.queries)]))


def width_for(learners: Mapping[str, Learner], samplers: Mapping[str, Sampler], device: str) -> int:
    """Return how many episodes may run side by side: on a GPU, as many as half of its free memory holds.

    Raises FedmetaError if the GPU has no room for one.
    """
    if device == "cpu":
        return WIDTH_OF_CPU
    free, _ = torch.cuda.mem_get_info()
    one = max(bytes_of(learner, samplers[name].shape) for name, learner in learners.items())
    if one > free:
        raise FedmetaError(
            f"an episode takes about {one / 2**20:.0f} MiB, but the GPU has only {free / 2**20:.0f} MiB free: "
            "free some, or set engine: workers"
        )
    return int(min(MOST, max(1, SHARE * free / one)))


def bytes_of(learner: Learner, shape: EpisodeShape) -> int:
    """Return roughly how much memory an episode takes: activations of its whole support, variables and gradients."""
    network, images = learner.network, shape.way * shape.shot
    numbers, channels = 4 * learner.carried, network.channels
    for i in range(MODULES):
        pixels = images * (network.size >> i) ** 2
        numbers += pixels * (2 * PATCH * channels + COPIES * network.filters)
        channels = network.filters
    return 4 * numbers
