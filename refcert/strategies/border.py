"""The last float64 numbers inside a set: where an error of one place in a bound or a check shows."""

from __future__ import annotations

import math
import struct
from typing import Final

import numpy as np
from torch import Tensor

from gpu_engine import inputs
from gpu_engine.inputs import InputSet
from refcert.strategies.membership import exactly, holds

_FARTHEST: Final = np.finfo(np.float64).max


def last_inside(sets: InputSet, x: Tensor, at: tuple[int, int, int], up: bool, back: int = 0) -> Tensor:
    """x, a point of the sets, with the value at (sample, t, i) moved as far as float64 goes without leaving the set.

    up: towards larger values; back: how many float64 numbers before the last one to stop. Found by bisection over the
    numbers of float64, with exact membership at each step; sets are convex, so that there is one border.
    Substitutions have no border: x itself.
    """
    if isinstance(sets, inputs.Substitutions):
        return x
    sample, t, i = at
    point = exactly(x[sample].numpy())
    start = _rank(float(x[at]))

    def inside(rank: int) -> bool:
        moved = point.copy()
        moved[t, i] = exactly(_number(rank))[()]
        return holds(sets, sample, moved)

    step = 1 if up else -1
    low, high = 0, abs(_rank(math.copysign(float(_FARTHEST), step)) - start)
    # the largest number of steps that stays inside
    while low < high:
        middle = (low + high + 1) // 2
        if inside(start + step * middle):
            low = middle
        else:
            high = middle - 1
    found = x.clone()
    found[at] = _number(start + step * max(0, low - back))
    return found


def _rank(value: float) -> int:
    """Floats in order as whole numbers in order; both zeros are 0."""
    (bits,) = struct.unpack("<q", struct.pack("<d", value))
    return int(bits) if bits >= 0 else -(int(bits) & 0x7FFFFFFFFFFFFFFF)


def _number(rank: int) -> float:
    (value,) = struct.unpack("<d", struct.pack("<q", abs(rank)))
    return math.copysign(float(value), -1.0) if rank < 0 else float(value)
