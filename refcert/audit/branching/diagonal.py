"""F on a diagonal edge of an octagon: h(v) = F(v, turn v + level), turn being 1 or -1, cut into pieces.

With s, t and g' the values and slopes at both ends of a piece, between which they are monotone on either side of 0:
    h'  = F_v + turn F_y
    h'' = s' ((1 - s) - s) g + 2 turn s' g' + s g'',   g'' = -2 t t' for tanh and 0 for the identity,
is enclosed by interval arithmetic. A piece is settled where h'' >= 0 (the ends decide), where h' has one sign (so do
they), where h'' <= 0 (below a tangent) or by Taylor's form around its middle; else it is cut there.
Lemmas `branching_values`, `octagon_edges`.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from flint import arb

from refcert.audit.branching.excess import PRODUCT_TANH, Excess
from refcert.audit.branching.outcomes import MoreBitsError, ViolatedError
from refcert.audit.branching.places import Place
from refcert.audit.branching.rectangle import FAR, Budget
from refcert.kernel.ball import (
    ONE,
    ZERO,
    exact,
    middle,
    precision,
    surely_less,
    surely_not_negative,
    surely_not_positive,
    surely_positive,
    upper_of_two,
)

_QUARTER: Final = ONE / 4
# Steps of Newton's method on a concave piece; some six are the rule.
_STEPS: Final = 40
# At which turn v + level is exact, for the v and levels of an edge.
_EXACT_BITS: Final = 4096 + 64


class _At(NamedTuple):
    """A point of the edge."""

    v: Place
    y: Place


class _Edge:
    """h and its derivatives."""

    def __init__(self, form: Excess, turn: int, level: arb) -> None:
        self.form, self.turn, self.level = form, turn, level
        self.with_tanh = form.kind == PRODUCT_TANH

    def at(self, v: arb) -> _At:
        with precision(_EXACT_BITS):
            y = self.turn * v + self.level
        return _At(self.form.place_v(v), self.form.place_y(y))

    def value(self, at: _At) -> arb:
        return self.form.value(at.v, at.y)

    def slope(self, at: _At) -> arb:
        return self.form.slope_along_v(at.v, at.y) + self.turn * self.form.slope_along_y(at.v, at.y)

    def bend(self, low: _At, high: _At) -> arb:
        """A ball with h'' on the whole piece."""
        p, q, y, w = low.v, high.v, low.y, high.y
        slope_v, slope_y = p.slope.union(q.slope), y.slope.union(w.slope)
        if p.sign * q.sign < 0:
            slope_v = slope_v.union(_QUARTER)
        if self.with_tanh and y.sign * w.sign < 0:
            slope_y = slope_y.union(ONE)
        tilt, g = (p.up - p.value).union(q.up - q.value), y.value.union(w.value)
        bend = slope_v * (tilt * g + 2 * self.turn * slope_y)
        return bend - 2 * p.value.union(q.value) * g * slope_y if self.with_tanh else bend

    def check(self, at: _At) -> None:
        value = self.value(at)
        if surely_positive(value):
            raise ViolatedError(at.v.x, at.y.x)
        if not surely_not_positive(value):
            raise MoreBitsError


def check_diagonal(form: Excess, turn: int, level: arb, ends: tuple[arb, arb], budget: Budget) -> None:
    """F <= 0 on y = turn v + level for v between these exact ends, or raise how it ended."""
    edge = _Edge(form, turn, level)
    low, high = edge.at(ends[0]), edge.at(ends[1])
    edge.check(low)
    edge.check(high)
    pieces = [(low, high)]
    while pieces:
        budget.spend()
        pieces.extend(_parts(edge, *pieces.pop()))


def _parts(edge: _Edge, low: _At, high: _At) -> tuple[tuple[_At, _At], ...]:
    """Nothing where F <= 0 is certain on the piece, whose ends are settled; else its halves, their ends settled."""
    if not surely_less(low.v.x, high.v.x):
        return ()
    bend = edge.bend(low, high)
    if surely_not_negative(bend):
        return ()
    if surely_not_positive(edge.slope(low)) and surely_not_positive(bend):
        return ()
    if surely_not_negative(edge.slope(high)) and surely_not_positive(bend):
        return ()
    centre = edge.at(_between(low.v, high.v))
    edge.check(centre)
    slope, left, right = edge.slope(centre), centre.v.x - low.v.x, high.v.x - centre.v.x
    if surely_not_positive(bend):
        if _below_tangent(edge, low, high, centre):
            return ()
    else:
        one_sign = (slope - upper_of_two(bend * left, -bend * right), -slope - upper_of_two(-bend * left, bend * right))
        if any(surely_not_negative(sign) for sign in one_sign):
            return ()
        widest = upper_of_two(right, left)
        bound = edge.value(centre) + upper_of_two(slope * right, -slope * left)
        if surely_not_positive(bound + upper_of_two(bend, ZERO) * widest * widest / 2):
            return ()
    return (low, centre), (centre, high)


def _below_tangent(edge: _Edge, low: _At, high: _At, start: _At) -> bool:
    """h is concave on the piece: is its tangent at a point near the maximum <= 0 there?

    Raises MoreBitsError where the point is the maximum as far as these bits can tell.
    """
    at, left, right = start, low.v.x, high.v.x
    for _ in range(_STEPS):
        value, slope = edge.value(at), edge.slope(at)
        if surely_positive(value):
            raise ViolatedError(at.v.x, at.y.x)
        if surely_not_positive(value + upper_of_two(slope * (right - at.v.x), slope * (left - at.v.x))):
            return True
        if surely_positive(slope):
            left = at.v.x
        elif surely_positive(-slope):
            right = at.v.x
        else:
            raise MoreBitsError
        x = _step(left, at.v.x - slope / edge.bend(at, at), right)
        if x is None:
            raise MoreBitsError
        at = edge.at(x)
    return False


def _step(left: arb, x: arb, right: arb) -> arb | None:
    """The centre of x if it lies strictly between, else that of the interval; None where these bits have none."""
    for tried in (middle(x), middle((left + right) / 2)):
        if surely_less(left, tried) and surely_less(tried, right):
            return tried
    return None


def _between(low: Place, high: Place) -> arb:
    """A point strictly between. Raises MoreBitsError where these bits have none."""
    x = middle((low.x + high.x) / 2)
    if low.sign < 0 < high.sign:
        # the curves live near 0
        x = ZERO if max(-low.near, high.near) > FAR else x
    elif low.sign + high.sign != 0:
        near, far = sorted((abs(low.near), abs(high.near)))
        if far > FAR * max(near, 1.0):
            x = exact(math.copysign(math.sqrt(max(near, 1.0)) * math.sqrt(far), low.sign + high.sign))
    if surely_less(low.x, x) and surely_less(x, high.x):
        return x
    raise MoreBitsError
