"""How far a surface lies beyond a plane at a point: proved in ball arithmetic, and in float64 without cancellation.

Method card
    Idea       With an anchor (v0, z0) the excess e = +-(f - slope_v v - slope_z z - offset) is
                   e(v0, z0) + e_v (v - v0) + e_z (z - z0) +- (second-order remainder of f),
               where the first three numbers come from ball arithmetic, rounded once, and the remainder from formulas
               that subtract nothing nearly equal. So near its anchor the excess has full relative precision,
               however far it is below the plane's own rounding; a hunt moves the anchor to what it has found.
               f is a product F(v) G(z) of one factor in v and one in z, with G = 1 where z does not matter.
    Sound      A violation counts only if `confirm` finds it at that very point; the float64 side only guides.
               The sigmoid and tanh here are not the kernel's formulas; only where they cancel at every precision
               the values of the second method are asked (`saturated`).
    Shapes     v, z and results: arrays of any one shape.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
from flint import arb
from numpy.typing import ArrayLike, NDArray

from refcert.audit.domain import in_domain
from refcert.audit.hunting.factors import FACTORS
from refcert.audit.hunting.octagon import Octagon, floats_of
from refcert.audit.hunting.saturated import saturated_excess
from refcert.kernel.ball import (
    ONE,
    ZERO,
    exact,
    float_below,
    middle,
    precision,
    surely_not_positive,
    surely_positive,
    upper_of_two,
)
from refcert.kernel.claims import PlaneClaim, as_upper

Array = NDArray[np.float64]
Interval = tuple[float, float]

# Doubled until the sign is known: 1 - tanh(1000) is 2e-869.
PRECISIONS: Final = (128, 256, 512, 1024, 2048, 4096, 8192)
# Relative accuracy of a reported violation and of the numbers at an anchor, where the precisions above can give it.
ACCURACY_BITS: Final = 60

LARGEST: Final = sys.float_info.max

PRODUCTS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")


class Found(NamedTuple):
    """A float point of the box or octagon that is certainly beyond the plane, by `violation` at least; its finder."""

    v: float
    z: float
    violation: float
    way: str


class _AtPoint(NamedTuple):
    excess: arb
    slope_v: arb
    slope_z: arb


def _sigmoid(x: arb) -> arb:
    return ONE / (ONE + (-x).exp())


def _sigmoid_factor(x: arb) -> tuple[arb, arb]:
    s = _sigmoid(x)
    return s, s * _sigmoid(-x)


def _tanh_factor(x: arb) -> tuple[arb, arb]:
    secant = ONE / x.cosh()
    return x.tanh(), secant * secant


def _relu_factor(x: arb) -> tuple[arb, arb]:
    return upper_of_two(x, ZERO), ONE if surely_positive(x) else ZERO


def _identity_factor(x: arb) -> tuple[arb, arb]:
    return x, ONE


def _one_factor(_: arb) -> tuple[arb, arb]:
    return ONE, ZERO


# Value and slope of both factors of each kind.
_BALLS: Final[dict[str, tuple[Callable[[arb], tuple[arb, arb]], Callable[[arb], tuple[arb, arb]]]]] = {
    "sigmoid_times_tanh": (_sigmoid_factor, _tanh_factor),
    "sigmoid_times_identity": (_sigmoid_factor, _identity_factor),
    "sigmoid": (_sigmoid_factor, _one_factor),
    "tanh": (_tanh_factor, _one_factor),
    "relu": (_relu_factor, _one_factor),
}


def _at(claim: PlaneClaim, v: arb, z: arb) -> _AtPoint:
    """The excess and its gradient at a point, at the precision in force."""
    factor_v, factor_z = _BALLS[claim.kind]
    (f, slope_f), (g, slope_g) = factor_v(v), factor_z(z)
    a, b = exact(claim.slope_v), exact(claim.slope_z) if claim.kind in PRODUCTS else ZERO
    excess = f * g - a * v - b * z - exact(claim.offset)
    return _AtPoint(*(x if claim.side == "upper" else -x for x in (excess, slope_f * g - a, f * slope_g - b)))


def ball_excess(claim: PlaneClaim, v: Sequence[float], z: Sequence[float]) -> arb:
    """A ball with the excess at the point (sum of v, sum of z), at the precision in force."""
    return _at(claim, sum(map(exact, v), ZERO), sum(map(exact, z), ZERO)).excess


def box_of(claim: PlaneClaim) -> tuple[Interval, Interval]:
    """The box; (0, 0) for a z that does not matter. Raises KernelInputError where the values make no claim."""
    as_upper(claim)
    z = (claim.lower_z, claim.upper_z) if claim.kind in PRODUCTS else (0.0, 0.0)
    return (claim.lower_v, claim.upper_v), z


def confirm(claim: PlaneClaim, v: float, z: float, way: str = "") -> Found | None:
    """Found if this float point is in the claim's domain and certainly beyond the plane; None claims nothing.

    Raises KernelInputError where the values make no claim.
    """
    as_upper(claim)  # refuses what makes no claim
    z = z if claim.kind in PRODUCTS else 0.0
    if not in_domain(claim, (v,), (z,)):
        return None
    violation = confirmed_violation(claim, (v,), (z,))
    return None if violation is None else Found(v, z, violation, way)


def confirmed_violation(claim: PlaneClaim, v: Sequence[float], z: Sequence[float]) -> float | None:
    """A lower bound of the violation at the point (sum of v, sum of z), 0 if it underflows; None: not certainly one."""
    for value in (ball_excess, saturated_excess):
        best = None
        for bits in PRECISIONS:
            with precision(bits):
                excess = value(claim, v, z)
                if surely_not_positive(excess):
                    return None
                if surely_positive(excess):
                    best = max(0.0, float_below(excess))
                    if excess.rel_accuracy_bits() >= ACCURACY_BITS:
                        break
        if best is not None:
            return best
    return None


def surely_not_beyond(claim: PlaneClaim, v: Sequence[float], z: Sequence[float]) -> bool:
    """True only if the point (sum of v, sum of z) is certainly not beyond the plane."""
    for value in (ball_excess, saturated_excess):
        for bits in PRECISIONS:
            with precision(bits):
                excess = value(claim, v, z)
                if surely_positive(excess):
                    return False
                if surely_not_positive(excess):
                    return True
    return False


class Excess:
    """The excess of a claim's surface over its plane in float64, exact to a few roundings near the anchor.

    box: as `box_of`, or the floats around an octagon. octagon: None where the plane is one over a box. anchor: a point
    of the box, its middle by default. level: the excess at the anchor.
    """

    def __init__(self, claim: PlaneClaim, anchor: tuple[float, float] | None = None) -> None:
        self.claim = claim
        self.box = floats_of(claim, box_of(claim))
        self.octagon = None if claim.diagonals is None else Octagon(*claim.diagonals)
        low_v, low_z = self.box[0][0], self.box[1][0]
        middle_v, middle_z = (low / 2 + high / 2 for low, high in self.box)
        # halves of the least floats round to 0, which need not lie in the box
        self.v, self.z = anchor or (max(low_v, middle_v), max(low_z, middle_z))
        self.level, self._slope_v, self._slope_z = _rounded(claim, self.v, self.z)
        self._sign = 1.0 if claim.side == "upper" else -1.0
        self._factor_v, self._factor_z = FACTORS[claim.kind]
        # as arrays, for the factors
        self._v0, self._z0 = np.asarray(self.v), np.asarray(self.z)
        with np.errstate(all="ignore"):
            self._f, self._g = self._factor_v.value(self._v0), self._factor_z.value(self._z0)

    def at(self, v: float, z: float) -> Excess:
        """The same excess with its anchor at this point."""
        return Excess(self.claim, (v, z))

    def __call__(self, v: ArrayLike, z: ArrayLike) -> Array:
        """The excess, minus infinity where float64 overflows."""
        with np.errstate(over="ignore"):
            return self.level + self.rise(v, z)

    def rise(self, v: ArrayLike, z: ArrayLike) -> Array:
        """The excess minus that at the anchor, minus infinity where float64 overflows."""
        v, z = np.asarray(v, dtype=np.float64), np.asarray(z, dtype=np.float64)
        f, g, v0, z0 = self._factor_v, self._factor_z, self._v0, self._z0
        with np.errstate(all="ignore"):
            remainder = f.remainder(v0, v) * self._g + self._f * g.remainder(z0, z)
            remainder = remainder + f.difference(v0, v) * g.difference(z0, z)
            rise = self._slope_v * (v - v0) + self._slope_z * (z - z0) + self._sign * remainder
        return np.where(np.isfinite(rise), rise, -np.inf)

    def gradient(self, v: float, z: float) -> tuple[float, float]:
        """The derivatives by v and z; 0 where float64 overflows."""
        f, g, v0, z0 = self._factor_v, self._factor_z, self._v0, self._z0
        x, y = np.asarray(v), np.asarray(z)
        with np.errstate(all="ignore"):
            slope_v = self._slope_v + self._sign * (f.bend(v0, x) * self._g + f.slope(x) * g.difference(z0, y))
            slope_z = self._slope_z + self._sign * (self._f * g.bend(z0, y) + f.difference(v0, x) * g.slope(y))
        return tuple(float(x) if np.isfinite(x) else 0.0 for x in (slope_v, slope_z))  # type: ignore[return-value]


def _rounded(claim: PlaneClaim, v: float, z: float) -> tuple[float, ...]:
    """Excess and gradient at a float point, each accurate to its own last bits if the precisions can give that."""
    values: list[float] = [math.nan] * 3
    for bits in PRECISIONS[:-2]:
        with precision(bits):
            balls = _at(claim, exact(v), exact(z))
            values = [min(max(float(middle(ball)), -LARGEST), LARGEST) for ball in balls]
            if all(ball.rel_accuracy_bits() >= ACCURACY_BITS for ball in balls):
                break
    return tuple(values)
