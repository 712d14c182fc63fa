"""Planes with the one shared slope sigmoid(vl) * chord slope of g in z: sound, and what they keep.

Let f = sigmoid(v) g(z) on [vl, vu] x [zl, zu], k the chord slope of g over [zl, zu], b = sigmoid(vl) k, and let both
planes have the slope b in z and any slopes in v with exact offsets.
(i)   The slope serves the mirrored box, too: g is odd, so its chord slope over [-zu, -zl] is k. So the lower plane of
      the code, a mirrored upper plane, has the slope for which its offset is exact.
(ii)  g = identity: b = sigmoid(vl), and on the side v = vl the surface less b z is constant: a plane that touches the
      side in one point touches the whole side. g = tanh: both ends of the side, the corners (vl, zl) and (vl, zu), are
      equally far from the plane.
(iii) The gap between the planes is a function of v alone, so no width of z is added to a bound: a coefficient A on the
      product puts A b on z whatever its sign, and the form keeps its dependency on the state. The code says so: the
      slope is one tensor in both planes, and `choose` then does not look at the sign.
(iv)  0 < b < 1 for g = identity, and no larger than any sigmoid(v) of the box: the coefficient on the state shrinks
      from frame to frame at least as fast as any forget gate of the box makes it. For tanh 0 < b < 1 as well.
(v)   g = identity: sigmoid(v) z - b z = (sigmoid(v) - b) z with a factor >= 0, so for each v its extremes over z are at
      zu and at zl, whatever v is: both planes' offsets come from one S-shaped curve each. A larger shared slope breaks
      this where sigmoid(v) < b.
Which slope is best for a network is not claimed. Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest import mock

import sympy as sp

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.propagation.relaxed import choose
from gpu_engine.relaxations import offsets, parallel
from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, equal, identity, nonnegative, positive

v, z, a, vl, vu, zl, zu = sp.symbols("v z a vl vu zl zu", real=True)
s, rise, left, t1, t2, share = sp.symbols("s rise left t1 t2 share", positive=True)
OO = sp.oo
G: dict[str, Callable[[Expr], Expr]] = {"identity": lambda z: z, "tanh": sp.tanh}


def chord(g: Callable[[Expr], Expr], low: Expr, high: Expr) -> Expr:
    """The definition."""
    return (g(high) - g(low)) / (high - low)


def _touching(slope_at: Expr = vl) -> list[str]:
    """(i) and (ii). slope_at: where the sigmoid is taken, true for the lower end of v."""
    proof = Proof()
    for name, g in G.items():
        proof.by(f"{name}: the mirrored chord", identity, chord(g, -zu, -zl), chord(g, zl, zu))
        b = sigmoid(slope_at) * chord(g, zl, zu)

        def excess(z: Expr, g: Callable[[Expr], Expr] = g, b: Expr = b) -> Expr:
            return sigmoid(vl) * g(z) - a * vl - b * z

        proof.by(f"{name}: both corners of the side v = vl are equally far", identity, excess(zl), excess(zu))
    b = sigmoid(slope_at)
    proof.by("identity: constant along the side", identity, (sigmoid(vl) * z - a * vl - b * z).diff(z))
    return proof.steps


def _code(make: Callable[..., PlanePair] = parallel.parallel) -> list[str]:
    """(i) and (iii) in the code: which slope, and that it is one and the same."""
    proof = Proof()
    k = sp.Symbol("k", real=True)
    asked: list[Expr] = []
    boxes: list[tuple[Box, Box]] = []

    def slopes(_: object, v: Box, z: Box, slope_z: Any) -> Plane:
        asked.append(slope_z)
        boxes.append((v, z))
        return Plane([sp.Symbol("a0"), sp.Symbol("a1")], slope_z, [sp.Symbol("c0"), sp.Symbol("c1")])  # type: ignore[arg-type]

    torch = SimpleNamespace(sigmoid=sigmoid, stack=list)
    product: Any = SimpleNamespace(chord_slope=lambda box: k)
    with (
        mock.patch.object(parallel, "torch", torch),
        mock.patch.object(offsets, "torch", torch),
        mock.patch.object(parallel, "best_slope_v", slopes),
    ):
        pair = make(product, Box(vl, vu), Box(zl, zu))
    for side in range(2):
        step = f"the offset is exact for sigmoid(vl) k, {'mirrored box' if side else 'box'}"
        proof.by(step, identity, asked[0][side], sigmoid(vl) * k)
    for axis, found, low, high in (
        ("v", boxes[0][0], (vl, vl), (vu, vu)),
        ("z", boxes[0][1], (zl, -zu), (zu, -zl)),
    ):
        proof.by(f"the box and its mirror image, lower ends of {axis}", equal, tuple(found.lower), low)
        proof.by(f"the box and its mirror image, upper ends of {axis}", equal, tuple(found.upper), high)
    proof.by("lower plane: the slope it has", identity, pair.lower.slope_z, asked[0][1])
    proof.by("upper plane: the slope it has", identity, pair.upper.slope_z, asked[0][0])
    proof.by("one and the same tensor in both", equal, pair.lower.slope_z is pair.upper.slope_z, True)
    A = sp.Symbol("A", real=True)
    one = sp.Symbol("b", real=True)
    proof.by("`choose` puts A b on z whatever the sign of A", identity, choose(None, A, one, one), A * one)  # type: ignore[arg-type]
    return proof.steps


def _contracting(largest: bool = False) -> list[str]:
    """(iii), (iv) and (v). s = sigmoid(vl), sigmoid(v) = s + rise < 1; largest: the slope of the largest sigmoid."""
    proof = Proof()
    unit = {s: (0, 1), rise: (0, 1 - s)}
    b = s + rise if largest else s
    at_v = s + rise / 2 if largest else s + rise  # any sigmoid of the box
    proof.by("b > 0", positive, b, unit)
    proof.by("b < 1", positive, 1 - b, unit)
    proof.by("b is at most sigmoid(v)", nonnegative, at_v - b, unit)
    # (v): z = zl + width share: the extremes of (sigmoid(v) - b) z.
    width = sp.Symbol("width", positive=True)
    ranges = unit | {width: (0, OO), share: (0, 1)}
    proof.by("largest at zu", nonnegative, sp.expand((at_v - b) * (width - share * width)), ranges)
    proof.by("smallest at zl", nonnegative, sp.expand((at_v - b) * share * width), ranges)
    # tanh: its chord slope is an average of 1 - t^2, between 0 and 1; s times that.
    proof.by("tanh' < 1", positive, 1 - (1 - t1**2), {t1: (0, 1)})
    proof.by("tanh' > 0", positive, 1 - t1**2, {t1: (-1, 1)})
    # The planes' gap: (upper - lower) with one slope in z.
    gap = (a * v + b * z + t1) - (-a * v + b * z - t2)
    proof.by("the gap between the planes does not depend on z", identity, gap.diff(z))
    return proof.steps


def _two_slopes(product: Any, v: Box, z: Box) -> PlanePair:
    pair = parallel.parallel(product, v, z)
    lower = pair.lower
    return PlanePair(Plane(lower.slope_v, -lower.slope_z, lower.offset), pair.upper)


def _upper_end(product: Any, v: Box, z: Box) -> PlanePair:
    return parallel.parallel(product, Box(v.upper, v.upper), z)


LEMMA = Lemma(
    name="parallel_planes",
    statement=__doc__,
    source="ours (theory section 3); found by trial",
    code=(
        "gpu_engine.relaxations.parallel:parallel",
        "gpu_engine.relaxations.parallel:best_slope_v",
        "gpu_engine.propagation.relaxed:choose",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_relaxations.py"),
    check=lambda: _touching() + _code() + _contracting(),
    controls={
        "the sigmoid at the upper end": lambda: _touching(slope_at=vu),
        "the largest sigmoid keeps the order": lambda: _contracting(largest=True),
        "the lower plane's slope with the other sign": lambda: _code(_two_slopes),
        "offsets for the slope at the upper end": lambda: _code(_upper_end),
    },
)
