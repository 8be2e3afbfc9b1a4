"""Random numbers by name: the same config gives the same bytes, in any order of execution."""

import zlib

import numpy as np


def generator(seed: int | tuple[int, ...], stage: str, *names: int) -> np.random.Generator:
    """Return the generator named by `(seed, stage, *names)`.

    `seed` may be several numbers. `names` are non-negative integers such as round, user and episode. Generators of
    different names are independent, so draws depend neither on the order in which workers take up their episodes nor
    on the number of workers.
    """
    seeds = seed if isinstance(seed, tuple) else (seed,)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((*seeds, zlib.crc32(stage.encode()), *names))))
