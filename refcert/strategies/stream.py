"""Numbers from a seed that are the same everywhere: on every machine, and with every release of numpy.

Method card
    Idea       PCG64's raw 64-bit output, which numpy keeps stable across releases (NEP 19), unlike the distributions
               of its Generator; what follows is whole numbers and one rounding.
    Normal     the sum of twelve uniform numbers less six: mean 0, variance 1, never beyond 6.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BITS: Final = 53
_SUMMANDS: Final = 12


class Stream:
    """One sequence of numbers; every call takes the next ones."""

    def __init__(self, seed: int) -> None:
        self._bits = np.random.PCG64(seed)

    def _raw(self, count: int) -> NDArray[np.uint64]:
        raw: Any = self._bits.random_raw(count)
        return np.asarray(raw, dtype=np.uint64)

    def normal(self, *shape: int) -> Floats:
        """Nearly normal numbers of mean 0 and standard deviation 1, within [-6, 6]."""
        drawn = (self._raw(_SUMMANDS * math.prod(shape)) >> np.uint64(64 - _BITS)).astype(np.int64)
        total = drawn.reshape(_SUMMANDS, *shape).sum(0) - (_SUMMANDS // 2) * 2**_BITS
        return np.asarray(total.astype(np.float64) / 2.0**_BITS)

    def units(self, *shape: int) -> Floats:
        """-1, 0 or 1."""
        return np.asarray((self._raw(math.prod(shape)) % np.uint64(3)).astype(np.float64) - 1.0).reshape(shape)

    def kept(self, *shape: int) -> Floats:
        """1, or 0 for one number in four."""
        return np.asarray(((self._raw(math.prod(shape)) >> np.uint64(62)) > 0).astype(np.float64)).reshape(shape)
