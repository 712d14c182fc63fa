"""The second method's rules: monotone, convex, concave, indefinite and Taylor forms of F = s t - a v - b y - c.

Let s = sigmoid(v), t = tanh(y), and a node be a rectangle [v0, v1] x [y0, y1]; a claim is F <= 0 on it.
(i)   A function with F' falling on a segment is largest at its start if F' <= 0 there, at its end if F' >= 0 there, and
      lies below its tangent at any point (`s_curve_maximum`). A convex one is largest at an end; where the other end is
      known to be <= 0 (zero, on a concave half), one end is left.
(ii)  F_vv = s (1-s) (1-2s) t, F_yy = -2 s t (1-t^2), F_vy = s' t' > 0. For y <= 0 F is convex along y; for v <= 0 <= y
      convex along v: largest on faces. On v, y >= 0 both are <= 0.
(iii) On v, y >= 0: F_v falls in v and rises in y, F_y rises in v and falls in y. So s'(v0) t(y1) <= a makes F fall
      along v on all of the node, s'(v1) t(y0) >= a rise; s(v1) t'(y0) <= b makes it fall along y, s(v0) t'(y1) >= b
      rise.
(iv)  F_vv F_yy - F_vy^2 = s s' t' D, D = 2 t^2 (2s - 1) - (1-s) (1-t^2), which rises in v and in y on v, y >= 0. D >= 0
      at (v0, y0): F is concave on the node, below its tangent plane at any point of it (`concave_region`, D >= 0 is C).
      D <= 0 at (v1, y1): D < 0 inside, the Hessian is indefinite there, and F is largest on the node's sides.
(v)   F(p + d) <= F(p) + F_v(p) dv + F_y(p) dy + s'(v0) t'(y0) max(right up, left down) on v, y >= 0: the remainder is
      the integral of (1 - w) (F_vv dv^2 + 2 F_vy dv dy + F_yy dy^2), and the integral of (1 - w) is 1/2.
(vi)  A node cut at a point between its ends is the union of its two parts, closed.
(vii) A maximum on an open set has v, y > 0 and det >= 0: at y < 0 F_yy > 0, at v < 0 < y F_vv > 0, and on either axis
      one of them is 0, so that det < 0. For s y in place of s t, det = -F_vy^2 < 0 everywhere.
Shapes: one node.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, identity, largest_at_corner, nonnegative, positive, tangent_remainder
from refcert.audit.branching import rectangle

v, y, a, b, c, dv, dy = sp.symbols("v y a b c dv dy", real=True)
s, t, w = sp.symbols("s t w", positive=True)
HALF = sp.Rational(1, 2)
OO = sp.oo
QUADRANT = {s: (HALF, 1), t: (0, 1)}  # v, y > 0
F_VV, F_YY, F_VY = s * (1 - s) * (1 - 2 * s) * t, -2 * s * t * (1 - t**2), s * (1 - s) * (1 - t**2)
Curvature = Callable[[SimpleNamespace, SimpleNamespace], Expr]
CODE: Any = rectangle.curvature


def _signs(mixed: Expr = F_VY) -> list[str]:
    """(ii)."""
    proof = Proof()
    F = sigmoid(v) * sp.tanh(y) - a * v - b * y - c
    here = {s: sigmoid(v), t: sp.tanh(y)}
    for name, order, value in (("F_vv", (v, v), F_VV), ("F_yy", (y, y), F_YY), ("F_vy", (v, y), mixed)):
        proof.by(name, identity, sp.diff(F, *order), value.subs(here))
    proof.by("y <= 0: convex along y", nonnegative, F_YY.subs(t, -t), {s: (0, 1), t: (0, 1)})
    proof.by("v <= 0 <= y: convex along v", nonnegative, F_VV, {s: (0, HALF), t: (0, 1)})
    proof.by("v, y >= 0: concave along v", nonnegative, -F_VV, QUADRANT)
    proof.by("v, y >= 0: concave along y", nonnegative, -F_YY, QUADRANT)
    proof.by("F_vy > 0", positive, F_VY, {s: (0, 1), t: (-1, 1)})
    return proof.steps


def _segments(falling: int = 1) -> list[str]:
    """(i). falling -1: F' rises."""
    proof = Proof()
    drop, length, start, end, below = sp.symbols("drop length start end below", positive=True)
    share = sp.Symbol("share", positive=True)
    ranges = dict.fromkeys((drop, length, start, end, below), (0, OO)) | {share: (0, 1)}
    # F(x) <= F(low) + F'(low) (x - low): `below` is what it is lower; the sign of that is what falling says.
    at_start = -start * share * length - falling * below
    proof.by("F'(low) <= 0: F(x) <= F(low)", nonnegative, -at_start, ranges)
    at_end = end * (share * length - length) - falling * below
    proof.by("F'(high) >= 0: F(x) <= F(high)", nonnegative, -at_end, ranges)
    # Convex with F(zero) <= 0 and F(outer) <= 0: an average of the two is.
    average = share * -drop + (1 - share) * -below
    proof.by("convex: <= 0 at both ends, <= 0 between", nonnegative, -average, ranges)
    proof.by("Taylor's remainder", tangent_remainder)
    return proof.steps


