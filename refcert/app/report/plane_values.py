"""Surface, plane and gap on a grid of a plane's box, exact enough to draw gaps of any size.

claim     Every number is right to about three digits of the largest gap, whatever its size: a violation of 1e-12 under
          a gap of 0.3, a gap of 1e-19 in a box that is 1e-9 wide, a box of a few neighbouring floats.
idea      The nodes are exact fractions, and surface minus plane is evaluated in ball arithmetic at a precision that is
          doubled until the balls are small beside the largest gap. A gap whose ball contains zero counts as zero.
octagons  A plane on an octagon is drawn on that: its nodes are those of the least box around it, z moved to the nearest
          one that the octagon has at this v.
sound     a picture proves nothing; a sign that is drawn is the true one at that node.
units     those of the nonlinearity, each times a power of ten that `Ruler` names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np
from flint import arb, fmpq
from numpy.typing import NDArray

from refcert.app.report.rulers import Ends, exponent
from refcert.audit.domain import hull, hull_of, vertices, z_ends
from refcert.audit.verdicts import Judgement
from refcert.kernel.ball import ZERO, exact, precision, surely_less, surely_positive
from refcert.kernel.claims import PlaneClaim
from refcert.kernel.functions import sigmoid, tanh
from refcert.reference.equations import PRODUCTS
from refcert.reference.exact_planes import Plane, extreme_excess
from refcert.reference.intervals import Interval
from refcert.reference.octagons import Diagonals, octagon_candidates

Point = tuple[Fraction, Fraction]
Array = NDArray[np.float64]

_FIRST_BITS: Final = 128
_MOST_BITS: Final = 4096
_NOTHING: Final = 4 * _MOST_BITS
# Balls are small enough when 2^this times their radius is below the largest gap.
_DIGITS_IN_BITS: Final = 10
# Where sigmoid and tanh bend: a box much wider than this gets nodes here too.
_BEND: Final = 8
# A plane touches where its gap is this small beside the largest one.
_TOUCHES: Final = 1e-6
# Magnified until this share of the window is violated; so much needs no magnification.
_SEEN: Final = 0.08
_MOST_HALVINGS: Final = 400
_WINDOW: Final = 12


@dataclass(frozen=True)
class Grid:
    """Numbers at the nodes, v along the rows: shapes (nodes of v, nodes of z). gap in units of 10**power.

    A gap is plane minus surface of an upper plane, surface minus plane of a lower one: negative where violated.
    across: z at every node; it differs from `z` where an octagon ends. moved: where it does.
    """

    v: tuple[Fraction, ...]
    z: tuple[Fraction, ...]
    surface: NDArray[np.object_]
    plane: NDArray[np.object_]
    gap: Array
    power: int
    across: NDArray[np.object_]

    @property
    def moved(self) -> NDArray[np.bool_]:
        return np.asarray(self.across != np.array(self.z, object)[None, :], dtype=bool)

    @property
    def violated(self) -> float:
        """The share of the nodes, moved ones aside, where the plane is on the wrong side."""
        counted = self.gap[~self.moved]
        return float(np.mean((counted if counted.size else self.gap) < 0))


def is_product(kind: str) -> bool:
    """Whether z matters to the kind."""
    return kind in PRODUCTS


def wide_axes(claim: PlaneClaim) -> tuple[str, ...]:
    """The axes along which the box, or the octagon, has width: what can be drawn. None where it is empty or slanted.

    A slanted one has no area, and no axis along which it could be drawn as a curve.
    """
    ends = hull(claim)
    wide = tuple(name for name, (low, high) in zip("vz", ends, strict=True) if low < high)
    empty = any(low > high for low, high in ends)
    return () if empty or (len(wide) == 2 and len(vertices(claim)) < 3) else wide


def nodes(low: Fraction, high: Fraction, count: int) -> tuple[Fraction, ...]:
    """count + 1 nodes at equal distances, and more where the functions bend if the box is wide beside that."""
    if low == high:
        return (low,)
    found = {low + (high - low) * Fraction(k, count) for k in range(count + 1)}
    if high - low > 4 * _BEND:
        found |= {Fraction(k, 2) for k in range(-2 * _BEND, 2 * _BEND + 1) if low < Fraction(k, 2) < high}
    return tuple(sorted(found))


def whole_box(claim: PlaneClaim, count: int) -> Grid:
    """The grid of the whole box, or octagon, with `count` steps an axis."""
    return part(claim, *hull(claim), count)


def part(claim: PlaneClaim, v: Ends, z: Ends, count: int) -> Grid:
    """The grid of what the claim's octagon leaves of a part of its box, with `count` steps an axis."""
    v, z = hull_of(v, z, claim.diagonals)
    corners = {at for at, _ in vertices(claim) if v[0] < at < v[1]} if claim.diagonals is not None else set()
    return evaluate(claim, sorted({*nodes(*v, count), *corners}), nodes(*z, count))


