"""Random numbers by name: the same config gives the same bytes, in any order of execution."""

import zlib

import numpy as np


def generator(seed: int | tuple[int, ...], stage: str, *names: int) -> np.random.Generator:
    """Return the generator named by `(seed, stage, *names)`.

    `seed` may be several numbers. `names` are non-negative integers such as round, user and episode. Generators with
    different names are independent, so draws do not depend on the number of workers, nor on the order in which they
    take episodes.
    """
    seeds = seed if isinstance(seed, tuple) else (seed,)
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence((*seeds, zlib.crc32(stage.encode()), *names))))
