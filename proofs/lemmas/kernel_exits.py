"""Where the kernel stops early: a concave arc's larger end, and boxes whose inside holds no maximum.

(i)   A concave arc that falls at its start is largest there, one that rises at its end is largest there. Where that
      start (end) is 0 and no corner, the curve is convex beyond it and goes on falling (rising) to a corner, which
      decides: convex and falling at 0 means F' <= F'(0) <= 0 on the convex half.
(ii)  An interior maximum has v, z > 0 (`concave_region`), where sigmoid' falls in v, tanh' in z, and both functions
      rise. So there is none if on the box, cut at 0,
          s(vu) t'(zl) < b  or  b < s(vl) t'(zu),   s'(vl) t(zu) < a  or  a < s'(vu) t(zl),
      for then F_z or F_v has one sign; nor if b >= 1 (F_z = s t' - b < 0); nor if vu < V(zu), for V falls.
(iii) An interior maximum has s = b cosh(z)^2 (`candidates_tanh`), between b cosh(zl)^2 and b cosh(zu)^2, and s >=
      s_peak; logit increases: so its v lies between the kernel's first and last v.
(iv)  The tangent plane at a point of the region C bounds F on the part of the box between them: a linear function is
      largest at one end of each coordinate.
Shapes: one plane.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, identity, largest_at_corner, nonnegative, positive

s, t, b = sp.symbols("s t b", positive=True)
HALF = sp.Rational(1, 2)
OO = sp.oo
INSIDE = {s: (HALF, 1), t: (0, 1)}  # v, z > 0


def _arc(convex_beyond: int = 1) -> list[str]:
    """(i). convex_beyond -1: concave on both sides of 0."""
    proof = Proof()
    fall, rise, length, bend = sp.symbols("fall rise length bend", positive=True)
    ranges = dict.fromkeys((fall, rise, length, bend), (0, OO))
    # Below its tangents: F(x) <= F(start) + F'(start) (x - start), by `bend`.
    proof.by("falls at its start: below it", nonnegative, fall * length + bend, ranges)
    proof.by("rises at its end: below it", nonnegative, rise * length + bend, ranges)
    # F' on the convex half, a distance before 0: F'(0) less what it grows by up to 0.
    before = -fall - convex_beyond * bend
    proof.by("convex half: F' <= F'(0) <= 0", nonnegative, -before, ranges)
    after = rise + convex_beyond * bend
    proof.by("convex half on the other side: F' >= F'(0) >= 0", nonnegative, after, ranges)
    return proof.steps


def _none_inside(corner: tuple[str, str] = ("high", "low")) -> list[str]:
    """(ii). corner: the end of v and of z where F_z + b is largest."""
    proof = Proof()
    slope_s, slope_t = s * (1 - s), 1 - t**2
    proof.by("sigmoid' falls for v > 0", nonnegative, -slope_s.diff(s), INSIDE)
    proof.by("tanh' falls for z > 0", nonnegative, -slope_t.diff(t), INSIDE)
    F_z, F_v = s * slope_t, slope_s * t
    for name, expr, ends in (
        ("F_z + b <= s(vu) t'(zl)", F_z, corner),
        ("F_z + b >= s(vl) t'(zu)", -F_z, ("low", "high")),
        ("F_v + a <= s'(vl) t(zu)", F_v, ("low", "high")),
        ("F_v + a >= s'(vu) t(zl)", -F_v, ("high", "low")),
    ):
        proof.by(name, largest_at_corner, expr, INSIDE, {s: ends[0], t: ends[1]})
    more = sp.Symbol("more", positive=True)
    proof.by("b >= 1: F_z < 0", positive, (1 + more) - F_z, INSIDE | {more: (0, OO)})
    # C is v >= V(z) with exp(V) = 1 + (1-t^2) / (2 t^2) (`concave_region`).
    border = 1 + slope_t / (2 * t**2)
    proof.by("V falls: vu < V(zu) <= V(z)", positive, -border.diff(t), {t: (0, 1)})
    return proof.steps


def _range_of_v(power: int = 1) -> list[str]:
    """(iii). power: of 1 / t' in s = b / t'."""
    proof = Proof()
    z = sp.Symbol("z", real=True)
    on_curve = b / (1 - sp.tanh(z) ** 2) ** power
    proof.by("b / t'(z) = b cosh(z)^2", identity, on_curve, b * sp.cosh(z) ** 2)
    rises = (b / (1 - t**2)).diff(t)
    proof.by("it rises in z > 0", positive, rises, {b: (0, 1), t: (0, 1)})
    logit = sp.log(s / (1 - s))
    proof.by("logit increases", positive, sp.simplify(logit.diff(s)), {s: (0, 1)})
    return proof.steps


def _tangent(ends: tuple[int, int] = (1, -1)) -> list[str]:
    """(iv). ends: the direction in which a rising and a falling slope go to their largest value."""
    proof = Proof()
    slope, down, up = sp.symbols("slope down up", positive=True)
    share = sp.Symbol("share", positive=True)
    ranges: dict[Expr, tuple[Expr, Expr]] = {slope: (0, OO), down: (0, OO), up: (0, OO), share: (0, 1)}
    x = -down + share * (down + up)
    top = {1: up, -1: -down}
    proof.by("rising: largest at the upper end", nonnegative, sp.expand(slope * (top[ends[0]] - x)), ranges)
    proof.by("falling: largest at the lower end", nonnegative, sp.expand(-slope * (top[ends[1]] - x)), ranges)
    return proof.steps


LEMMA = Lemma(
    name="kernel_exits",
    statement=__doc__,
    source="lemmas `s_curve_maximum`, `candidates_tanh` and `concave_region`; the tests are ours",
    code=(
        "refcert.kernel.side_proof:holds_on_concave_half",
        "refcert.kernel.inside_proof:holds_inside",
        "refcert.kernel.plane_proof:check_plane",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/kernel/test_plane_proof.py"),
    check=lambda: _arc() + _none_inside() + _range_of_v() + _tangent(),
    controls={
        "concave on both sides of 0": lambda: _arc(convex_beyond=-1),
        "F_z is largest at (vu, zu)": lambda: _none_inside(corner=("high", "high")),
        "F_z is largest at (vl, zl)": lambda: _none_inside(corner=("low", "low")),
        "s = b / t'^2 on the curve": lambda: _range_of_v(power=2),
        "a rising slope is largest at the lower end": lambda: _tangent(ends=(-1, -1)),
    },
)
