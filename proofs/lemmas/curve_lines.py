"""The candidates for lines over sigmoid, tanh and relu are complete, and lower lines are mirrored upper lines.

Let phi be one of the three, sign = 1 or -1, [vl, vu] an interval and a any slope. What the code's `maximum` compares:

(i)   sigmoid: sign * sigmoid(v) - a v at both ends, and the concave half of k s - a v, k = sign (`s_curve_maximum`).
(ii)  tanh: sign = -1 is the mirrored interval, -tanh(v) - a v = tanh(w) + a w with w = -v; then as in (i).
(iii) relu: sign * relu(v) - a v is straight on either side of 0, so no value inside is above the largest of those at
      the ends and at 0; where 0 is no inner point, the end next to it takes its place.
(iv)  If M >= -phi(v) + a v for all v of the interval, then a v - M is a lower line of phi: `lower_minimum` and the
      lower lines of `least_volume_lines` have that slope and offset.
Here the code runs on symbols: values, ends and slopes are those that it computes.
Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import sympy as sp

from gpu_engine.bounds import Box, PlanePair
from gpu_engine.relaxations import curve_lines, relu, sigmoid, tanh
from gpu_engine.relaxations.curves import Curve
from gpu_engine.relaxations.s_curve import CurveMaximum
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.lemmas.s_curve_maximum import sigmoid as logistic
from proofs.tactics import Expr, compare, equal, identity

v, a, vl, vu, share = sp.symbols("v a vl vu share", real=True)
Maximum = Callable[[float, Box, Expr], CurveMaximum]
SIGNS = {"above": 1.0, "below": -1.0}

# What the code calls of torch, on symbols.
SYMBOLIC = SimpleNamespace(
    ones_like=lambda x: sp.Integer(1),
    zeros_like=lambda x: sp.Integer(0),
    sigmoid=logistic,
    tanh=sp.tanh,
    maximum=sp.Max,
    minimum=sp.Min,
)


class Half(NamedTuple):
    """A call for the concave half of scale * phi(x) - slope * x on [lower, upper]."""

    scale: Expr
    slope: Expr
    lower: Expr
    upper: Expr


def compared(
    module: ModuleType, maximum: Maximum, sign: float, box: Box, **stubs: object
) -> tuple[list[CurveMaximum], list[Half]]:
    """The plain candidates and the concave halves that `maximum` takes the largest of."""
    points: list[CurveMaximum] = []
    halves: list[Half] = []

    def keep(first: CurveMaximum, second: CurveMaximum) -> CurveMaximum:
        points.extend(each for each in (first, second) if each.at is not sp.nan and each not in points)
        return second

    def half(*call: Expr) -> CurveMaximum:
        halves.append(Half(*call))
        return CurveMaximum(sp.nan, sp.nan)

    found: dict[str, Any] = {"torch": SYMBOLIC, "larger": keep, "curve_slack": lambda *_, **__: 0, **stubs}
    found |= {name: half for name in ("max_sigmoid_minus_line", "max_tanh_minus_line") if hasattr(module, name)}
    with mock.patch.multiple(module, **found), mock.patch.object(Box, "magnitude", lambda box: sp.Integer(0)):
        maximum(sign, box, a)
    return points, halves


def _number(sign: float) -> Expr:
    return sp.Integer(int(sign))


def _s_shaped(
    module: ModuleType, phi: Callable[[Expr], Expr], maximum: Maximum | None = None, mirrored: bool = False
) -> list[str]:
    """(i) and (ii): the two ends and one concave half of the right function on the right interval."""
    proof = Proof()
    for name, sign in SIGNS.items():
        points, halves = compared(module, maximum or module.maximum, sign, Box(vl, vu))
        flip = sp.Integer(-1) if mirrored and sign < 0 else sp.Integer(1)  # x = flip * v
        proof.by(f"{name}: two ends and one half", equal, (len(points), len(halves)), (2, 1))
        for point, end in zip(points, (vl, vu)[:: int(flip)], strict=True):
            proof.by(f"{name}: an end of the interval", identity, flip * point.at, end)
            expected = _number(sign) * phi(end) - a * end
            proof.by(f"{name}: the value there", identity, point.value, expected)
        half, x = halves[0], flip * v
        if module is tanh:
            proof.by(f"{name}: max_tanh_minus_line is for scale >= 0", compare, 0, half.scale)
        line = half.scale * phi(x) - half.slope * x
        proof.by(f"{name}: the half is of the same function", identity, line, _number(sign) * phi(v) - a * v)
        ends = (half.lower, half.upper) if flip > 0 else (-half.upper, -half.lower)
        for side, found, end in zip(("lower", "upper"), ends, (vl, vu), strict=True):
            proof.by(f"{name}: the half is on the same interval, {side} end", identity, found, end)
    return proof.steps


def _relu(maximum: Maximum = relu.maximum) -> list[str]:
    """(iii): every piece on which relu is straight runs between two of the points that are compared."""
    proof = Proof()
    p, q = sp.symbols("p q", positive=True)
    # name, interval, and its pieces: first point, last point, slope of relu between them
    cases: tuple[tuple[str, Expr, Expr, tuple[tuple[Expr, Expr, int], ...]], ...] = (
        ("0 inside", -p, q, ((-p, sp.Integer(0), 0), (sp.Integer(0), q, 1))),
        ("v >= 0", q, q + p, ((q, q + p, 1),)),
        ("v <= 0", -q - p, -q, ((-q - p, -q, 0),)),
        ("0 at the lower end", sp.Integer(0), q, ((sp.Integer(0), q, 1),)),
        ("0 at the upper end", -p, sp.Integer(0), ((-p, sp.Integer(0), 0),)),
    )
    for side, sign in SIGNS.items():
        for name, low, high, pieces in cases:
            box = Box(low, high)
            points, _ = compared(relu, maximum, sign, box, value=lambda x: sp.Max(x, 0))
            for first, last, steepness in pieces:

                def height(x: Expr, steepness: int = steepness, sign: float = sign) -> Expr:
                    return _number(sign) * steepness * x - a * x

                inside = share * first + (1 - share) * last
                average = share * height(first) + (1 - share) * height(last)
                step = f"{side}, {name}, between {first} and {last}"
                proof.by(f"{step}: an average of the ends", identity, height(inside), average)
                for end in (first, last):
                    proof.by(f"{step}: {end} is compared", _among, points, end, height(end))
    return proof.steps


def _among(points: list[CurveMaximum], at: Expr, value: Expr) -> None:
    """One of the points is this one, with this value."""
    for point in points:
        if sp.expand(point.at - at) == 0 and sp.expand(point.value - value) == 0:
            return
    raise LemmaError(f"{at} with the value {value} is not among {points}")


def _mirrored(lower: Callable[[Curve, Box], tuple[Expr, Expr]]) -> list[str]:
    """(iv): the gap between phi and its lower line is that between -phi's upper line and -phi."""
    proof = Proof()
    phi = sp.Function("phi")(v)
    gap, best = sp.symbols("gap best", real=True)

    def maximum(sign: float, box: Box, slope: Expr) -> CurveMaximum:
        return CurveMaximum(_number(sign) * phi - slope * v + gap, v)

    # For sign = -1 the best upper line of -phi has some slope; nothing is asked of it.
    curve = Curve("phi", maximum, sp.Function("phi"), sp.Function("d"), lambda sign, box: best, lambda box: best)
    with mock.patch.object(curve_lines, "torch", SYMBOLIC):
        slope, offset = lower(curve, Box(vl, vu))
    proof.by("the line is as far below phi as the offset is above the maximum", identity, phi - slope * v - offset, gap)
    return proof.steps


