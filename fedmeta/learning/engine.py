"""How episodes are executed: in this process, in worker processes, or all at once on a GPU.

An engine takes start models and a list of works, and returns the outcome of each. The works of one call are independent
of each other, and every random draw has a name. So the choice of engine never changes a byte of a CPU run's result, and
changes a GPU run's only by rounding.
"""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fedmeta.data.bank import Images
from fedmeta.data.episodes import Episode, Sampler
from fedmeta.errors import FedmetaError
from fedmeta.learning.reptile import Learner

# One learner for all episodes, or one for the episodes of each sampler; all have the same network.
Learners = Learner | Mapping[str, Learner]


class Start(NamedTuple):
    """A model to adapt, (P,), and Adam's state: the second moment, (P,), after `taken` steps.

    In both, what a user keeps beyond the network's parameters follows them: see `Learner.carried`.
    """

    parameters: Tensor
    second_moment: Tensor
    taken: int

    @classmethod
    def fresh(cls, parameters: Tensor) -> "Start":
        """Return `parameters` with Adam's initial state."""
        return cls(parameters, torch.zeros_like(parameters), 0)

    def second_moment_of(self, variables: Tensor) -> Tensor:
        """Return the second moment of a learner's variables, (V,): this one for those it covers, then zeros."""
        second_moment = torch.zeros_like(variables)
        second_moment[: len(self.second_moment)] = self.second_moment
        return second_moment


class Work(NamedTuple):
    """Adapt model number `start` to the episodes with these names, drawn by the sampler called `sampler`.

    Usually there is one episode. Several run one after the other, each from the same model, and Adam's second moment
    passes from one to the next (`adam: persist`).
    """

    start: int
    sampler: str
    episodes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Outcome:
    """The adapted model (the mean over the work's episodes) with Adam's state, and what was observed during the steps.

    `loss` is the last inner batch's, before its step; `scores` holds, for each observed iteration, the accuracy by
    metric.
    """

    adapted: Start | None
    loss: float
    scores: list[dict[str, float]] = field(default_factory=list)


def as_images(images: Images | np.ndarray | Tensor) -> Tensor:
    """Return uint8 (..., height, width, channels) as float32 in [0, 1], (..., channels, height, width)."""
    pixels = images if isinstance(images, Tensor) else torch.from_numpy(np.ascontiguousarray(images))
    return pixels.movedim(-1, -3).float().div_(255)


def check_finite(values: Tensor, name: tuple[int, ...]) -> None:
    """Raise FedmetaError when training has diverged."""
    if not bool(torch.isfinite(values).all()):
        raise FedmetaError(
            f"training diverged (NaN or infinity) in episode {name}: lower inner_learning_rate, "
            "federation.weight or attack.boost"
        )


def by_sampler(learners: Learners, samplers: Mapping[str, Sampler]) -> dict[str, Learner]:
    """Return the learner of each sampler's episodes."""
    return dict.fromkeys(samplers, learners) if isinstance(learners, Learner) else {**learners}


class Serial:
    """One process, one thread: the reference."""

    def __init__(self, learners: Learners, samplers: Mapping[str, Sampler]):
        self.learners, self.samplers = by_sampler(learners, samplers), samplers

    def __enter__(self) -> "Serial":
        prepare_process()
        return self

    def __exit__(self, *_) -> None:
        pass

    def share(self, shared: Tensor) -> None:
        """Give the learners the shared model, (P,), of the round that begins."""
        for learner in self.learners.values():
            learner.shared = shared

    def foresee(self, works: Sequence[Work]) -> None:
        """Announce the works that come next, to prepare them while others run. Here there is nothing to prepare."""

    def run(self, starts: Sequence[Start], works: Sequence[Work], observe: Sequence[int] = ()) -> Iterator[Outcome]:
        """Yield the outcome of each work, in order; with iterations to observe, scores there and no adapted models."""
        for work in works:
            yield self.run_work(starts[work.start], work, observe)

    def run_work(self, start: Start, work: Work, observe: Sequence[int]) -> Outcome:
        """Adapt to the work's episodes in order."""
        total: Tensor | None = None
        second_moment: Tensor | None = None
        taken, scores, loss = start.taken, [], 0.0
        learner = self.learners[work.sampler]
        for names in work.episodes:
            variables = learner.start(start.parameters, names)
            if second_moment is None:
                second_moment = start.second_moment_of(variables)
            episode = self.samplers[work.sampler].draw(*names)
            loss = self.adapt(learner, variables, second_moment, taken, episode, observe, scores)
            if not observe and len(episode.queries):
                queries = as_images(episode.queries), torch.from_numpy(episode.expected)
                variables = learner.outcome(start.parameters, variables, *queries)
            check_finite(variables, names)
            taken += len(episode.batches)
            total = variables if total is None else total + variables
        if observe:
            return Outcome(None, loss, scores)
        assert total is not None and second_moment is not None, "a work has episodes"
        return Outcome(Start(total / len(work.episodes), second_moment, taken), loss)

    @staticmethod
    def adapt(learner: Learner, variables, second_moment, taken, episode: Episode, observe, scores: list) -> float:
        """Take the episode's inner steps in place; append the scores at the observed iterations; return the loss."""
        support, labels = as_images(episode.support), torch.from_numpy(episode.labels)
        queries = as_images(episode.queries) if observe else support[:0]
        loss, wanted = 0.0, set(observe)
        for iteration in range(max(observe, default=len(episode.batches)) + 1):
            if iteration:
                rows = torch.from_numpy(episode.batches[iteration - 1])
                loss = learner.step(variables, second_moment, taken, iteration, support, labels, rows)
            if iteration in wanted:
                with torch.no_grad():
                    predicted = learner.predict(variables, support, labels, queries)
                scores.append(episode.score(predicted.numpy()))
        return loss