def evaluate(claim: PlaneClaim, v: Sequence[Fraction], z: Sequence[Fraction]) -> Grid:
    """Surface, plane and gap at all pairs of nodes, z moved into the claim's octagon."""
    across = np.empty((len(v), len(z)), object)
    for k, x in enumerate(v):
        low, high = z_ends((z[0], z[-1]), claim.diagonals, x)
        across[k] = [min(max(y, low), high) for y in z]
    bits = _FIRST_BITS
    while True:
        with precision(bits):
            surface, plane, gap = _balls(claim, v, across)
            size = _largest([abs(ball.mid()) for ball in gap])
            radius = _largest([ball.rad() for ball in gap])
            if surely_less(radius * 2**_DIGITS_IN_BITS, size) or bits >= _MOST_BITS or not surely_positive(radius):
                # An exponent of ten near the largest gap; any other would do as well.
                power = _power(size) if surely_positive(size) else 0
                unit = arb(10) ** power
                numbers = [0.0 if ball.contains(ZERO) else float((ball / unit).mid()) for ball in gap]
                shape = (len(v), len(z))
                tall = [np.array(list(map(_fraction, balls)), object).reshape(shape) for balls in (surface, plane)]
                return Grid(tuple(v), tuple(z), tall[0], tall[1], np.array(numbers).reshape(shape), power, across)
        bits *= 2


def height(plane: Plane | PlaneClaim, v: Fraction, z: Fraction) -> Fraction:
    """slope_v v + slope_z z + offset, exactly."""
    return Fraction(plane.slope_v) * v + (Fraction(plane.slope_z) * z if z else 0) + Fraction(plane.offset)


def surface_at(claim: PlaneClaim, point: Point) -> Fraction:
    """The nonlinearity at a point, to far more digits than a picture has."""
    return Fraction(evaluate(claim, (point[0],), (point[1],)).surface[0, 0])


def gap_at(claim: PlaneClaim, point: Point, power: int) -> float:
    """The gap at a point in units of 10**power."""
    one = evaluate(claim, (point[0],), (point[1],))
    return float(Fraction(one.gap[0, 0]) * Fraction(10) ** (one.power - power)) if one.gap[0, 0] else 0.0


def exact_point(judgement: Judgement) -> Point | None:
    """The violating point, with what its floats leave over."""
    if judgement.point is None:
        return None
    v, z = (sum(map(Fraction, rest), Fraction(x)) for x, rest in zip(judgement.point, judgement.rest, strict=True))
    return v, z


def contacts(claim: PlaneClaim, grid: Grid) -> tuple[Point, ...]:
    """The points among the extreme ones of the box and of its sides where the plane touches, in order of the box."""
    if not grid.gap.size or not (largest := float(grid.gap.max())) > 0:
        return ()
    v, z = (Interval(float(low), float(high)) for low, high in hull(claim))
    found: list[Point] = []
    for point in _extreme(claim, v, z):
        gap = gap_at(claim, point, grid.power)
        if 0 <= gap <= _TOUCHES * largest and not any(_same(point, other, v, z) for other in found):
            found.append(point)
    return tuple(sorted(found))


