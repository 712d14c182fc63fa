"""Rounding takes nothing from an offset over an octagon that the code's slack and margins do not give back.

Model: that of `rounding_gamma`; u <= 2^-24. What is exact is lemma `octagon_offsets`; boxes and diagonals are floats.
(i)   `_outward` returns ends beyond the exact ones, whatever the signs: edges and hull hold those of the octagon.
(ii)  The points v_k of a diagonal edge are floats from its lower to its upper end that do not fall (fl is monotone), so
      that its pieces tile it. The float z' stands for z = +-(v - level): |z' - z| <= (u |z'| + tiny) / (1-u), and
      h(v, z) differs from h(v, z') by at most (1 + |slope_z|) |z' - z|.
(iii) M(h0, h1, B) = max over 0 <= t <= 1 of (1-t) h0 + t h1 + B t (1-t) / 2 rises with B, and moves by at most as much
      as both ends do. `over` as computed is at least M less H u 5 + B u 2 + 8 tiny, H = max |h|; where the code takes
      the larger end instead, it is at least M less B u + 2 tiny.
(iv)  Vertices, sides, inside (`sigmoid_times_tanh.inside`) and the ends of pieces: the counts of roundings of
      `offset_rounding`, from the code on symbols. All together `Contour._slack` covers, for points of `reach_v`,
      `reach_z` and B <= `sharpest`. z' = 0 in the place of a subnormal z counts as the peak of g', which it is.
(v)   `_above` raises a curvature by more than `_curvature` and the product with width^2 lose: N' >= N / (1-u)^4.
      |g(z') - g(z)| <= u |g(z')| + u + 2 tiny and |g'(z') - g'(z)| <= 2 u + 2 tiny, for 2 |x| <= cosh(x)^2.
      A width that underflows loses N tiny^2 and less.
(vi)  `_lost` covers all roundings of `_tangent`, wherever the point lies: mu and r included, for any exact ones do.
(vii) `scalar_rounding` (v) holds with the octagon's boundary in the place of a side: from an interior maximum go along
      z to the boundary, F falls by as little. `_from_the_edge` moves into the region C as `inside` does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest import mock

import sympy as sp
import torch

from gpu_engine.bounds import Box
from gpu_engine.relaxations import octagon_edges, octagon_inside, octagon_maximum, sigmoid_times_tanh
from gpu_engine.relaxations.octagon_edges import Octagon
from gpu_engine.relaxations.octagon_maximum import Contour, Points, Side
from gpu_engine.relaxations.offsets import largest
from gpu_engine.relaxations.products import PRODUCTS, Product
from gpu_engine.relaxations.s_curve import sech_squared
from gpu_engine.rounding import CURVATURE_UNITS, TANGENT_UNITS, tiny, unit_roundoff
from proofs.forward_errors import FUNCTION, Bounded
from proofs.lemma import Lemma, Proof
from proofs.lemmas.offset_rounding import A, B, Mv, Mz, P, _split, covered, g, loss_and_slack, wv, wz
from proofs.lemmas.rounding_gamma import gamma
from proofs.roundings import GROWTH, LARGEST_U, Condition, Expr, Interval, Traced, leaf, longest, point
from proofs.tactics import above_tangents, compare, identity, nonnegative, source_has

u, w, t, x = sp.symbols("u w t x", positive=True)
N2, H = sp.symbols("N2 H", positive=True)  # the largest bend, and the largest |h|
V, Z, L = sp.symbols("V Z L", positive=True)  # the tangent point and the diagonal's level
ALONG_V, ALONG_Z = Interval(Mv, wv, P, g), Interval(Mz, wz, sp.nan, g)
SMALL_U = {u: (0, LARGEST_U)}
DTYPES = (torch.float64, torch.float32)


def _outward(more: int = 4, underflows: int = 8) -> list[str]:
    """(i) for the lower end; the upper one is its mirror image. w = |low|, t = tiny."""
    proof = Proof()
    source_has(octagon_edges._outward, "gamma(operations + 4, low.dtype), 8 * tiny(low.dtype)")
    source_has(
        octagon_edges._outward,
        "return low - low.abs() * relative - absolute, high + high.abs() * relative + absolute",
    )
    for function, line in (
        (Octagon.along_v, "_outward(low, high, 1)"),
        (Octagon.along_z, "_outward(low, high, 1)"),
        (octagon_edges.octagon_of, "_outward(v.lower + z.lower, v.upper + z.upper, 1)"),
        (octagon_edges.octagon_of, "_outward(v.lower - z.upper, v.upper - z.lower, 1)"),
        (Octagon.diagonal_edges, "_outward(torch.stack(lows), torch.stack(highs), 2)"),
        (Octagon.hull, "/ 2, 3)"),
    ):
        source_has(function, line)
    for k in (1, 2, 3):
        # low = exact phi + e, phi in I_k, |e| <= 2 tiny; the largest of several such: each is above its own exact one.
        lost = gamma_of(k) * w + 2 * t * (1 + gamma_of(k))
        # the relative margin in the engine's dtype, and its product
        p = w * gamma_of(k + more) * (1 - u) ** 2 - t
        margin = underflows * t
        proof.by(f"{k} operations: the end falls with p", nonnegative, 1 - u - u * (1 + u), SMALL_U)
        first = p - u * (w + p) - t  # low less the first difference
        second = margin - u * ((w + p) * (1 + u) + t + margin) - t
        ranges = {w: (0, sp.oo), t: (0, sp.oo), **SMALL_U}
        proof.by(f"{k} operations: the end lies beyond", nonnegative, first + second - lost, ranges)
    return proof.steps


def gamma_of(k: int) -> Expr:
    """gamma_k."""
    return gamma(sp.Integer(k))


def _maximum(allowed: Expr = sp.Integer(1)) -> list[str]:
    """(iii): M, and what its computation loses."""
    proof = Proof()
    h0, h1, e, more = sp.symbols("h0 h1 e more", positive=True)
    share = {t: (0, 1)}
    M = (1 - t) * h0 + t * h1 + N2 * t * (1 - t) / 2
    proof.by("M rises with B", nonnegative, M.diff(N2), share)
    proof.by("both ends by e: M by e", identity, M.subs({h0: h0 + e, h1: h1 + e}, simultaneous=True) - M, e)
    proof.by("M rises with an end", nonnegative, M.diff(h1), share)
    source_has(Contour._on_diagonals, "inside = rise.abs() < bend / 2")
    source_has(Contour._on_diagonals, "over = (h[1:] + h[:-1]) / 2 + bend / 8 + rise * share / 2")
    # The larger end although |r| < B/2: |r| >= (fl(B/2) - tiny) / (1+u) >= (B/2 - 2 tiny) / (1+u).
    # (B/2 - |r|)^2 / (2B) is what is missing (`octagon_edges`), B/8 at most: for B <= 8 tiny that is tiny.
    most = u * N2 / 2 + 2 * e
    gap = N2 / 2 - (N2 / 2 - 2 * e) / (1 + u)
    proof.by("B/2 - |r| <= u B/2 + 2 tiny", nonnegative, most - gap, SMALL_U | {N2: (0, sp.oo), e: (0, sp.oo)})
    missing = most**2 / (2 * N2)
    ranges = {more: (0, sp.oo), e: (0, sp.oo), **SMALL_U}
    proof.by(
        "missing <= B u + 2 tiny for B >= 8 tiny",
        nonnegative,
        (allowed * u * N2 + 2 * e - missing).subs(N2, 8 * e + more),
        ranges,
    )
    return proof.steps


def over_error() -> Bounded:
    """What the computation of `over` from its floats can lose; pinned in `_maximum`."""
    h, bend = Bounded(H), Bounded(N2)
    # r (1+d), |r'| < B/2, its quotient by B and the product: r^2 / B <= B/4 up to (1 +- u)^4, and underflows.
    product = Bounded(N2 / 4 * GROWTH, N2 / 4 * 5 * GROWTH, sp.Integer(4))
    return (h + h) / 2 + bend / 8 + product / 2


def _shift() -> list[str]:
    """(ii) and (v): from z' to z."""
    proof = Proof()
    for line in (
        "share = _column([k / PIECES for k in range(PIECES)], levels[None])",
        "v = torch.cat((edge.lower + (edge.upper - edge.lower) * share, edge.upper[None]))",
        "v = torch.minimum(torch.maximum(v, edge.lower), edge.upper)",
        "z = direction * (v - levels)",
    ):
        source_has(octagon_maximum._diagonals, line)
    # cosh x >= 1 + x^2/2 (`interior_overshoot`)
    proof.by("cosh(x)^2 >= 1 + x^2", nonnegative, (1 + x**2 / 2) ** 2 - (1 + x**2), {x: (0, sp.oo)})
    proof.by("1 + x^2 >= 2 x", identity, 1 + x**2 - 2 * x, (1 - x) ** 2)
    proof.by("cosh is convex", above_tangents, (x + 1 / x) / 2, {x: (1, sp.oo)})
    # |z' - z| <= (u |z'| + tiny) / (1-u); a point between has |xi| >= |z'| (1-2u) - 2 tiny, so |z'| sech(xi)^2 <=
    # 1 / (2 (1-2u)) + 4 tiny. Then |g(z') - g(z)| <= u, and twice that for g', |g''| <= 2 sech^2.
    factor = u / (1 - u) / (2 * (1 - 2 * u))
    proof.by("tanh moves by less than u", nonnegative, u - factor, SMALL_U)
    proof.by("the identity by less than 2 u |z'|", nonnegative, 2 * u - u / (1 - u), SMALL_U)
    return proof.steps


