"""One diagonal edge of an octagon: is F(v, z) = sigmoid(v) g(z) - a v - b z - c <= 0 along z = e v + k, e = 1 or -1?

Method card
    Source     lemma `octagon_edges`.
    Idea       Along the edge F is a smooth function h of v with
               h'' = sigmoid''(v) g(z) + 2 e sigmoid'(v) g'(z) + sigmoid(v) g''(z). On a piece [p, q] with h'' >= -n
               there h <= max(h(p), h(q)) + n (q - p)^2 / 8: an end decides where h is convex (n = 0). Pieces that this
               does not decide are halved.
    Cost       Away from contact points few pieces do; towards a contact point with room d their number grows with
               log(1 / d). A plane that touches the surface inside an edge, with no room at all, stays undecided.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, NamedTuple

from flint import arb

from refcert.kernel.ball import (
    ONE,
    ZERO,
    exact,
    float_below,
    larger,
    middle,
    surely_not_positive,
    surely_positive,
)
from refcert.kernel.functions import Curve, sigmoid, tanh
from refcert.kernel.octagon import Diagonal
from refcert.kernel.side_proof import Witnesses

# Pieces of one edge, at one precision.
PIECES: Final = 1024

_QUARTER: Final = ONE / 4


class Outcome(Enum):
    """PROVED; OPEN: more bits may decide it; STUCK: they will not."""

    PROVED = auto()
    OPEN = auto()
    STUCK = auto()


class Plane(NamedTuple):
    """slope_v v + slope_z z + offset, exactly or in balls."""

    a: arb
    b: arb
    c: arb


class _Point(NamedTuple):
    """A point of the edge: sigmoid, g and h there."""

    v: arb
    z: arb
    s: Curve
    g: Curve
    h: arb


class _Line:
    """h along the edge. Every v is a point, no ball, so that neighbouring pieces leave nothing out."""

    def __init__(self, edge: Diagonal, plane: Plane, with_tanh: bool) -> None:
        self.turn, self.level, self.with_tanh = edge.turn, exact(edge.level), with_tanh
        self.slope, self.offset = plane.a + self.turn * plane.b, plane.b * self.level + plane.c

    def at(self, v: arb) -> _Point:
        z = self.level + v if self.turn > 0 else self.level - v
        s, g = sigmoid(v), tanh(z) if self.with_tanh else Curve(z, ONE)
        return _Point(v, z, s, g, s.value * g.value - self.slope * v - self.offset)

    def bend(self, p: _Point, q: _Point) -> arb:
        """A ball with -h'' of every point between p and q, p left of q."""
        s, g = p.s.value.union(q.s.value), p.g.value.union(q.g.value)  # both functions rise
        ds = p.s.slope.union(q.s.slope)
        if not (surely_not_positive(q.v) or surely_not_positive(-p.v)):
            ds = ds.union(_QUARTER)  # sigmoid' rises up to 0 and falls from there
        if not self.with_tanh:
            return ds * ((s + s - ONE) * g - 2 * self.turn)
        dg = p.g.slope.union(q.g.slope)
        low, high = (p.z, q.z) if self.turn > 0 else (q.z, p.z)
        if not (surely_not_positive(high) or surely_not_positive(-low)):
            dg = dg.union(ONE)  # tanh' does, too
        return ds * ((s + s - ONE) * g - 2 * self.turn * dg) + 2 * s * g * dg


def holds_on_diagonal(edge: Diagonal, plane: Plane, with_tanh: bool, bits: int, witnesses: Witnesses) -> Outcome:
    """Is h <= 0 on all of the edge? bits: the precision; points where h > 0 are told to the witnesses."""
    line = _Line(edge, plane, with_tanh)
    first = line.at(exact(edge.first))
    last = line.at(exact(edge.last)) if edge.last > edge.first else first
    for point in (first, last):
        if not surely_not_positive(point.h):
            return _not_below(point, witnesses)
    pieces: list[tuple[_Point, _Point, arb | None, int]] = [(first, last, None, 0)]
    for _ in range(PIECES):
        if not pieces:
            return Outcome.PROVED
        p, q, bend, depth = pieces.pop()
        width = q.v - p.v
        square, top = width * width / 8, larger(p.h, q.h)
        if bend is not None and surely_not_positive(top + bend * square):
            continue  # by the bend of the piece that was halved
        bend = larger(line.bend(p, q), ZERO)
        if surely_not_positive(top + bend * square):
            continue
        if 2 * depth > bits:
            return Outcome.OPEN
        half = line.at(middle((p.v + q.v) / 2))
        if not surely_not_positive(half.h):
            return _not_below(half, witnesses)
        pieces += [(p, half, bend, depth + 1), (half, q, bend, depth + 1)]
    return Outcome.PROVED if not pieces else Outcome.STUCK


def _not_below(point: _Point, witnesses: Witnesses) -> Outcome:
    """Of a point where h is not certainly <= 0."""
    witnesses.point(point.h, float_below(point.v), float_below(point.z))
    return Outcome.STUCK if surely_positive(point.h) else Outcome.OPEN
