"""Numbers from a seed that are the same everywhere: on every machine, and with every release of numpy.

Method card
    Idea       PCG64's raw 64-bit output, which numpy keeps stable across releases (NEP 19), unlike the distributions
               of its Generator; what follows is whole numbers and one rounding.
    Normal     the sum of twelve uniform numbers less six: mean 0, variance 1, never beyond 6.
    Smaller    an array is cut from one whose axes are multiples of BLOCK long: the smaller array of the same seed and
               name is the first part of the larger one, so that a network that loses a unit keeps its other weights.
"""

from __future__ import annotations

import math
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_BITS: Final = 53
_SUMMANDS: Final = 12

BLOCK: Final = 8
"""Arrays of up to so many entries along every axis but the first are parts of each other."""


class Stream:
    """One sequence of numbers for each seed, from 0 up, and name; every call takes the next ones."""

    def __init__(self, seed: int, name: str = "") -> None:
        self._bits = np.random.PCG64([seed, zlib.crc32(name.encode())])

    def _raw(self, count: int) -> NDArray[np.uint64]:
        raw: Any = self._bits.random_raw(count)
        return np.asarray(raw, dtype=np.uint64)

    def normal(self, *shape: int) -> Floats:
        """Nearly normal numbers of mean 0 and standard deviation 1, within [-6, 6]."""
        whole = _blocks(shape)
        drawn = (self._raw(_SUMMANDS * math.prod(whole)) >> np.uint64(64 - _BITS)).astype(np.int64)
        total = drawn.reshape(*whole, _SUMMANDS).sum(-1) - (_SUMMANDS // 2) * 2**_BITS
        return _first(total.astype(np.float64) / 2.0**_BITS, shape)

    def units(self, *shape: int) -> Floats:
        """-1, 0 or 1."""
        drawn = (self._raw(math.prod(_blocks(shape))) % np.uint64(3)).astype(np.float64) - 1.0
        return _first(drawn.reshape(_blocks(shape)), shape)

    def kept(self, *shape: int) -> Floats:
        """1, or 0 for one number in four."""
        drawn = ((self._raw(math.prod(_blocks(shape))) >> np.uint64(62)) > 0).astype(np.float64)
        return _first(drawn.reshape(_blocks(shape)), shape)


def _blocks(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The first axis varies slowest: what is cut off there comes last anyway."""
    return shape[:1] + tuple(-(-size // BLOCK) * BLOCK for size in shape[1:])


def _first(values: Floats, shape: tuple[int, ...]) -> Floats:
    return values[tuple(slice(size) for size in shape)].copy()
