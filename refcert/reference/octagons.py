"""Octagons: the part of a box with v + z and v - z between given ends, and the range of f less a plane on it.

claim     `extreme_on_octagon`: least and greatest value on the octagon, up to the rounding of one evaluation and of
          points that are sums of floats; `derive_diagonals`: bounds of both sums that hold for every input of the set.
idea      The difference is extreme at an interior extreme of the box that is in the octagon, or on an edge. On edges
          along the axes its stationary points are those on the sides of a box (`exact_planes`). On diagonal ones it is
          a smooth function h of v: between the roots of h'' the slope h' is monotone, so one root of h' at most lies
          between neighbours of them and of a grid; Brent's method finds both.
source    octagons: Mine (2006), The octagon abstract domain; POPQORN (Ko et al. 2019), eq. 25/26.
test      against a dense grid, and every plane against the kernel's proof.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import brentq

from refcert.reference.backsubstitution import Boxes, Planes, lower_bound
from refcert.reference.equations import PRODUCTS, Nonlinear, Program, evaluate_kind
from refcert.reference.errors import ReferenceInputError
from refcert.reference.exact_planes import Extreme, candidates
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import Interval, intersect
from refcert.reference.networks import sigmoid
from refcert.reference.rounding import above, below

# Points of a diagonal edge between which signs of h' and h'' are looked at.
GRID: Final = 128
# Steps of Brent's method; what it has then is taken: any point of the edge may be tried.
STEPS: Final = 200


class Diagonals(NamedTuple):
    """Intervals of v + z and of v - z."""

    plus: Interval
    minus: Interval

    def holds(self, other: Diagonals) -> bool:
        """Are both intervals of the other one inside these?"""
        pairs = zip(self, other, strict=True)
        return all(outer.lower <= inner.lower and inner.upper <= outer.upper for outer, inner in pairs)


def derive_diagonals(
    equation: Nonlinear, program: Program, input_set: InputSet, planes: Planes, boxes: Boxes, exact: bool = False
) -> Diagonals:
    """Bounds of v + z and v - z by back-substitution, intersected with those of the box."""
    assert equation.z is not None
    found = []
    for sign, plain in zip((1.0, -1.0), box_diagonals(boxes[equation.v], boxes[equation.z]), strict=True):
        row = {equation.v: 1.0, equation.z: sign}
        minus = {equation.v: -1.0, equation.z: -sign}
        lower = lower_bound(program, input_set, row, planes, boxes, exact=exact).lower
        upper = -lower_bound(program, input_set, minus, planes, boxes, exact=exact).lower
        found.append(intersect(plain, Interval(lower, upper), f"a diagonal of {equation.variable}"))
    return Diagonals(*found)


def box_diagonals(v: Interval, z: Interval) -> Diagonals:
    """What the box alone says of v + z and v - z."""
    return Diagonals(_sum(v, z), _sum(v, Interval(-z.upper, -z.lower)))


def _sum(one: Interval, other: Interval) -> Interval:
    low, high = Fraction(one.lower) + Fraction(other.lower), Fraction(one.upper) + Fraction(other.upper)
    return Interval(below(low), above(high))


def extreme_on_octagon(
    kind: str, v: Interval, z: Interval, diagonals: Diagonals, slope_v: float, slope_z: float
) -> tuple[Extreme, Extreme]:
    """The least and the greatest value of f - slope_v v - slope_z z on the octagon, with points.

    Points are as near to the octagon as floats are. Raises ReferenceInputError for kinds of one argument and where the
    octagon is empty.
    """
    if kind not in PRODUCTS:
        raise ReferenceInputError(f"{kind} has one argument, so there is no octagon; leave the diagonals out")
    slope_v, slope_z = float(slope_v), float(slope_z)
    points = octagon_candidates(kind, v, z, diagonals, slope_v, slope_z)
    if not points:
        raise ReferenceInputError(f"the octagon of {v}, {z} and {diagonals} is empty; no plane is asked for there")
    tried = [Extreme(evaluate_kind(kind, x, y) - slope_v * x - slope_z * y, x, y) for x, y in sorted(points)]
    return min(tried), max(tried)


def octagon_candidates(
    kind: str, v: Interval, z: Interval, diagonals: Diagonals, slope_v: float, slope_z: float
) -> set[tuple[float, float]]:
    """The points at which the difference can be extreme on the octagon: none where it is empty."""
    inside = (
        (x, y)
        for x, y in candidates(kind, v, z, slope_v, slope_z)
        if v.lower <= x <= v.upper and z.lower <= y <= z.upper and _between(diagonals, x, y)
    )
    return {*inside, *_on_edges(kind, v, z, diagonals, slope_v, slope_z)}


def _between(diagonals: Diagonals, v: float, z: float) -> bool:
    plus, minus = Fraction(v) + Fraction(z), Fraction(v) - Fraction(z)
    ends = (plus, diagonals.plus), (minus, diagonals.minus)
    return all(Fraction(interval.lower) <= value <= Fraction(interval.upper) for value, interval in ends)


def _on_edges(
    kind: str, v: Interval, z: Interval, diagonals: Diagonals, a: float, b: float
) -> Iterator[tuple[float, float]]:
    """Ends and stationary points of the eight edges that there are."""
    (v0, v1), (z0, z1), (p0, p1), (m0, m1) = (map(Fraction, pair) for pair in (v, z, *diagonals))
    for y in (z0, z1):
        ends = max(v0, p0 - y, m0 + y), min(v1, p1 - y, m1 + y)
        if ends[0] <= ends[1]:
            low, high = map(float, ends)
            tried = (x for x, _ in candidates(kind, v, Interval(float(y), float(y)), a, b))
            yield from ((min(max(x, low), high), float(y)) for x in (low, high, *tried))
    for x in (v0, v1):
        ends = max(z0, p0 - x, x - m1), min(z1, p1 - x, x - m0)
        if ends[0] <= ends[1]:
            low, high = map(float, ends)
            tried = (y for _, y in candidates(kind, Interval(float(x), float(x)), z, a, b))
            yield from ((float(x), min(max(y, low), high)) for y in (low, high, *tried))
    for s in (p0, p1):
        ends = max(v0, s - z1, (s + m0) / 2), min(v1, s - z0, (s + m1) / 2)
        if ends[0] <= ends[1]:
            yield from _on_diagonal(kind, -1.0, s, ends, a, b)
    for d in (m0, m1):
        ends = max(v0, d + z0, (p0 + d) / 2), min(v1, d + z1, (p1 + d) / 2)
        if ends[0] <= ends[1]:
            yield from _on_diagonal(kind, 1.0, -d, ends, a, b)


def _on_diagonal(
    kind: str, turn: float, level: Fraction, ends: tuple[Fraction, Fraction], a: float, b: float
) -> Iterator[tuple[float, float]]:
    """Points on z = turn v + level: both ends, and where the difference is stationary."""
    for end in ends:
        yield float(end), float(int(turn) * end + level)
    low, high, offset = float(ends[0]), float(ends[1]), float(level)
    if not low < high:
        return
    with_tanh = kind == "sigmoid_times_tanh"

    def slope(v: float) -> float:
        z = turn * v + offset
        s, q = sigmoid(v), sigmoid(-v)
        g, w = (math.tanh(z), _sech_squared(z)) if with_tanh else (z, 1.0)
        return s * q * g - a + turn * (s * w - b)

    def bend(v: float) -> float:
        z = turn * v + offset
        s, q = sigmoid(v), sigmoid(-v)
        g, w = (math.tanh(z), _sech_squared(z)) if with_tanh else (z, 1.0)
        return s * q * ((q - s) * g + 2 * turn * w) - (2 * s * g * w if with_tanh else 0.0)

    nodes = np.unique(np.clip(np.concatenate((np.linspace(low, high, GRID + 1), _near_zero(turn, offset))), low, high))
    nodes = np.unique([*nodes.tolist(), *_roots(bend, nodes.tolist())])
    for v in _roots(slope, nodes.tolist()):
        yield v, float(int(turn) * Fraction(v) + level)


def _near_zero(turn: float, offset: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Where sigmoid and tanh bend on a long edge: v near 0, and v for which z is."""
    steps = np.linspace(-8.0, 8.0, GRID // 2 + 1)
    return np.concatenate((steps, turn * (steps - offset)))


def _roots(function: Callable[[float], float], nodes: list[float]) -> Iterator[float]:
    values = [function(node) for node in nodes]
    for low, high, at_low, at_high in zip(nodes, nodes[1:], values, values[1:], strict=False):
        if at_low == 0.0:
            yield low
        elif at_low * at_high < 0.0 or (math.copysign(1.0, at_low) != math.copysign(1.0, at_high) and at_high != 0.0):
            rtol = 4 * np.finfo(np.float64).eps
            yield float(brentq(function, low, high, xtol=5e-324, rtol=rtol, maxiter=STEPS, disp=False))


def _sech_squared(z: float) -> float:
    """1 - tanh(z)^2 without cancellation."""
    return 4.0 * sigmoid(2.0 * z) * sigmoid(-2.0 * z)
