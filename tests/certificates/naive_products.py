"""What the naive checker knows of sigma(v) z and sigma(v) tanh(z): rational enclosures, and planes looked at in points.

It finds planes that are violated where it looks, on a grid of each domain and on its border; it proves none.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from fractions import Fraction

from tests.certificates.naive_container import Vector
from tests.certificates.naive_network import NotCovered, Part

Ends = tuple[Fraction, Fraction]

BITS = 400
TERMS = 90  # of the exponential's series for arguments up to 1/2
GRID = 8  # pieces of an interval
LARGEST = 200  # argument of a function
ONE = Fraction(1)


@functools.cache
def exponential(x: Fraction) -> Ends:
    """Two numbers around exp(x), for x <= 0: the series at x / 2^k, squared k times, all in units of 2^-BITS."""
    if x < -LARGEST:
        raise NotCovered(f"exp({float(x)})")
    halvings = 0
    while -x > Fraction(2**halvings, 2):
        halvings += 1
    unit = 2**BITS
    reduced = (x.numerator * unit) // (x.denominator * 2**halvings)
    total, term = unit, unit
    for k in range(1, TERMS):
        term = (term * reduced) // (k * unit)
        total += term
    for _ in range(halvings):
        total = (total * total) // unit
    error = 2 ** (halvings + 10)  # 200 roundings by a unit at most, doubled by each square
    return Fraction(max(total - error, 0), unit), Fraction(total + error, unit)


def sigma(x: Fraction) -> Ends:
    """Two numbers around 1 / (1 + exp(-x))."""
    low, high = exponential(-abs(x))
    if x >= 0:
        return ONE / (ONE + high), ONE / (ONE + low)
    return low / (ONE + low), high / (ONE + high)


def tanh(x: Fraction) -> Ends:
    low, high = sigma(2 * x)
    return 2 * low - 1, 2 * high - 1


def second(kind: str, z: Fraction) -> Ends:
    return tanh(z) if kind == "sigmoid_times_tanh" else (z, z)


def product(a: Ends, b: Ends) -> Ends:
    every = [x * y for x in a for y in b]
    return min(every), max(every)


def image(kind: str, v: Ends, z: Ends) -> Ends:
    """Section 8, `interval`: the least and greatest value over a box; two numbers around them."""
    factor, other = (sigma(v[0])[0], sigma(v[1])[1]), (second(kind, z[0])[0], second(kind, z[1])[1])
    return product(factor, other)


def inside(v: Ends, z: Ends, cut: Vector | None, grid: int = GRID) -> Iterator[tuple[Fraction, Fraction]]:
    """Points of the domain: of each of some lines v = const its part, ends included; all corners are among them."""
    lines = [v[0] + (v[1] - v[0]) * i / grid for i in range(grid + 1)]
    if cut is not None:
        lines += [(s + d) / 2 for s in cut[:2] for d in cut[2:]]
        lines += [x for y in z for s, d in zip(cut[:2], cut[2:], strict=True) for x in (s - y, d + y)]
    for x in (x for x in lines if v[0] <= x <= v[1]):
        low, high = z
        if cut is not None:
            low, high = max(low, cut[0] - x, x - cut[3]), min(high, cut[1] - x, x - cut[2])
        for j in range(grid + 1 if low <= high else 0):
            yield x, low + (high - low) * j / grid


def violated(kind: str, v: Ends, z: Ends, cut: Vector | None, plane: Vector, upper: bool) -> bool:
    """Is the surface certainly beyond the plane in one of the points?"""
    slope_v, slope_z, offset = plane
    for x, y in inside(v, z, cut):
        low, high = product(sigma(x), second(kind, y))
        height = slope_v * x + slope_z * y + offset
        if low > height if upper else high < height:
            return True
    return False


def two_planes(table: list[Vector], unit: int) -> tuple[Vector, Vector]:
    """Section 7: lower and upper slope_v, slope_z, offset out of 6 rows, or of 5 with one slope_z."""
    rows = [row[unit] for row in table]
    return rows[:3], rows[3:] if len(rows) == 6 else [rows[3], rows[1], rows[4]]


def turned(part: Part, ends: Ends) -> Ends:
    """The box of v as the part sees it."""
    return (-ends[1], -ends[0]) if part.negate else ends
