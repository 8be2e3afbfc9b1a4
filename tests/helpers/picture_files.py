"""Pictures in files, for tests."""

import io

import numpy as np
from PIL import Image


def encoded(pixels: np.ndarray, kind: str = "png", **options) -> bytes:
    """Return an image file of uint8 pixels, (height, width) or (height, width, channels)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, **options)
    return file.getvalue()


def noise(*seed: int, shape=(84, 84, 3)) -> np.ndarray:
    """Return random pixels, other for each seed."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
