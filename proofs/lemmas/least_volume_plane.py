"""The volume between a plane and a surface over a box is the area times (height at the centre - mean of the surface).

Let f be any function on the box [vl, vu] x [zl, zu] and P(v, z) = a v + b z + c.
(i)   The mean of P over the box is P at the centre: the integral is area * P((vl+vu)/2, (zl+zu)/2); over an interval
      likewise. So of two planes above f the one that is lower at the centre encloses less volume (equations 25 and 26).
(ii)  The means of the surfaces: of sigmoid over [l, u] (softplus(u) - softplus(l)) / (u - l), softplus(v) =
      log(1 + exp(v)); of tanh (log cosh(u) - log cosh(l)) / (u - l); of the identity (l + u) / 2; of relu on l < 0 < u
      u^2 / (2 (u - l)). The mean of a product of a function of v and one of z is the product of their means.
(iii) A plane below f encloses area * (mean of f - height at the centre): the mirrored claim.
Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from unittest import mock

import sympy as sp

from proofs.arrays import as_method
from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, identity, positive
from refcert.audit.tightness import means

v, z, a, b, c, vl, vu, zl, zu, p, q, r = sp.symbols("v z a b c vl vu zl zu p q r", real=True)
first, last = sp.symbols("first last", positive=True)
Point = Callable[[Expr, Expr], Expr]


def _middle(low: Expr, high: Expr) -> Expr:
    return (low + high) / 2


def _centre(point: Point = _middle) -> list[str]:
    """(i) and (iii), by integration. point: where the height counts, true for the middle."""
    proof = Proof()
    plane = a * v + b * z + c
    area = (vu - vl) * (zu - zl)
    line = a * v + c
    on_line = (vu - vl) * line.subs(v, point(vl, vu))
    proof.by("integral of a line over an interval", identity, sp.integrate(line, (v, vl, vu)), on_line)
    height = plane.subs({v: point(vl, vu), z: point(zl, zu)})
    integral = sp.integrate(sp.integrate(plane, (v, vl, vu)), (z, zl, zu))
    proof.by("integral of a plane over a box", identity, integral, area * height)
    # Two planes over the same f: the integral of f cancels.
    other = p * v + q * z + r
    difference = sp.integrate(sp.integrate(plane - other, (v, vl, vu)), (z, zl, zu))
    apart = (plane - other).subs({v: point(vl, vu), z: point(zl, zu)})
    proof.by("difference of two volumes = area * difference of the heights", identity, difference, area * apart)
    width, depth, lower = sp.symbols("width depth lower", positive=True)
    ranges = {width: (0, sp.oo), depth: (0, sp.oo), lower: (0, sp.oo)}
    proof.by("so the lower one at the centre encloses less", positive, width * depth * lower, ranges)
    return proof.steps


# f along v and along z of every kind, as functions of one argument.
FACTORS: dict[str, tuple[Callable[[Expr], Expr], Callable[[Expr], Expr]]] = {
    "sigmoid_times_tanh": (sigmoid, sp.tanh),
    "sigmoid_times_identity": (sigmoid, lambda x: x),
    "sigmoid": (sigmoid, lambda x: sp.Integer(1)),
    "tanh": (sp.tanh, lambda x: sp.Integer(1)),
}
Mean = Callable[[str, tuple[Expr, Expr, Expr, Expr]], Expr]


def code_mean(kind: str, box: tuple[Expr, Expr, Expr, Expr]) -> Expr:
    """The audit's own mean, on symbols."""
    stubs: dict[str, Any] = {"arb": lambda x: x, "exact": sp.sympify, "Rational": sp.Rational, "ONE": sp.Integer(1)}
    with ExitStack() as patched:
        patched.enter_context(mock.patch.multiple(means, **stubs, max=sp.Max, create=True))
        for name, function in {"exp": sp.exp, "cosh": sp.cosh, "log": sp.log}.items():
            patched.enter_context(mock.patch.object(sp.Expr, name, as_method(function), create=True))
        found: Expr = means.surface_mean(kind, box)
    return found


def _means(mean: Mean = code_mean, kinds: tuple[str, ...] = tuple(FACTORS)) -> list[str]:
    """(ii): area * mean is 0 where the box has no width, and its derivative in an upper end is the integral there."""
    proof = Proof()
    for kind in kinds:
        along_v, along_z = FACTORS[kind]
        two = kind.startswith("sigmoid_times")
        area = (vu - vl) * ((zu - zl) if two else 1)
        integral = sp.cancel(area * mean(kind, (vl, vu, zl, zu)))
        proof.by(f"{kind}: no width, no integral", identity, integral.subs(vu, vl))
        if two:
            proof.by(f"{kind}: no depth, no integral", identity, integral.subs(zu, zl))
            inside = along_v(vu) * along_z(zu)
            proof.by(f"{kind}: its mixed derivative is f", identity, integral.diff(vu).diff(zu), inside)
        else:
            proof.by(f"{kind}: its derivative is f", identity, integral.diff(vu), along_v(vu))
    for name, low, high, expected in (
        ("0 inside", -first, last, last**2 / 2),
        ("v > 0", first, first + last, sp.integrate(v, (v, first, first + last))),
        ("v < 0", -first - last, -first, sp.Integer(0)),
    ):
        integral = (high - low) * mean("relu", (low, high, zl, zu))
        proof.by(f"relu, {name}", identity, integral, expected)
    return proof.steps


LEMMA = Lemma(
    name="least_volume_plane",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), equations 25 and 26",
    code=(
        "gpu_engine.relaxations.planes:planes",
        "gpu_engine.relaxations.planes:best_plane",
        "gpu_engine.relaxations.least_height:least_height_line",
        "refcert.reference.least_volume:least_volume",
        "refcert.audit.tightness.means:surface_mean",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_relaxations.py", "tests/audit/test_tightness.py"),
    check=lambda: _centre() + _means(),
    controls={
        "the height at a corner": lambda: _centre(point=lambda low, high: low),
        "the height at a third": lambda: _centre(point=lambda low, high: (2 * low + high) / 3),
        "the value at the upper end": lambda: _means(lambda kind, box: FACTORS[kind][0](box[1]), ("tanh",)),
        "the mean over the mirrored interval": lambda: _means(
            lambda kind, box: code_mean(kind, (-box[1], -box[0], *box[2:])), ("tanh",)
        ),
        "twice the mean": lambda: _means(lambda kind, box: 2 * code_mean(kind, box), ("sigmoid",)),
    },
)
