"""Which engine runs the episodes, by its name in the config."""

from collections.abc import Mapping

import torch

from fedmeta.data.episodes import Sampler
from fedmeta.learning.batched import Batched
from fedmeta.learning.engine import Learners, Serial, Workers


def choose_engine(
    kind: str, learners: Learners, samplers: Mapping[str, Sampler], threads: int, starts: int, works: int
) -> Serial | Workers | Batched:
    """Return the engine called `kind`: serial, workers, batched, or auto (batched on CUDA, else workers).

    `threads`: worker processes; `starts` and `works`: as for `Workers`.
    """
    if kind == "auto":
        kind = "batched" if torch.cuda.is_available() else "workers"
    if kind == "batched":
        return Batched(learners, samplers, "cuda" if torch.cuda.is_available() else "cpu")
    if kind == "serial" or threads == 1:
        return Serial(learners, samplers)
    return Workers(learners, samplers, threads, starts, works)
