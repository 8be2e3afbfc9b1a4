"""Ways to convolve many episodes' images at once, each with its own kernels; `Conv4` uses the chosen one.

`torch.vmap` turns `grouped` into one grouped convolution, `products` into one batched matrix product. Which is faster
depends on the device and the shapes: oneDNN on a CPU is fastest with `grouped` (docs/performance.md); on a GPU it is
measured before a run (`fedmeta.learning.batched`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor

Way = Callable[[Tensor, Tensor], Tensor]
SIDE = 3  # of a kernel


def grouped(images: Tensor, kernel: Tensor) -> Tensor:
    """Return the 3x3 convolution: (n, in, height, width) with (out, in, 3, 3) -> (n, out, height, width)."""
    return F.conv2d(images, kernel, padding=1)


def products(images: Tensor, kernel: Tensor) -> Tensor:
    """Return the same: the patch around each pixel, in * 9 numbers, times the kernels as one matrix."""
    count, _, height, width = images.shape
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
    shifts = [padded[:, i : i + height, j : j + width] for i in range(SIDE) for j in range(SIDE)]
    patches = torch.cat(shifts, -1).reshape(count * height * width, -1)
    matrix = kernel.permute(2, 3, 1, 0).flatten(0, 2)
    return (patches @ matrix).reshape(count, height, width, -1).permute(0, 3, 1, 2)


WAYS = {"grouped": grouped, "products": products}
_chosen: list[Way] = [grouped]


def convolve(images: Tensor, kernel: Tensor) -> Tensor:
    """Return the convolution, computed in the chosen way: see `grouped`."""
    return _chosen[-1](images, kernel)


@contextmanager
def convolved_by(way: Way) -> Iterator[None]:
    """Choose a way for what is computed in the block."""
    _chosen.append(way)
    try:
        yield
    finally:
        _chosen.pop()
