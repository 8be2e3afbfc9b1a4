"""The inner steps of many episodes at once, on tensors that stay in place, so that a GPU can replay them as a graph.

A step is about a hundred small operations; launching each from Python costs more than most of them. On CUDA a step is
captured once and replayed (CUDA graphs). Elsewhere the same step is called, so tests see what is captured.
"""

import logging
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from fedmeta.learning.reptile import Learner

logger = logging.getLogger(__name__)

WARM_UP = 3  # calls before a capture, as PyTorch's notes on CUDA graphs require
Offsets = tuple[tuple[int | None, int | None, int], ...]  # of segments: start, stop, Adam step minus the iteration


class InnerSteps:
    """Takes the inner steps of W works of equal shapes, in place. `load` gives it new ones of the same shapes.

    What a step does may depend on the iteration's number only through `Learner.segments`: a step recorded for one
    iteration serves all with the same segments, relative to the iteration.
    """

    def __init__(self, learner: Learner, gradient: Callable, width: int, device: str):
        """`gradient(variables, support, labels, rows)` gives (W, V) and (losses, statistics), as vmap does."""
        self.learner, self.gradient, self.width, self.device = learner, gradient, width, device
        self.number = torch.zeros((), dtype=torch.long, device=device)
        self.losses = torch.zeros(width, device=device)
        self.recorded: dict[Offsets, Callable[[], object]] = {}
        self.variables = self.second_moments = self.taken = self.support = self.labels = self.rows = torch.empty(0)
        self.batches = torch.empty(0)

    def load(
        self, variables: Tensor, second_moments: Tensor, taken: Tensor, support: Tensor, labels: Tensor, batches: Tensor
    ) -> None:
        """Load other works: variables and second moments (W, V), `taken` (W,), support, labels, batches.

        `support` is (W, n, channels, size, size), `labels` (W, n), `batches` (iterations, W, b).
        """
        given = (variables, second_moments, taken, support, labels, batches.new_zeros(batches.shape[1:]))
        names = ("variables", "second_moments", "taken", "support", "labels", "rows")
        for name, tensor in zip(names, given, strict=True):
            own = getattr(self, name)
            if own.shape == tensor.shape:
                own.copy_(tensor)
            else:
                setattr(self, name, tensor.to(self.device, copy=True))
                self.recorded.clear()
        self.batches = batches.to(self.device)

    def take(self, iteration: int) -> None:
        """Take an iteration, counted from 1; its losses, (W,), are in `losses`."""
        offsets = tuple((part.start, part.stop, count - iteration) for part, count in self.learner.segments(iteration))
        self.rows.copy_(self.batches[iteration - 1])
        self.number.fill_(iteration)
        if offsets not in self.recorded:
            self.recorded[offsets] = self.record(partial(self.step, offsets, iteration))
        self.recorded[offsets]()

    def step(self, offsets: Offsets, iteration: int) -> None:
        """Take the step whose number is in `number`; `iteration` is one with the same segments."""
        learner, trainer = self.learner, self.learner.trainer
        gradients, (losses, statistics) = self.gradient(self.variables, self.support, self.labels, self.rows)
        learner.note_statistics(self.variables, iteration, statistics, self.support[0], self.rows[0])
        for start, stop, offset in offsets:
            part = slice(start, stop)
            gradient, moment = gradients[:, part], self.second_moments[:, part]
            moment.mul_(trainer.beta2).addcmul_(gradient, gradient, value=1 - trainer.beta2)
            counts = self.taken + self.number + offset
            correction = torch.sqrt(-torch.expm1(counts * math.log(trainer.beta2)))[:, None]
            denominator = moment.sqrt().div_(correction).add_(trainer.epsilon)
            self.variables[:, part].addcdiv_(gradient, denominator, value=-trainer.learning_rate)
        learner.project(self.variables)
        self.losses.copy_(losses)

    def record(self, step: Callable[[], None]) -> Callable[[], object]:
        """Return a step as a graph of the device, or as it is if the device has none. Recording changes no state."""
        if not self.device.startswith("cuda"):
            return step
        kept = self.variables.clone(), self.second_moments.clone()
        try:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    step()
            torch.cuda.current_stream().wait_stream(stream)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                step()
            replay: Callable[[], object] = graph.replay
        except RuntimeError as error:
            logger.warning("a step cannot be captured as a CUDA graph, launching its operations one by one: %s", error)
            replay = step
        for own, before in zip((self.variables, self.second_moments), kept, strict=True):
            own.copy_(before)
        return replay