def traced(product: Product, dtype: torch.dtype) -> tuple[Traced, Traced]:
    """The largest of the candidates that are counted, and the slack, as the code computes them on symbols."""
    at_v: Any = point(ALONG_V, dtype)
    at_z: Any = point(ALONG_Z, dtype)
    a: Any = leaf(A)
    b: Any = leaf(B)
    bend: Any = leaf(N2)
    anywhere: Any = Condition()
    none: Any = None
    v, z = Box(at_v, at_v), Box(at_z, at_z)
    candidates = [
        Points(at_v, at_z, product.value(at_v, at_z)).less_plane(a, b),
        Side(at_z, product.g_value(at_z), at_v, at_v, anywhere).less_plane(product.along_v, a, b)[0],
    ]
    if product.along_z is not None:
        side = Side(at_v, torch.sigmoid(at_v), at_z, at_z, anywhere)
        candidates.append(side.less_plane(product.along_z, b, a)[0])
    if product.inside is not None:
        candidates.append(sigmoid_times_tanh.inside(v, z, a, b)[0])
    best: Any = largest([(value, at_v, at_z) for value in candidates]).value
    slack: Any = Contour(product, none, none, none, none, none, none, v, z, bend)._slack(a, b)
    return best, slack


def _candidates(scale: Expr = 1) -> list[str]:
    """(iv)"""
    proof = Proof()
    for kind, product in PRODUCTS.items():
        for dtype in DTYPES:
            best, slack = traced(product, dtype)
            loss, given = loss_and_slack(best, slack, dtype, scale)
            proof.by(f"{kind}, {dtype}: vertices, sides, inside", covered, loss, given, dtype)
            proof.by(f"{kind}, {dtype}: diagonals", covered, *diagonals(product, dtype, scale), dtype)
    return proof.steps


