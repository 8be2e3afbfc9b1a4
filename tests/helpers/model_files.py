"""Files of shared models as training leaves them, of random numbers."""

from pathlib import Path

import numpy as np
import torch

from fedmeta.checkpoints import write_tensors
from fedmeta.federation.models import to_named
from fedmeta.federation.rounds import Federation
from fedmeta.learning.conv4 import Conv4


def random_model(network: Conv4, seed: int) -> torch.Tensor:
    """Return a fresh draw's kernels; all else random around what it is in a fresh model."""
    random = np.random.default_rng(seed)
    flat = network.initial(random)
    for name, view in network.views(flat).items():
        if not name.endswith("kernel"):
            view.add_(torch.from_numpy(random.uniform(-0.3, 0.3, tuple(view.shape))))
    return flat


def write_random_model(path: Path, network: Conv4, seed: int, users: tuple[int, ...] = (2, 3)) -> str:
    """Write a random model with the Adam states of these users after 6 steps; return the path."""
    moments = {user: 1e-3 * torch.rand(network.parameter_count) for user in users}
    federation = Federation(random_model(network, seed), moments, dict.fromkeys(users, 6))
    write_tensors(path, to_named(network, federation), {})
    return str(path)
