"""Banks of random images, for tests."""

import numpy as np

from fedmeta.data.bank import ImageBank, ImageClass


def make_bank(classes: int, examples: int, size: int = 16, channels: int = 1, seed: int = 0) -> ImageBank:
    """Return a bank of noisy images around one random pattern a class, so that there is something to learn."""
    random = np.random.default_rng(seed)
    patterns = random.integers(0, 2, (classes, 1, size, size, channels)) * 200
    noise = random.integers(0, 56, (classes, examples, size, size, channels))
    images = (patterns + noise).astype(np.uint8).reshape(-1, size, size, channels)
    table = [ImageClass(f"class {k}", 0, k, k * examples, examples) for k in range(classes)]
    return ImageBank(images, table)
