"""Lines of two factors, composed by McCormick's inequality for their product, give an upper plane.

Let 0 <= xl <= x <= xu and yl <= y <= yu, y <= U(z), and l(v) <= x <= u(v). Then
(i)   x y <= xu y + yl x - xu yl,  for  (xu - x) (y - yl) >= 0;
      x y <= xl y + yu x - xl yu,  for  (x - xl) (yu - y) >= 0.
(ii)  With U(z) in the place of y, whose factor is >= 0, and in the place of x the line u(v) where its factor yl (yu) is
      >= 0 and l(v) where it is not, the right-hand side does not decrease: it is an upper plane of x y, with the slopes
      and the offset of the code's `composed`.
(iii) An upper plane's offset is at least the exact one for its slopes, so the larger of the two is, without rounding,
      the composed one; with rounding it is sound because it is at least the exact one.
Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from unittest import mock

import sympy as sp

from gpu_engine.bounds import Plane, PlanePair
from gpu_engine.relaxations import mccormick
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, identity, nonnegative

v, z = sp.symbols("v z", real=True)
# Distances that are >= 0: x from its two ends, y from its two ends, lines from what they bound.
dx, ex, dy, ey, above_x, below_x, above_y, xl = sp.symbols("dx ex dy ey above_x below_x above_y xl", positive=True)
size = sp.Symbol("size", positive=True)  # |y_end|
POSITIVE = dict.fromkeys((dx, ex, dy, ey, above_x, below_x, above_y, xl, size), (0, sp.oo))
# Lines by slope and offset, as the code gets them.
su, ou, sl, ol, sg, og = sp.symbols("su ou sl ol sg og", real=True)
Compose = Callable[[Expr, Expr, PlanePair, Expr, Expr], Plane]


def _derive(
    compose: Compose = mccormick.composed,
    y_ends: tuple[str, str] = ("lower", "upper"),
    least_x: Expr = xl,
) -> list[str]:
    """y_ends: the end of y that goes with the upper and with the lower end of x. least_x: the lower end of x."""
    proof = Proof()
    x = least_x + dx
    zero = sp.Integer(0)
    lines = PlanePair(Plane(sl, zero, ol), Plane(su, zero, ou))
    for name, x_end, y_side in (("upper end of x", x + ex, y_ends[0]), ("lower end of x", least_x, y_ends[1])):
        for sign in (1, -1):
            y_end = sign * size
            y = y_end + dy if y_side == "lower" else y_end - ey
            step = f"{name}, y_end {'>= 0' if sign > 0 else '< 0'}"
            between = x_end * y + y_end * x - x_end * y_end - x * y
            proof.by(f"{step}: McCormick's inequality", nonnegative, sp.expand(between), POSITIVE)
            chosen = SimpleNamespace(where=lambda condition, yes, no: yes if condition else no)
            with mock.patch.object(mccormick, "torch", chosen):
                plane = compose(x_end, y_end, lines, sg, og)
            height = plane.slope_v * v + plane.slope_z * z + plane.offset
            # The lines' heights are what they bound plus a distance.
            replaced = {ou: x + above_x - su * v, ol: x - below_x - sl * v, og: y + above_y - sg * z}
            gap = sp.expand((height - x * y).subs(replaced))
            proof.by(f"{step}: the plane is above the product", nonnegative, gap, POSITIVE)
    return proof.steps


def _largest(take: Callable[[Expr, Expr], Expr] = sp.Max) -> list[str]:
    """(iii): with exact = max of f minus slopes, offset = exact + above."""
    proof = Proof()
    exact = sp.Symbol("exact", real=True)
    proof.by("without rounding it is the composed offset", identity, take(exact + above_y, exact), exact + above_y)
    proof.by("rounded below, it is the exact offset", identity, take(exact - below_x, exact), exact)
    return proof.steps


def _always_upper(x_end: Expr, y_end: Expr, lines: PlanePair, g_slope: Expr, g_offset: Expr) -> Plane:
    upper = lines.upper
    return Plane(y_end * upper.slope_v, x_end * g_slope, y_end * upper.offset + x_end * g_offset - x_end * y_end)


def _sign_of_corner(x_end: Expr, y_end: Expr, lines: PlanePair, g_slope: Expr, g_offset: Expr) -> Plane:
    plane = mccormick.composed(x_end, y_end, lines, g_slope, g_offset)
    return Plane(plane.slope_v, plane.slope_z, plane.offset + 2 * x_end * y_end)


LEMMA = Lemma(
    name="mccormick_product",
    statement=__doc__,
    source="McCormick (1976), section 4; Shi et al. (2020) for its use on networks",
    code=("gpu_engine.relaxations.mccormick:composed", "gpu_engine.relaxations.mccormick:mccormick"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_relaxations.py"),
    check=lambda: _derive() + _largest(),
    controls={
        "the upper line of x whatever the sign of y's end": lambda: _derive(_always_upper),
        "the product of the ends with the wrong sign": lambda: _derive(_sign_of_corner),
        "both lower ends or both upper ends": lambda: _derive(y_ends=("upper", "lower")),
        "a factor x that may be negative": lambda: _derive(least_x=-xl),
        "the smaller of both offsets": lambda: _largest(sp.Min),
    },
)
