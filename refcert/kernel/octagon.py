"""The octagon of a claim: its box cut by bounds of v + z and v - z, as edges whose ends are floats.

Ends are sums of floats. They are rounded outward, never beyond the box's own: an edge that is longer by a rounding
proves a little more than is claimed. What refutes a claim is held against the octagon itself, in exact arithmetic.
Lemma `octagon_edges`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, NamedTuple

from flint import arb

from refcert.kernel.ball import exact, float_above, float_below, precision, surely_not_negative
from refcert.kernel.claims import PlaneClaim

# Bits that hold every sum of three floats. With fewer, ends come out further outward.
EXACT: Final = 2200

# How far a point that only rounding keeps out is drawn towards the middle, as shares of the way.
_SHARES: Final = (2.0**-52, 2.0**-50, 2.0**-46, 2.0**-40, 2.0**-30, 2.0**-20)


class Axis(NamedTuple):
    """Part of a side of the box: 'v' or 'z' runs `along` it from `first` to `last`, the other one is `fixed`."""

    along: str
    fixed: float
    first: float
    last: float


class Diagonal(NamedTuple):
    """z = turn v + level for v from `first` to `last`, turn being 1 or -1."""

    turn: int
    level: float
    first: float
    last: float

    @property
    def name(self) -> str:
        """As people write it."""
        return f"v + z = {self.level!r}" if self.turn < 0 else f"v - z = {-self.level!r}"


def shrunk(claim: PlaneClaim) -> PlaneClaim | None:
    """The claim on the least box around its octagon, rounded outward; None where the octagon is certainly empty."""
    assert claim.diagonals is not None
    low_plus, high_plus, low_minus, high_minus = (exact(x) for x in claim.diagonals)
    low_v, high_v, low_z, high_z = (exact(x) for x in (claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z))
    lower_v = _lowest(claim.lower_v, low_plus - high_z, low_minus + low_z, (low_plus + low_minus) / 2)
    upper_v = _highest(claim.upper_v, high_plus - low_z, high_minus + high_z, (high_plus + high_minus) / 2)
    lower_z = _lowest(claim.lower_z, low_plus - high_v, low_v - high_minus, (low_plus - high_minus) / 2)
    upper_z = _highest(claim.upper_z, high_plus - low_v, high_v - low_minus, (high_plus - low_minus) / 2)
    if lower_v > upper_v or lower_z > upper_z:
        return None
    return replace(claim, lower_v=lower_v, upper_v=upper_v, lower_z=lower_z, upper_z=upper_z)


def axes(claim: PlaneClaim) -> list[Axis]:
    """The octagon's part of each side of the box, those along v first."""
    assert claim.diagonals is not None
    low_plus, high_plus, low_minus, high_minus = (exact(x) for x in claim.diagonals)
    found = []
    for fixed in dict.fromkeys((claim.lower_z, claim.upper_z)):
        z = exact(fixed)
        first = _lowest(claim.lower_v, low_plus - z, low_minus + z)
        found.append(Axis("v", fixed, first, _highest(claim.upper_v, high_plus - z, high_minus + z)))
    for fixed in dict.fromkeys((claim.lower_v, claim.upper_v)):
        v = exact(fixed)
        first = _lowest(claim.lower_z, low_plus - v, v - high_minus)
        found.append(Axis("z", fixed, first, _highest(claim.upper_z, high_plus - v, v - low_minus)))
    return [axis for axis in found if axis.first <= axis.last]


def diagonals(claim: PlaneClaim) -> list[Diagonal]:
    """The other edges, but those that the box implies: they meet the octagon in a corner of the box at most."""
    assert claim.diagonals is not None
    low_plus, high_plus, low_minus, high_minus = (exact(x) for x in claim.diagonals)
    low_v, high_v, low_z, high_z = (exact(x) for x in (claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z))
    found = []
    for end, room in (
        (claim.diagonals[0], low_plus - low_v - low_z),
        (claim.diagonals[1], high_v + high_z - high_plus),
    ):
        if not surely_not_negative(-room):
            s = exact(end)
            first = _lowest(claim.lower_v, s - high_z, (s + low_minus) / 2)
            found.append(Diagonal(-1, end, first, _highest(claim.upper_v, s - low_z, (s + high_minus) / 2)))
    for end, room in (
        (claim.diagonals[2], low_minus - low_v + high_z),
        (claim.diagonals[3], high_v - low_z - high_minus),
    ):
        if not surely_not_negative(-room):
            d = exact(end)
            first = _lowest(claim.lower_v, d + low_z, (low_plus + d) / 2)
            found.append(Diagonal(1, -end, first, _highest(claim.upper_v, d + high_z, (high_plus + d) / 2)))
    return [edge for edge in found if edge.first <= edge.last]


def holds_point(claim: PlaneClaim, v: float, z: float) -> bool:
    """Is this point, in exact arithmetic, one of the octagon?"""
    assert claim.diagonals is not None
    if not (claim.lower_v <= v <= claim.upper_v and claim.lower_z <= z <= claim.upper_z):
        return False
    low_plus, high_plus, low_minus, high_minus = (exact(x) for x in claim.diagonals)
    with precision(EXACT):
        plus, minus = exact(v) + exact(z), exact(v) - exact(z)
        room = (plus - low_plus, high_plus - plus, minus - low_minus, high_minus - minus)
        return all(surely_not_negative(x) for x in room)


def near(claim: PlaneClaim, middle: tuple[float, float], v: float, z: float) -> Iterator[tuple[float, float]]:
    """The point if it is in the octagon; else points of the octagon on the way from it to the middle."""
    if holds_point(claim, v, z):
        yield v, z
        return
    for share in _SHARES:
        point = v + share * (middle[0] - v), z + share * (middle[1] - z)
        if holds_point(claim, *point):
            yield point


def _lowest(own: float, *ends: arb) -> float:
    """A float not above the largest of these ends; the box's own end where that is the largest."""
    return max(own, *(float_below(end) for end in ends))


def _highest(own: float, *ends: arb) -> float:
    return min(own, *(float_above(end) for end in ends))
