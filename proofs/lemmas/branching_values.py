"""The second method's normal form and its values: e (f - plane) for every kind and side, nothing cancelled.

With e = 1 for an upper and -1 for a lower plane, a claim is F <= 0 on the box with F = e (f - plane):
(i)   products: F(v, y) = sigmoid(v) g(y) - e a v - b y - e c, y = e z (g odd); tanh: F = tanh(y) - a y - e c, y = e v;
      sigmoid: F = e sigmoid(v) - e a v - e c; relu: F = e max(v, 0) - e a v - e c. The box of y is that of z (of v), or
      its mirror image.
(ii)  The places' values: with E = exp(-x), s = 1 / (1 + E), 1 - s = E s, s' = s (1 - s); with M = expm1(-2 x), tanh =
      -M / (2 + M), 1 - tanh = 2 (1 + M) / (2 + M), 1 + tanh = 2 / (2 + M); with K = exp(-2 x), (1 - K) / (1 + K), 2 K /
      (1 + K), 2 / (1 + K); for x < 0 those of -x, mirrored; tanh' = (1 - tanh) (1 + tanh).
(iii) F's values in every branch, written with the distances 1 - s, 1 - t, 1 + t, are F: s t = s - s (1 - t) =
      1 - (1 - s) - s (1 - t) = -s + s (1 + t) = -1 + (1 - s) + s (1 + t), s y = y - (1 - s) y.
Here the code runs on symbols, through all its branches. Shapes: one plane.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple
from unittest import mock

import sympy as sp

from proofs.arrays import as_method
from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, identity
from refcert.audit.branching import excess, places
from refcert.audit.branching.excess import Excess
from refcert.kernel.claims import PlaneClaim

v, z, a, b, c, lv, uv, lz, uz = sp.symbols("v z a b c lv uv lz uz", real=True)
SIDES = {"upper": 1, "lower": -1}


class Threshold:
    """What numbers are compared with: every comparison has the outcome that is wanted of it."""

    def __init__(self, above: Callable[[Expr], bool], below: bool) -> None:
        self.above, self.below = above, below

    def __neg__(self) -> Threshold:
        return self

    def __lt__(self, number: Expr) -> bool:  # number > threshold
        return self.above(number)

    def __gt__(self, number: Expr) -> bool:  # number < threshold
        return self.below


class Values(NamedTuple):
    """A place on symbols; by the curve's definition, or as the code computed it."""

    x: Expr
    sign: int
    value: Expr
    slope: Expr
    up: Expr
    down: Expr


CURVES: dict[str, tuple[Callable[[Expr], Expr], int, int]] = {
    "sigmoid": (sigmoid, 0, 1),
    "tanh": (sp.tanh, -1, 1),
    "line": (lambda x: x, 0, 0),
}


def _place(at: Expr, curve: str, sign: int = 1) -> Values:
    """The definition: value, slope and distances from the limits."""
    function, low, high = CURVES[curve]
    x = sp.Symbol("x", real=True)
    value, slope = function(at), function(x).diff(x).subs(x, at)
    return Values(at, sign, value, slope, high - value, value - low)


# f, and the curves along v and along y
KINDS: dict[str, tuple[Callable[[Expr, Expr], Expr], str, str]] = {
    "sigmoid_times_tanh": (lambda v, z: sigmoid(v) * sp.tanh(z), "sigmoid", "tanh"),
    "sigmoid_times_identity": (lambda v, z: sigmoid(v) * z, "sigmoid", "line"),
    "sigmoid": (lambda v, z: sigmoid(v), "sigmoid", "line"),
    "tanh": (lambda v, z: sp.tanh(v), "line", "tanh"),
}


def _form(side: str, kind: str) -> Excess:
    claim: Any = PlaneClaim(kind, side, lv, uv, lz, uz, a, b, c)
    with mock.patch.multiple(excess, exact=lambda number: number, ZERO=sp.Integer(0)):
        return Excess(claim)


def _coordinates(kind: str, e: int) -> tuple[Expr, Expr]:
    """(v, y) of the normal form: y = e z for products, y = e v for tanh."""
    if kind == "tanh":
        return sp.Integer(0), e * v
    return v, e * z if kind.startswith("sigmoid_times") else sp.Integer(0)


