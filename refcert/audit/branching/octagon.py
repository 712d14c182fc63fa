"""F = sigmoid(v) g(y) - a v - b y - c on an octagon: its eight edges, then its inside.

F is largest on an edge, or at an interior maximum. Edges are taken with their exact ends, which are sums of floats.
Along the axes they are segments of `segment`, the others are those of `diagonal`. An interior maximum has F_v = F_y = 0
and no second derivative above 0, so v, y > 0, and none is there for sigmoid(v) y (lemma `second_order_forms`). Left is
the quadrant v, y >= 0 of the box around the octagon, cut into nodes:
    outside    no point of the node is in the octagon;
    steep      F_v or F_y is not 0 on the node;
    saddle     D < 0 on it: the Hessian is indefinite;
    bound      F <= 0 on it by the tangent plane where it is concave, else by the Taylor form (`rectangle`);
    cut        otherwise.
Only points of the octagon refute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Final, NamedTuple

from flint import arb, fmpq

from refcert.audit.branching.diagonal import check_diagonal
from refcert.audit.branching.excess import PRODUCT_TANH, Excess
from refcert.audit.branching.lines import AlongV, AlongY
from refcert.audit.branching.outcomes import MoreBitsError, ViolatedError
from refcert.audit.branching.places import Place
from refcert.audit.branching.rectangle import (
    Budget,
    Rectangle,
    below_tangent_plane,
    below_taylor,
    centre_of,
    curvature,
    cut,
)
from refcert.audit.branching.segment import check_point, check_segment
from refcert.kernel.ball import precision, surely_not_negative, surely_positive

# Halves of sums of two floats are exact at this precision.
_EXACT_BITS: Final = 4096


class Octagon(NamedTuple):
    """Exact ends of v, y, v + y and v - y."""

    v: tuple[Fraction, Fraction]
    y: tuple[Fraction, Fraction]
    plus: tuple[Fraction, Fraction]
    minus: tuple[Fraction, Fraction]

    def along_v(self, y: Fraction) -> tuple[Fraction, Fraction]:
        """The ends of v for this y; reversed where there is none."""
        low = max(self.v[0], self.plus[0] - y, self.minus[0] + y)
        return low, min(self.v[1], self.plus[1] - y, self.minus[1] + y)

    def along_y(self, v: Fraction) -> tuple[Fraction, Fraction]:
        """The ends of y for this v; reversed where there is none."""
        low = max(self.y[0], self.plus[0] - v, v - self.minus[1])
        return low, min(self.y[1], self.plus[1] - v, v - self.minus[0])

    def diagonals(self) -> Iterator[tuple[int, Fraction, Fraction, Fraction]]:
        """turn, level, first v, last v of the edges on y = turn v + level; reversed where there is none."""
        for s in dict.fromkeys(self.plus):
            low = max(self.v[0], s - self.y[1], (s + self.minus[0]) / 2)
            yield -1, s, low, min(self.v[1], s - self.y[0], (s + self.minus[1]) / 2)
        for d in dict.fromkeys(self.minus):
            low = max(self.v[0], d + self.y[0], (self.plus[0] + d) / 2)
            yield 1, -d, low, min(self.v[1], d + self.y[1], (self.plus[1] + d) / 2)


def octagon_of(form: Excess) -> Octagon:
    """The domain of a form with diagonals."""
    assert form.diagonals is not None
    v, y, plus, minus = (
        (Fraction(low), Fraction(high))
        for low, high in (form.box_v, form.box_y, form.diagonals[:2], form.diagonals[2:])
    )
    return Octagon(v, y, plus, minus)


def check_octagon(form: Excess, budget: Budget) -> None:
    """F <= 0 on the octagon, or raise ViolatedError, MoreBitsError or OutOfNodesError."""
    octagon = octagon_of(form)
    for y in dict.fromkeys(octagon.y):
        low, high = octagon.along_v(y)
        if low <= high:
            check_segment(AlongV(form, form.place_y(_ball(y))), *_ends(form.place_v, low, high))
    for v in dict.fromkeys(octagon.v):
        low, high = octagon.along_y(v)
        if low <= high:
            at, first, last = form.place_v(_ball(v)), *_ends(form.place_y, low, high)
            if form.kind == PRODUCT_TANH:
                check_segment(AlongY(form, at), first, last)
            else:  # linear along y
                for end in (first, last):
                    check_point(AlongV(form, end), at)
    for turn, level, low, high in octagon.diagonals():
        if low <= high:
            check_diagonal(form, turn, _ball(level), (_ball(low), _ball(high)), budget)
    if form.kind == PRODUCT_TANH:
        _check_inside(form, octagon, budget)


def _check_inside(form: Excess, octagon: Octagon, budget: Budget) -> None:
    """F <= 0 at every interior maximum."""
    zero = Fraction(0)
    low_v, high_v = max(octagon.v[0], zero), octagon.v[1]
    low_y, high_y = max(octagon.y[0], zero), octagon.y[1]
    if low_v >= high_v or low_y >= high_y:
        return
    nodes: list[Rectangle] = [
        (*_ends(form.place_v, low_v, high_v), *_ends(form.place_y, low_y, high_y)),
    ]
    ends = _Ends(*map(_ball, (*octagon.plus, *octagon.minus)))
    while nodes:
        budget.spend()
        node = nodes.pop()
        if ends.miss(node) or _no_maximum(form, node):
            continue
        nodes.extend(_parts(form, octagon, ends, node))


class _Ends(NamedTuple):
    """The ends of v + y and v - y as balls."""

    low_plus: arb
    high_plus: arb
    low_minus: arb
    high_minus: arb

    def miss(self, node: Rectangle) -> bool:
        """Is no point of the node in the octagon?"""
        v0, v1, y0, y1 = (place.x for place in node)
        rooms = (self.low_plus - v1 - y1, v0 + y0 - self.high_plus, self.low_minus - v1 + y0, v0 - y1 - self.high_minus)
        return any(surely_positive(room) for room in rooms)

    def hold(self, node: Rectangle) -> bool:
        """Are all points of the node in the octagon, as far as its diagonals go?"""
        v0, v1, y0, y1 = (place.x for place in node)
        rooms = (v0 + y0 - self.low_plus, self.high_plus - v1 - y1, v0 - y1 - self.low_minus, self.high_minus - v1 + y0)
        return all(surely_not_negative(room) for room in rooms)


def _no_maximum(form: Excess, node: Rectangle) -> bool:
    """Steep or saddle, strictly: no point of the closed node is an interior maximum."""
    v0, v1, y0, y1 = node
    slopes = (
        *(form.a - v0.slope * y1.value, v1.slope * y0.value - form.a),
        *(form.b - v1.value * y0.slope, v0.value * y1.slope - form.b),
    )
    return any(surely_positive(slope) for slope in slopes) or surely_positive(-curvature(v1, y1))


def _parts(form: Excess, octagon: Octagon, ends: _Ends, node: Rectangle) -> tuple[Rectangle, ...]:
    """Nothing where F <= 0 is certain on the node, else its parts."""
    v0, _, y0, _ = node
    try:
        if surely_not_negative(curvature(v0, y0)):
            if below_tangent_plane(form, node):
                return ()
        elif below_taylor(form, node, centre_of(form, node)):
            return ()
    except ViolatedError as found:
        if _holds(octagon, found):
            raise
    except MoreBitsError:
        if ends.hold(node):
            raise
    return cut(node, centre_of(form, node))


def _holds(octagon: Octagon, found: ViolatedError) -> bool:
    """Is this point, exactly, one of the octagon?"""
    v, y = (Fraction(int(x.p), int(x.q)) for x in (found.v.fmpq(), found.y.fmpq()))
    pairs = ((v, octagon.v), (y, octagon.y), (v + y, octagon.plus), (v - y, octagon.minus))
    return all(low <= x <= high for x, (low, high) in pairs)


def _ends(place: Callable[[arb], Place], low: Fraction, high: Fraction) -> tuple[Place, Place]:
    first = place(_ball(low))
    return first, first if low == high else place(_ball(high))


def _ball(x: Fraction) -> arb:
    """The exact point: denominators are powers of two."""
    with precision(_EXACT_BITS):
        return arb(fmpq(x.numerator, x.denominator))