class Workers:
    """`count` processes with one thread each; model vectors pass through shared memory.

    Each process runs `Serial`, so the results are the same bytes for any `count`.
    """

    def __init__(self, learners: Learners, samplers: Mapping[str, Sampler], count: int, starts: int, works: int):
        """`starts` and `works` are the largest numbers of each in one call; observed works do not count."""
        self.serial, self.count = Serial(learners, samplers), count
        self.any_learner = next(iter(self.serial.learners.values()))
        size = max(learner.carried for learner in self.serial.learners.values())
        self.starts = torch.zeros(starts, 2, size).share_memory_()
        self.adapted = torch.zeros(works, 2, size).share_memory_()
        self.shared = torch.zeros(self.any_learner.network.parameter_count).share_memory_()
        self.serial.share(self.shared)

    def __enter__(self) -> "Workers":
        prepare_process()
        self.any_learner.trainer.warm_up()  # compiled here once, not in each process
        context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
        shared = (self.serial, self.starts, self.adapted)
        self.pool = ProcessPoolExecutor(self.count, context, _initialise_worker, shared)
        return self

    def __exit__(self, error, *_) -> None:
        if error is not None:
            for process in multiprocessing.active_children():
                process.terminate()
        self.pool.shutdown(cancel_futures=error is not None)

    def share(self, shared: Tensor) -> None:
        """As `Serial.share`."""
        self.shared.copy_(shared)

    def foresee(self, works: Sequence[Work]) -> None:
        """As `Serial.foresee`."""

    def run(self, starts: Sequence[Start], works: Sequence[Work], observe: Sequence[int] = ()) -> Iterator[Outcome]:
        """As `Serial.run`. Take all outcomes before the next call, which uses the same memory."""
        for slot, start in zip(self.starts, starts, strict=False):
            slot[0, : len(start.parameters)], slot[1, : len(start.parameters)] = start.parameters, start.second_moment
        lengths = [len(starts[work.start].parameters) for work in works]
        calls = [
            (slot, length, starts[work.start].taken, work, tuple(observe))
            for slot, (length, work) in enumerate(zip(lengths, works, strict=True))
        ]
        try:
            for slot, (taken, loss, scores) in enumerate(self.pool.map(_run_in_worker, calls)):
                if observe:
                    yield Outcome(None, loss, scores)
                    continue
                parameters, second_moment = self.adapted[slot, :, : lengths[slot]].clone()
                yield Outcome(Start(parameters, second_moment, taken), loss, scores)
        except BrokenProcessPool:
            raise FedmetaError(
                "a worker process was killed, probably out of memory: run again, with fewer --cores if it recurs"
            ) from None


_worker: tuple[Serial, Tensor, Tensor]


def _initialise_worker(serial: Serial, starts: Tensor, adapted: Tensor) -> None:
    global _worker
    _worker = (serial, starts, adapted)
    # Ctrl-C reaches every process of a terminal: the parent ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    prepare_process()
    threading.Thread(target=_follow_parent, daemon=True).start()


def _follow_parent() -> None:
    """End this process when its parent ends, however that happens: no orphan keeps computing."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "this is a worker"
    parent.join()
    os._exit(1)


def _run_in_worker(call: tuple[int, int, int, Work, tuple[int, ...]]) -> tuple[int, float, list]:
    slot, length, taken, work, observe = call
    serial, starts, adapted = _worker
    start = Start(starts[work.start, 0, :length], starts[work.start, 1, :length], taken)
    outcome = serial.run_work(start, work, observe)
    if outcome.adapted is None:
        return taken, outcome.loss, outcome.scores
    adapted[slot, 0, :length], adapted[slot, 1, :length] = outcome.adapted.parameters, outcome.adapted.second_moment
    return outcome.adapted.taken, outcome.loss, []


def prepare_process() -> None:
    """Set one thread, and an allocator that keeps its memory, for a process that runs episodes on the CPU.

    Activations above glibc's mmap threshold would be mapped and unmapped in every step; their page faults cost a
    quarter of the time.
    """
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)  # Adam's second moment of a dead filter decays to numbers that are slow to compute
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # only glibc has it
        if mallopt is not None:
            trim_threshold, mmap_threshold, keep = -1, -3, 1 << 30
            mallopt(mmap_threshold, keep)
            mallopt(trim_threshold, keep)