def diagonals(product: Product, dtype: torch.dtype, scale: Expr) -> tuple[dict[Expr, Expr], dict[Expr, Expr]]:
    """What rounding can take on a diagonal edge, and what the slack gives."""
    roundoff, eta = sp.Rational(unit_roundoff(dtype)), sp.Rational(tiny(dtype))
    v: Any = point(ALONG_V, dtype)
    z: Any = point(ALONG_Z, dtype)
    ends: Any = Points(v, z, product.value(v, z)).less_plane(leaf(A), leaf(B))  # type: ignore[arg-type]
    loss, given = loss_and_slack(ends, traced(product, dtype)[1], dtype, scale)
    image = g if product.along_z is not None else Mz
    shifted = (1 + B) * (roundoff * Mz + eta) * GROWTH
    over = over_error()
    largest_h = GROWTH * (image + A * Mv + B * Mz)
    most = (over.error * roundoff).subs(H, largest_h) + over.flow * eta + roundoff * N2 + 2 * eta
    # B' for B: the underflows of a width, of N width and of its product with the width, N <= 3 (1 + image), over 8
    width = eta * (1 + wv + 6 * wv * (1 + image)) * GROWTH / 8
    total = shifted + most + width + sum((c * m for m, c in loss.items()), start=sp.Integer(0))
    # tiny |g| width is no monomial of the slack's underflows, but of its roundings
    return _split(total), given


