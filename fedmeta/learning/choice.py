"""Which engine runs the episodes, by its name in the config."""

from collections.abc import Mapping

import torch

from fedmeta.data.episodes import Sampler
from fedmeta.learning.batched import Batched
from fedmeta.learning.engine import Learners, Serial, Workers


def choose_engine(
    kind: str, learners: Learners, samplers: Mapping[str, Sampler], threads: int, starts: int, works: int
) -> Serial | Workers | Batched:
    """Return the engine called `kind`: serial, workers, batched, batched-tf32, or auto (batched on CUDA, else workers).

    Only with batched-tf32 does a GPU round what it multiplies to TensorFloat-32 (10 bits, not 23), which is faster.

    `threads`: worker processes; `starts` and `works`: as for `Workers`.
    """
    if kind == "auto":
        kind = "batched" if torch.cuda.is_available() else "workers"
    if kind.startswith("batched"):
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = kind == "batched-tf32"
        return Batched(learners, samplers, "cuda" if torch.cuda.is_available() else "cpu")
    if kind == "serial" or threads == 1:
        return Serial(learners, samplers)
    return Workers(learners, samplers, threads, starts, works)
