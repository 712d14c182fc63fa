"""The exact range of `f - slope_v v - slope_z z` over a box, from the finitely many points where it can be extreme.

claim     Greatest and least value over the box, up to the rounding of one evaluation.
idea      The difference is smooth, so it is extreme at a corner, at a stationary point of a side, or at a stationary
          point inside. With s = sigmoid(v), t = tanh(z):
          side z fixed    s (1 - s) g(z) = slope_v                        (a quadratic in s)
          side v fixed    s (1 - t^2) = slope_z                           (tanh only)
          inside          t = slope_v / (s (1 - s)), (s - slope_z) s (1 - s)^2 = slope_v^2   (tanh only, a quartic in s)
          For f = sigmoid(v) z the Hessian is indefinite, so nothing inside is extreme.
sound     Every point tried lies in the box, so trying too many never hurts; the real parts of complex roots are tried
          too (a double root is computed as such a pair), for s and for 1 - s, and polished by Newton steps.
          The offsets of `plane_above`, `plane_below` are pushed outward by OFFSET_UNITS roundings of their terms.
source    POPQORN (Ko et al. 2019), eq. 25/26 ask for planes above and below; theory of the candidates: see idea.
test      against a grid search, and every plane against the kernel's proof.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from refcert.reference.equations import PRODUCTS, evaluate_kind
from refcert.reference.intervals import POINT_ZERO, Interval
from refcert.reference.networks import sigmoid
from refcert.reference.rounding import UNIT

NEWTON_STEPS: Final = 4
OFFSET_UNITS: Final = 32.0


class Plane(NamedTuple):
    """slope_v v + slope_z z + offset."""

    slope_v: float
    slope_z: float
    offset: float


class PlanePair(NamedTuple):
    """lower <= f <= upper on a box."""

    lower: Plane
    upper: Plane


class Extreme(NamedTuple):
    """A value of the difference and the point that attains it."""

    value: float
    v: float
    z: float


def extreme_excess(kind: str, v: Interval, z: Interval, slope_v: float, slope_z: float) -> tuple[Extreme, Extreme]:
    """The least and the greatest value of f - slope_v v - slope_z z on the box, with points."""
    slope_v, slope_z = float(slope_v), float(slope_z)  # a numpy number would warn where a quotient is infinite
    if kind not in PRODUCTS:
        z, slope_z = POINT_ZERO, 0.0
    points = {
        (min(max(x, v.lower), v.upper), min(max(y, z.lower), z.upper))
        for x, y in candidates(kind, v, z, slope_v, slope_z)
    }
    tried = [Extreme(evaluate_kind(kind, x, y) - slope_v * x - slope_z * y, x, y) for x, y in sorted(points)]
    return min(tried), max(tried)


def plane_above(kind: str, v: Interval, z: Interval, slope_v: float, slope_z: float) -> Plane:
    """The lowest plane with these slopes that is above f on the box."""
    top = extreme_excess(kind, v, z, slope_v, slope_z)[1]
    return Plane(slope_v, slope_z, top.value + _allowance(kind, v, z, slope_v, slope_z))


def plane_below(kind: str, v: Interval, z: Interval, slope_v: float, slope_z: float) -> Plane:
    """The highest plane with these slopes that is below f on the box."""
    bottom = extreme_excess(kind, v, z, slope_v, slope_z)[0]
    return Plane(slope_v, slope_z, bottom.value - _allowance(kind, v, z, slope_v, slope_z))


def _allowance(kind: str, v: Interval, z: Interval, slope_v: float, slope_z: float) -> float:
    size = max(abs(evaluate_kind(kind, x, y)) for x in v for y in z)
    terms = size + abs(slope_v) * v.magnitude + abs(slope_z) * z.magnitude
    return OFFSET_UNITS * UNIT * terms + math.ulp(0.0)


Point = tuple[float, float]


def candidates(kind: str, v: Interval, z: Interval, slope_v: float, slope_z: float) -> Iterator[Point]:
    """Where the difference can be extreme; some of these points are outside of the box."""
    yield from ((x, y) for x in v for y in z)
    if kind == "relu":
        yield 0.0, 0.0
    elif kind == "tanh":
        yield from ((x, 0.0) for x in _tanh_slope_is(slope_v))
    elif kind == "sigmoid":
        yield from ((x, 0.0) for x in _sigmoid_slope_is(slope_v))
    else:
        for side in z:
            g = math.tanh(side) if kind == "sigmoid_times_tanh" else side
            if g != 0.0:
                yield from ((x, side) for x in _sigmoid_slope_is(slope_v / g))
        if kind == "sigmoid_times_tanh":
            for side in v:
                s = sigmoid(side)
                if s > 0.0:
                    yield from ((side, y) for y in _tanh_slope_is(slope_z / s))
            yield from _inside(slope_v, slope_z)


def _sigmoid_slope_is(slope: float) -> list[float]:
    """The v with s (1 - s) = slope: by symmetry v and -v, with s the smaller root of the quadratic."""
    if not 0.0 < slope <= 0.25:
        # Rounding may lift the slope at the steepest point above 1/4; 0 is tried in any case.
        return [0.0]
    s = 2.0 * slope / (1.0 + math.sqrt(1.0 - 4.0 * slope))
    if s <= 0.0:
        return [0.0]
    v = math.log1p(-s) - math.log(s)
    return [v, -v, 0.0]


def _tanh_slope_is(slope: float) -> list[float]:
    """The z with 1 - tanh(z)^2 = slope."""
    if not 0.0 < slope <= 1.0:
        return [0.0]
    # 1 - tanh(z)^2 = 4 s (1 - s) with s = sigmoid(2 z): accurate where tanh is close to 1.
    return [0.5 * x for x in _sigmoid_slope_is(slope / 4.0)]


def _inside(slope_v: float, slope_z: float) -> Iterator[Point]:
    """Stationary points of sigmoid(v) tanh(z) - slope_v v - slope_z z, with neighbours that rounding produces."""
    a, b = slope_v, slope_z
    # (s - b) s (1 - s)^2 - a^2, and the same in q = 1 - s: (1 - b - q) (1 - q) q^2 - a^2
    in_s = (1.0, -(2.0 + b), 1.0 + 2.0 * b, -b, -a * a)
    in_q = (1.0, -(2.0 - b), 1.0 - b, 0.0, -a * a)
    for root in np.roots(in_s):
        yield from _from_sigmoid(float(root.real), 1.0 - float(root.real), a, b)
    for root in np.roots(in_q):
        yield from _from_sigmoid(1.0 - float(root.real), float(root.real), a, b)


def _from_sigmoid(s: float, q: float, a: float, b: float) -> Iterator[Point]:
    """The point with sigmoid(v) = s = 1 - q and tanh(z) = a / (s q), and what Newton's method makes of it."""
    if not (s > 0.0 and q > 0.0):
        return
    v, t = math.log(s) - math.log(q), a / (s * q)
    if not abs(t) < 1.0:
        return
    z = math.atanh(t)
    yield v, z
    yield from _polish(v, z, a, b)


def _polish(v: float, z: float, a: float, b: float) -> Iterator[Point]:
    """Newton's method for the two equations of a stationary point."""
    for _ in range(NEWTON_STEPS):
        s, t = sigmoid(v), math.tanh(z)
        q, w = sigmoid(-v), 1.0 - t * t
        error_v, error_z = s * q * t - a, s * w - b
        vv, vz, zz = s * q * (q - s) * t, s * q * w, -2.0 * s * t * w
        det = vv * zz - vz * vz
        if det == 0.0:
            return
        v -= (zz * error_v - vz * error_z) / det
        z -= (vv * error_z - vz * error_v) / det
        if not (math.isfinite(v) and math.isfinite(z)):
            return
        yield v, z