def _curvature(units: Expr = CURVATURE_UNITS) -> list[str]:
    """(v) G = the largest |g| at the ends of the piece."""
    proof = Proof()
    G = sp.Symbol("G", positive=True)
    # relative 1 + d of sech^2, counted on the code, and the shift from z' to z, with the underflows
    slope: Any = Bounded(sp.Integer(1), sp.Integer(sech_roundings() + 3), sp.Integer(4))
    values: Any = Bounded(G, FUNCTION * G + 2, sp.Integer(4))
    v: Any = Bounded(Mv)
    z: Any = Bounded(Mz)
    direction: Any = Bounded(sp.Integer(1))
    for product in PRODUCTS.values():
        known = replace(product, g_slope=lambda z: slope)
        bend: Any = octagon_maximum._curvature(known, direction, v, z, torch.sigmoid(v), values)
        # underflows, far below u; products with width^2: 1 / (1-u)^4 <= 1 + 5 u
        worst = bend.error + bend.flow / sp.Integer(2) ** 80 + 5 * bend.size
        source_has(octagon_maximum._above, "return bend * (1 + lost) + lost * (1 + g_magnitude)")
        # (1+|g'|) with |g'| >= G (1 - FUNCTION u) - 2 u, and three roundings; bend' (1 + lost) (1-u)^2 >= bend'.
        given = units * ((1 + G) * (1 - (FUNCTION + 3) * LARGEST_U) - 2 * LARGEST_U)
        proof.by(f"{product.kind}: N' >= N / (1-u)^4", nonnegative, given - worst, {G: (0, sp.oo)})
    proof.by("(1 + lost) (1-u)^2 >= 1", nonnegative, (1 + units * u) * (1 - u) ** 2 - 1, SMALL_U)
    proof.by("1 / (1-u)^4 <= 1 + 5 u", nonnegative, (1 + 5 * u) * (1 - u) ** 4 - 1, SMALL_U)
    return proof.steps


def tangent_error() -> Bounded:
    """The errors of `_tangent`, without its last term, at any point."""
    box, rest = [Box(size, size) for size in sizes(Mv, Mz)], sizes(A, B, V, Z, 1, 1, L)
    shape = Octagon(box[0], box[1], box[0], box[1])
    slope = Bounded(sp.Integer(1), sp.Integer(sech_roundings()), sp.Integer(1))
    with mock.patch.object(octagon_inside, "sech_squared", lambda z: slope):
        found: Any = octagon_inside._tangent(shape, *rest)
    assert isinstance(found, Bounded)
    return found


def sizes(*symbols: Expr) -> list[Any]:
    """Floats of these sizes."""
    return [Bounded(sp.sympify(symbol)) for symbol in symbols]


def sech_roundings() -> int:
    """Units of u that the computed sech^2 of a float may be off, by the count of its roundings."""
    counted: Any = sech_squared(point(ALONG_Z))  # type: ignore[arg-type]
    return longest(counted.terms) + 1