def _monotone(largest: tuple[str, str] = ("low", "high")) -> list[str]:
    """(iii). largest: the ends of v and of y where F_v is largest."""
    proof = Proof()
    F_v, F_y = s * (1 - s) * t, s * (1 - t**2)  # less a and b
    for name, expr, ends in (
        ("F_v is largest at this corner", F_v, largest),
        ("F_v is least at v1, y0", -F_v, ("high", "low")),
        ("F_y is largest at v1, y0", F_y, ("high", "low")),
        ("F_y is least at v0, y1", -F_y, ("low", "high")),
    ):
        proof.by(name, largest_at_corner, expr, QUADRANT, {s: ends[0], t: ends[1]})
    return proof.steps


def _curvature(code: Curvature = CODE) -> list[str]:
    """(iv): the code's D on symbols."""
    proof = Proof()
    place_v = SimpleNamespace(value=s, up=1 - s, slope=s * (1 - s))
    place_y = SimpleNamespace(value=t, slope=1 - t**2)
    with mock.patch.object(rectangle, "TWO", sp.Integer(2)):
        D = sp.expand(code(place_v, place_y))
    determinant = F_VV * F_YY - F_VY**2
    factor = s * (s * (1 - s)) * (1 - t**2)
    proof.by("determinant = s s' t' D", identity, determinant, factor * D)
    proof.by("its factor is positive", positive, factor, QUADRANT)
    proof.by("D rises in v", positive, D.diff(s), QUADRANT)
    proof.by("D rises in y", positive, D.diff(t), QUADRANT)
    # F_yy < 0 and determinant >= 0 make the form <= 0 (as in `concave_region`).
    form = F_VV * dv**2 + 2 * F_VY * dv * dy + F_YY * dy**2
    square = F_YY * (dy + F_VY / F_YY * dv) ** 2 + (determinant / F_YY) * dv**2
    proof.by("a square with a negative factor, and determinant / F_yy", identity, form, square)
    proof.by("F_yy < 0", positive, -F_YY, QUADRANT)
    # At a maximum inside all second differences are <= 0; with det < 0 the form takes both signs.
    x = sp.Symbol("x", real=True)
    along = (F_VV + 2 * F_VY * x + F_YY * x**2).subs(x, -F_VY / F_YY)
    proof.by("det < 0: positive along (1, -F_vy / F_yy)", identity, along * F_YY, determinant)
    return proof.steps