def _extreme(claim: PlaneClaim, v: Interval, z: Interval) -> Iterator[Point]:
    """Points where the gap can be least: on the whole box and on each of its sides, or on an octagon."""
    slopes = claim.slope_v, claim.slope_z if is_product(claim.kind) else 0.0
    if claim.diagonals is not None:
        low_plus, high_plus, low_minus, high_minus = claim.diagonals
        diagonals = Diagonals(Interval(low_plus, high_plus), Interval(low_minus, high_minus))
        box = Interval(claim.lower_v, claim.upper_v), Interval(claim.lower_z, claim.upper_z)
        for at in sorted(octagon_candidates(claim.kind, *box, diagonals, *slopes)):
            yield Fraction(at[0]), Fraction(at[1])
        return
    for side in [(v, z), *((Interval(x, x), z) for x in v), *((v, Interval(y, y)) for y in z)]:
        chosen = extreme_excess(claim.kind, *side, *slopes)[1 if claim.side == "upper" else 0]
        yield Fraction(chosen.v), Fraction(chosen.z)


def window(claim: PlaneClaim, around: Point) -> tuple[Ends, Ends, int]:
    """The box halved around a violating point until the violated part can be seen, and how often it was halved."""
    whole = hull(claim)
    found: list[Ends] = list(whole)
    for halvings in range(_MOST_HALVINGS):
        found = [_around(x, ends, halvings) for x, ends in zip(around, whole, strict=True)]
        if part(claim, found[0], found[1], _WINDOW).violated >= _SEEN:
            break
    return found[0], found[1], halvings


def _balls(
    claim: PlaneClaim, v: Sequence[Fraction], across: NDArray[np.object_]
) -> tuple[list[arb], list[arb], list[arb]]:
    balls_v, known = [_ball(x) for x in v], {y: _ball(y) for y in dict.fromkeys(across.ravel().tolist())}
    a, c = exact(claim.slope_v), exact(claim.offset)
    b = exact(claim.slope_z) if is_product(claim.kind) else ZERO
    if claim.kind == "relu":
        outer = [ball if x > 0 else ZERO for x, ball in zip(v, balls_v, strict=True)]
    else:
        outer = [(tanh if claim.kind == "tanh" else sigmoid)(ball).value for ball in balls_v]
    if claim.kind == "sigmoid_times_tanh":
        inner = {y: tanh(ball).value for y, ball in known.items()}
    else:
        inner = known if is_product(claim.kind) else dict.fromkeys(known, exact(1.0))
    tilted = {y: b * ball for y, ball in known.items()}
    rows = across.tolist()
    surface = [s * inner[y] for s, row in zip(outer, rows, strict=True) for y in row]
    plane = [along + tilted[y] for along, row in zip((a * x + c for x in balls_v), rows, strict=True) for y in row]
    if claim.side == "upper":
        return surface, plane, [p - f for p, f in zip(plane, surface, strict=True)]
    return surface, plane, [f - p for p, f in zip(plane, surface, strict=True)]


def _ball(x: Fraction) -> arb:
    return arb(fmpq(x.numerator, x.denominator))


def _fraction(ball: arb) -> Fraction:
    """The centre of the ball; 0 where it is below 2^-_NOTHING: sigmoid(-1e300) has no use for its 1e300 digits."""
    mantissa, exponent = ball.mid().man_exp()
    if exponent < -_NOTHING:
        return Fraction(0)
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def _largest(balls: Sequence[arb]) -> arb:
    top = ZERO
    for ball in balls:
        top = ball if surely_less(top, ball) else top
    return top


def _power(size: arb) -> int:
    return exponent(_fraction(size))


def _same(point: Point, other: Point, v: Interval, z: Interval) -> bool:
    return all(
        abs(a - b) <= Fraction(1e-6) * (Fraction(ends.upper) - Fraction(ends.lower))
        for a, b, ends in zip(point, other, (v, z), strict=True)
    )


def _around(x: Fraction, ends: Ends, halvings: int) -> Ends:
    """The part of [low, high], 2^-halvings as wide, with x in its middle or as near to it as the ends allow."""
    low, high = ends
    size = (high - low) / 2**halvings
    start = min(max(x - size / 2, low), high - size)
    return start, start + size