def _tangent(units: Expr = TANGENT_UNITS) -> list[str]:
    """(vi)"""
    proof = Proof()
    found = tangent_error()
    source_has(octagon_inside._lost, "reach = 1 + v.abs() + z.abs() + level.abs()")
    source_has(octagon_inside._lost, "+ shape.v.magnitude() + shape.z.magnitude()")
    source_has(octagon_inside._lost, "unit_roundoff(v.dtype) * (1 + a.abs() + b.abs()) * reach")
    # `_lost` has five roundings in each sum, four products, and the sum with the bound.
    given = units * (1 + A + B) * (1 + V + Z + L + Mv + Mz) * (1 - 16 * LARGEST_U)
    bound = found.size + LARGEST_U * found.error  # what the last sum rounds
    needed = found.error + found.flow / sp.Integer(2) ** 80 + bound
    ranges = dict.fromkeys((A, B, V, Z, L, Mv, Mz), (0, sp.oo))
    proof.by("every monomial is covered", nonnegative, sp.expand(given - needed), ranges)
    for dtype in DTYPES:
        least, most = sp.Rational(tiny(dtype)) * 2**80, sp.Rational(unit_roundoff(dtype))
        proof.by(f"{dtype}: underflows count little", compare, least, most)
    return proof.steps


def _boundary(rises: int = 1) -> list[str]:
    """(vii) From (v, z), z > 0, to (v, z1) on the boundary, along z: what F = s tanh(z) - b z loses."""
    proof = Proof()
    source_has(octagon_inside._from_the_edge, "border = torch.log1p(sech2 / (2 * t * t))")
    source_has(octagon_inside._from_the_edge, "torch.maximum(v, border * (1 + u) + SCALAR_UNITS * tiny(v.dtype))")
    source_has(Contour.maximum, "product.inside(self.inner, slope_v, slope_z)")
    s, low, here, b, far = sp.symbols("s low here b far", positive=True)
    unit = {s: (0, 1), low: (0, 1), here: (low, 1)}
    # up: tanh rises, and b = s sech^2 (far = z1 - z): at most sech(z)^2 far
    up = s * (1 - here**2) * far - b * far
    proof.by(
        "b far <= sech(z)^2 far",
        nonnegative,
        (1 - here**2) * far + up.subs(b, s * (1 - here**2)),
        unit | {far: (0, sp.oo)},
    )
    # down to z1 >= z_low, low = tanh(z_low): at most s (t - low) <= 1 - low <= sech(z_low)^2
    down = rises * (1 - low**2) - s * (here - low)
    proof.by("s (t - t1) <= sech(z_low)^2", nonnegative, down, unit)
    return proof.steps


LEMMA = Lemma(
    name="octagon_rounding",
    statement=__doc__,
    source="Higham (2002), section 3.1; the counts are ours",
    code=(
        "gpu_engine.rounding:CURVATURE_UNITS",
        "gpu_engine.rounding:TANGENT_UNITS",
        "gpu_engine.relaxations.octagon_edges:Octagon",
        "gpu_engine.relaxations.octagon_edges:octagon_of",
        "gpu_engine.relaxations.octagon_maximum:Contour.maximum",
        "gpu_engine.relaxations.octagon_maximum:contour",
        "gpu_engine.relaxations.octagon_maximum:octagon_maximum",
        "gpu_engine.relaxations.octagon_inside:inside_octagon",
    ),
    tests=(
        "tests/proofs/test_lemmas.py",
        "tests/proofs/test_roundings.py",
        "tests/engine/test_octagon_maximum.py",
        "tests/engine/test_octagon_inside.py",
    ),
    check=lambda: _outward() + _maximum() + _shift() + _candidates() + _curvature() + _tangent() + _boundary(),
    controls={
        "two more roundings": lambda: _outward(more=2),
        "one underflow": lambda: _outward(underflows=1),
        "the larger end is never too low": lambda: _maximum(allowed=sp.Integer(0)),
        "seven eighths of the slack": lambda: _candidates(scale=sp.Rational(7, 8)),
        "half the units of a curvature": lambda: _curvature(units=sp.Integer(CURVATURE_UNITS) / 2),
        "half the units of a tangent": lambda: _tangent(units=sp.Integer(TANGENT_UNITS) / 2),
    },
)