def _taylor(share: Expr = HALF, extreme: int = 1) -> list[str]:
    """(v). share: the integral of 1 - w, extreme -1: the other two corners."""
    proof = Proof()
    proof.by("integral of 1 - w", identity, sp.integrate(1 - w, (w, 0, 1)), share)
    left, right, down, up = sp.symbols("left right down up", positive=True)
    i, j = sp.symbols("i j", positive=True)
    ranges: dict[Expr, tuple[Expr, Expr]] = dict.fromkeys((left, right, down, up), (0, OO)) | {i: (0, 1), j: (0, 1)}
    # d in the same quadrant as a corner; in mixed quadrants dv dy <= 0.
    top, bottom = (right * up, left * down) if extreme > 0 else (right * down, left * up)
    proof.by("both up: dv dy <= right up", nonnegative, sp.expand(top - i * right * j * up), ranges)
    proof.by("both down: dv dy <= left down", nonnegative, sp.expand(bottom - i * left * j * down), ranges)
    proof.by("mixed: dv dy <= 0", nonnegative, i * right * j * down, ranges)
    # s' and t' fall on v, y >= 0: largest at the low corner.
    proof.by("s' falls", nonnegative, -(s * (1 - s)).diff(s), QUADRANT)
    proof.by("t' falls", nonnegative, -(1 - t**2).diff(t), QUADRANT)
    # form <= 2 F_vy dv dy, as F_vv, F_yy <= 0.
    x, z = sp.symbols("x z", positive=True)
    rest = (2 * x - (2 * x - z)) * share
    proof.by("F_vv dv^2 + F_yy dy^2 <= 0 may be left out", nonnegative, rest, {x: (0, OO), z: (0, OO)})
    proof.by("Taylor's remainder", tangent_remainder)
    return proof.steps


def _open(beyond: int = -1) -> list[str]:
    """(vii). beyond: the side of y = 0 that is looked at."""
    proof = Proof()
    determinant = F_VV * F_YY - F_VY**2
    proof.by("y < 0: F_yy > 0", positive, F_YY.subs(t, beyond * t), {s: (0, 1), t: (0, 1)})
    proof.by("v < 0 < y: F_vv > 0", positive, F_VV, {s: (0, HALF), t: (0, 1)})
    proof.by("y = 0: det = -F_vy^2", identity, determinant.subs(t, 0), -(F_VY.subs(t, 0) ** 2))
    proof.by("v = 0: det = -F_vy^2", identity, determinant.subs(s, HALF), -(F_VY.subs(s, HALF) ** 2))
    proof.by("F_vy > 0", positive, F_VY, {s: (0, 1), t: (-1, 1)})
    F = sigmoid(v) * y - a * v - b * y - c
    proof.by("s y: F_yy = 0", identity, sp.diff(F, y, 2), sp.Integer(0))
    proof.by("s y: F_vy = s'", identity, sp.diff(F, v, y), sigmoid(v) * (1 - sigmoid(v)))
    return proof.steps


def _cut(inside: bool = True) -> list[str]:
    """(vi): every point of [l, l + w] is in [l, m] or in [m, l + w]."""
    proof = Proof()
    low, width, i, share = sp.symbols("low width i share", positive=True)
    middle = low + share * width
    below, above = low + i * share * width, middle + i * (1 - share) * width
    ranges = {low: (0, OO), width: (0, OO), i: (0, 1), share: (0, 1) if inside else (1, 2)}
    for name, x, gap in (("below", below, middle - below), ("above", above, above - middle)):
        proof.by(f"{name} the cut: in that part", nonnegative, sp.expand(gap), ranges)
        proof.by(f"{name} the cut: in the node", nonnegative, sp.expand(low + width - x), ranges)
    return proof.steps


LEMMA = Lemma(
    name="second_order_forms",
    statement=__doc__,
    source="Hansen and Walster (2004); Kearfott (1996), chapter 5; lemmas `s_curve_maximum`, `concave_region`",
    code=(
        "refcert.audit.branching.search:check_plane_by_branching",
        "refcert.audit.branching.rectangle:check_rectangle",
        "refcert.audit.branching.segment:check_segment",
        "refcert.audit.branching.octagon:check_octagon",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/audit/test_branching_rules.py"),
    check=lambda: _signs() + _segments() + _monotone() + _curvature() + _taylor() + _cut() + _open(),
    controls={
        "F_vy = s (1 - t^2)": lambda: _signs(mixed=s * (1 - t**2)),
        "F' rises": lambda: _segments(falling=-1),
        "F_v is largest at v0 y0": lambda: _monotone(largest=("low", "low")),
        "D without its first factor 2": lambda: _curvature(lambda v, y: CODE(v, y) - y.value**2 * (v.value - v.up)),
        "the whole remainder counts a quarter": lambda: _taylor(share=sp.Rational(1, 4)),
        "dv dy is largest at mixed corners": lambda: _taylor(extreme=-1),
        "a cut outside of the node": lambda: _cut(inside=False),
        "F_yy > 0 above y = 0": lambda: _open(beyond=1),
    },
)
