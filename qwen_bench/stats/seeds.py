"""Random generators derived from a seed and a name, so that order of computation cannot matter."""

from __future__ import annotations

import hashlib

import numpy as np


def child_generator(seed: int, *names: str | int) -> np.random.Generator:
    """A PCG64 generator that depends on the seed and the names only.

    Args:
        seed: the seed stored in the report, 0 or more.
        names: what the numbers are for; other names give independent streams.
    """
    digest = hashlib.sha256("|".join(str(name) for name in names).encode()).digest()
    words = [int.from_bytes(digest[i : i + 4], "big") for i in range(0, 16, 4)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, *words])))