def _values(lost: Expr = 0, lower: int = -1) -> list[str]:
    """(i) and (iii). lost: missing from 1 - s; lower: e for a lower plane; both for false variants."""
    proof = Proof()
    for kind, (f, curve_v, curve_y) in KINDS.items():
        for side in SIDES:
            e = 1 if side == "upper" else lower
            form = _form(side, kind)
            at_v, at_y = _coordinates(kind, e)
            place_v, place_y = _place(at_v, curve_v), _place(at_y, curve_y)
            slope_z = b if kind.startswith("sigmoid_times") else 0
            expected = e * (f(v, z) - a * v - slope_z * z - c)
            for near_one, part in product((True, False), ("t > 1/2", "t < -1/2", "between")):

                def above(number: Expr, s: Expr = place_v.value, near_one: bool = near_one, part: str = part) -> bool:
                    return near_one if number == s else part == "t > 1/2"

                half = Threshold(above, part == "t < -1/2")
                with mock.patch.multiple(excess, HALF=half, ONE=sp.Integer(1)):
                    given: Any = place_v._replace(up=place_v.up - lost), place_y
                    found = form.value(*given)
                name = f"{kind}, {side}, s {'>' if near_one else '<='} 1/2, {part}"
                proof.by(f"{name}: F = e (f - plane)", identity, found, expected)
            for name, found, slope in (
                ("dF/dv", form.slope_along_v(place_v, place_y), expected.diff(v)),  # type: ignore[arg-type]
                ("dF/dy", form.slope_along_y(place_v, place_y), e * expected.diff(z)),  # type: ignore[arg-type]
            ):
                if kind.startswith("sigmoid_times"):
                    proof.by(f"{kind}, {side}: {name}", identity, found, slope)
    return proof.steps


def _boxes() -> list[str]:
    """(i): y runs through the box of z, or of v, or its mirror image; and relu."""
    proof = Proof()
    for kind in KINDS:
        for side, e in SIDES.items():
            form = _form(side, kind)
            at_v, at_y = _coordinates(kind, e)
            for axis, at, box in (("v", at_v, form.box_v), ("y", at_y, form.box_y)):
                if at == 0:
                    continue
                first, last = (lz, uz) if at.has(z) else (lv, uv)
                ends = (at.subs({z: first, v: first}), at.subs({z: last, v: last}))
                ends = ends if at.coeff(v if at.has(v) else z) > 0 else ends[::-1]
                proof.by(f"{kind}, {side}: lower end of {axis}", identity, box[0], ends[0])
                proof.by(f"{kind}, {side}: upper end of {axis}", identity, box[1], ends[1])
    for side, e in SIDES.items():
        form = _form(side, "relu")
        for name, sign, relu in (("v > 0", 1, v), ("v <= 0", -1, sp.Integer(0))):
            found = form.value(_place(v, "line", sign), _place(sp.Integer(0), "line"))  # type: ignore[arg-type]
            proof.by(f"relu, {side}, {name}: F = e (f - plane)", identity, found, e * (relu - a * v - c))
    return proof.steps


def _code_place(name: str, sign: int, small: bool, expm1: Callable[[Expr], Expr]) -> Values:
    """A place as the code computes it, for x of this sign."""
    x = sp.Symbol("x", positive=True)
    stubs: dict[str, Any] = {
        "Place": Values,
        "_sign": lambda _: sign,
        "ONE": sp.Integer(1),
        "TWO": sp.Integer(2),
        "EXPM1_BELOW": Threshold(lambda _: False, small),
    }
    with (
        mock.patch.multiple(places, **stubs),
        mock.patch.object(sp.Expr, "exp", as_method(sp.exp), create=True),
        mock.patch.object(sp.Expr, "expm1", expm1, create=True),
    ):
        found: Any = getattr(places, f"{name}_place")(sign * x)
    return Values(*found)


def _places(expm1: Callable[[Expr], Expr] = lambda e: sp.exp(e) - 1) -> list[str]:
    """(ii), against the definitions. expm1: what the code's expm1 is taken for."""
    proof = Proof()
    for curve, small in (("sigmoid", False), ("tanh", True), ("tanh", False)):
        for sign in (1, -1):
            found = _code_place(curve, sign, small, expm1)
            expected = _place(found.x, curve)
            for field in ("value", "slope", "up", "down"):
                step = f"{curve}{' by expm1' if small else ''}, x {'>' if sign > 0 else '<'} 0: {field}"
                proof.by(step, identity, getattr(found, field), getattr(expected, field))
    return proof.steps


LEMMA = Lemma(
    name="branching_values",
    statement=__doc__,
    source="ours; identities of sigmoid and tanh",
    code=(
        "refcert.audit.branching.excess:Excess",
        "refcert.audit.branching.places:sigmoid_place",
        "refcert.audit.branching.places:tanh_place",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/audit/test_branching.py"),
    check=lambda: _values() + _boxes() + _places(),
    controls={
        "1 - s is off by a millionth": lambda: _values(lost=sp.Rational(1, 10**6)),
        "lower planes taken for upper ones": lambda: _values(lower=1),
        "expm1 taken for exp": lambda: _places(expm1=as_method(sp.exp)),
    },
)
