"""Octagons in floats: for a v the z of the octagon, rounded inward, so that hunts stay on points that may count.

Whether a point does count is decided exactly when it is confirmed (`audit.domain`).
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from refcert.audit.domain import hull
from refcert.kernel.claims import PlaneClaim

Array = NDArray[np.float64]
Interval = tuple[float, float]


class Octagon(NamedTuple):
    """Ends of v + z and of v - z."""

    low_plus: float
    high_plus: float
    low_minus: float
    high_minus: float

    def z_between(self, v: Array, z: Interval) -> tuple[Array, Array]:
        """The least and the largest float z of [z] for every v; the least one is above where there is none."""
        low = np.maximum(_difference(self.low_plus, v, np.inf), _difference(v, self.high_minus, np.inf))
        high = np.minimum(_difference(self.high_plus, v, -np.inf), _difference(v, self.low_minus, -np.inf))
        return np.maximum(low, z[0]), np.minimum(high, z[1])

    def turn(self, v: float, *, above: bool) -> float:
        """dz / dv along the edge that bounds z from above or from below at this v."""
        if above:
            return -1.0 if self.high_plus - v <= v - self.low_minus else 1.0
        return -1.0 if self.low_plus - v >= v - self.high_minus else 1.0


def floats_of(claim: PlaneClaim, box: tuple[Interval, Interval]) -> tuple[Interval, Interval]:
    """The least box of floats around the floats of the octagon; the claim's own where there are none."""
    if claim.diagonals is None:
        return box
    found = tuple((_up(low), -_up(-high)) for low, high in hull(claim))
    return (found[0], found[1]) if all(low <= high for low, high in found) else box


def _difference(a: Array | float, b: Array | float, towards: float) -> Array:
    """a - b, rounded towards an infinity: Knuth's exact error of a sum tells which way it was rounded."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    with np.errstate(all="ignore"):
        rounded = a - b
        part = rounded - a
        lost = (a - (rounded - part)) - (b + part)
        wrong = lost > 0 if towards > 0 else lost < 0
    return np.where(wrong, np.nextafter(rounded, towards), rounded)


def _up(x: Fraction) -> float:
    """The least float not below x, which is in the range of the floats."""
    near = float(x)
    return near if Fraction(near) >= x else math.nextafter(near, math.inf)