def _plane(pair: Callable[[Curve, Box], PlanePair]) -> Callable[[Curve, Box], tuple[Expr, Expr]]:
    def lower(curve: Curve, box: Box) -> tuple[Expr, Expr]:
        plane = pair(curve, box).lower
        return plane.slope_v, plane.offset

    return lower


def check() -> list[str]:
    """All four parts."""
    steps = [f"sigmoid {step}" for step in _s_shaped(sigmoid, logistic)]
    steps += [f"tanh {step}" for step in _s_shaped(tanh, sp.tanh, mirrored=True)]
    steps += [f"relu {step}" for step in _relu()]
    for name, pair in (
        ("least volume", curve_lines.least_volume_lines),
        ("common slope", curve_lines.common_slope_lines),
        ("constant", curve_lines.constant_lines),
    ):
        steps += [f"{name}: {step}" for step in _mirrored(_plane(pair))]
    return steps + _mirrored(lambda curve, box: (a, curve.lower_minimum(box, a)))


def _without_kink(sign: float, box: Box, slope: Expr) -> CurveMaximum:
    first, last = (CurveMaximum(_number(sign) * sp.Max(x, 0) - slope * x, x) for x in (box.lower, box.upper))
    larger: Callable[..., CurveMaximum] = vars(relu)["larger"]
    return larger(first, last)


def _negative_scale(sign: float, box: Box, slope: Expr) -> CurveMaximum:
    scale = _number(sign)
    larger: Callable[..., CurveMaximum] = vars(tanh)["larger"]
    best: CurveMaximum = vars(tanh)["max_tanh_minus_line"](scale, slope, box.lower, box.upper)
    for end in (box.lower, box.upper):
        best = larger(best, CurveMaximum(scale * sp.tanh(end) - slope * end, end))
    return best


LEMMA = Lemma(
    name="curve_lines",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), theorem A.2, for the lines; theory section 3 for their offsets",
    code=(
        "gpu_engine.relaxations.curves:Curve.lower_minimum",
        "gpu_engine.relaxations.sigmoid:maximum",
        "gpu_engine.relaxations.tanh:maximum",
        "gpu_engine.relaxations.relu:maximum",
        "gpu_engine.relaxations.curve_lines:least_volume_lines",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_lines.py"),
    check=check,
    controls={
        "tanh on an interval that is not mirrored": lambda: _s_shaped(tanh, sp.tanh),
        "mirrored, but the slope keeps its sign": lambda: _s_shaped(
            tanh,
            sp.tanh,
            lambda sign, box, slope: tanh.maximum(sign, box, slope if sign > 0 else -slope),
            mirrored=True,
        ),
        "tanh with a negative scale": lambda: _s_shaped(tanh, sp.tanh, _negative_scale),
        "sigmoid mirrored as if it were odd": lambda: _s_shaped(
            sigmoid,
            logistic,
            lambda sign, box, slope: sigmoid.maximum(
                1.0, box if sign > 0 else Box(-box.upper, -box.lower), slope if sign > 0 else -slope
            ),
            mirrored=True,
        ),
        "relu without its kink": lambda: _relu(_without_kink),
        "the lower line keeps the offset's sign": lambda: _mirrored(
            lambda curve, box: (a, -curve.lower_minimum(box, a))
        ),
        "the lower line keeps the slope's sign": lambda: _mirrored(
            lambda curve, box: (-a, curve.lower_minimum(box, a))
        ),
    },
)
