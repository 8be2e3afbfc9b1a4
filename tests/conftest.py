"""A small federation on random images, and the tools that several tests share."""

import numpy as np
import pytest
import torch

from fedmeta.data.bank import ImageBank, ImageClass
from fedmeta.data.episodes import BenignEpisodes, EpisodeShape
from fedmeta.learning.conv4 import Conv4


def make_bank(classes: int, examples: int, size: int = 16, channels: int = 1, seed: int = 0) -> ImageBank:
    """Return a bank of noisy images around one random pattern a class, so that there is something to learn."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 2, (classes, 1, size, size, channels)) * 200
    noise = random.integers(0, 56, (classes, examples, size, size, channels))
    images = (patterns + noise).astype(np.uint8).reshape(-1, size, size, channels)
    table = [ImageClass(f"class {k}", 0, k, k * examples, examples) for k in range(classes)]
    return ImageBank(images, table)


@pytest.fixture
def bank() -> ImageBank:
    return make_bank(12, 12)


@pytest.fixture
def pool(bank) -> list[np.ndarray]:
    return [bank.rows(k) for k in range(len(bank.classes))]


@pytest.fixture
def network() -> Conv4:
    return Conv4(1, 16, 3, filters=8)


@pytest.fixture
def samplers(bank, pool):
    shape = EpisodeShape(way=3, shot=4, inner_steps=3, inner_batch=5)
    return {f"user {user}": BenignEpisodes(bank, pool[user : user + 8], shape, 7, "test") for user in (1, 2, 3)}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
