"""The lines over relu are the lowest and the highest: the chord above, slope 0 or 1 below, whichever is higher.

Let relu(v) = max(v, 0) on [l, u] and compare heights at the centre m = (l + u) / 2 (`least_volume_plane`).
(i)   l < 0 < u: the chord k (v - l), k = u / (u - l), is an upper line: it is above relu at l, 0 and u, between which
      relu is straight. Any upper line is at least 0 at l and u at u, so at m at least u / 2: the chord's height.
(ii)  Lines of slope 0 and 1 through 0 are below relu everywhere. No lower line is higher at m than relu(m), and the one
      with slope 1 for m > 0, 0 for m <= 0, is that high.
(iii) 0 <= l or u <= 0: relu is a line, and the code's slopes are its own, 1 or 0.
(iv)  One common slope k for both lines: k v <= relu(v) everywhere, so the distance of the two lines is -k l.
Slopes are those of the code, offsets are exact by `curve_lines`. Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import sympy as sp

from gpu_engine.bounds import Box
from gpu_engine.relaxations import relu
from proofs.arrays import TORCH, array
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import Expr, identity, nonnegative, positive

p, q, d, share = sp.symbols("p q d share", positive=True)
POSITIVE = dict.fromkeys((p, q, d), (0, sp.oo)) | {share: (0, 1)}
v = sp.Symbol("v", real=True)
Slope = Callable[[float, Box], object]


def _step(x: Expr) -> Expr:
    """relu's slope as the code has it, for an x whose sign is known."""
    x = sp.expand(x)
    if x.is_positive or x.is_nonpositive:
        return sp.Integer(1 if x.is_positive else 0)
    raise LemmaError(f"the sign of {x} is not known")


def code_slope(best: Slope, sign: float, low: Expr, high: Expr) -> Expr:
    """The slope that the code takes for an upper line of sign * relu."""
    stubs: dict[str, Any] = {
        "torch": TORCH,
        "value": lambda x: x.clamp(min=0.0),
        "slope": lambda x: array([_step(x[0])]),
    }
    with mock.patch.multiple(relu, **stubs):
        found = best(sign, Box(array([low]), array([high])))  # type: ignore[arg-type]
    return sp.cancel(found[0])  # type: ignore[index]


def _crossing(best: Slope = relu.best_slope, common: Callable[[Box], object] = relu.common_slope) -> list[str]:
    """(i), (ii), (iv) on [-p, q], centre above 0 (q = p + d) and below (p = q + d), and at 0."""
    proof = Proof()
    for name, low, high, above in (
        ("centre > 0", -p, p + d, True),
        ("centre < 0", -q - d, q, False),
        ("centre = 0", -p, p, False),
    ):
        k = code_slope(best, 1.0, low, high)
        centre = (low + high) / 2
        chord = k * (v - low)
        proof.by(f"{name}: the chord is 0 at l", identity, chord.subs(v, low))
        proof.by(f"{name}: the chord is u at u", identity, chord.subs(v, high), high)
        proof.by(f"{name}: the chord is >= 0 at the kink", positive, sp.cancel(chord.subs(v, 0)), POSITIVE)
        average = (0 + high) / 2  # of the least heights that any upper line has at both ends
        proof.by(f"{name}: no upper line is lower at the centre", identity, chord.subs(v, centre), average)
        below = -code_slope(best, -1.0, low, high)
        at_centre = centre if above else sp.Integer(0)
        proof.by(f"{name}: the lower line touches relu at the centre", identity, below * centre, at_centre)
        x = d  # any v > 0; and -d for v < 0
        proof.by(f"{name}: below relu for v > 0", nonnegative, sp.expand(x - below * x), POSITIVE)
        proof.by(f"{name}: below relu for v < 0", nonnegative, sp.expand(0 - below * -x), POSITIVE)
        shared = code_slope(lambda _, box: common(box), 1.0, low, high)
        proof.by(f"{name}: slope k is below relu for v > 0", nonnegative, sp.cancel(x - shared * x), POSITIVE)
        proof.by(f"{name}: slope k is below relu for v < 0", nonnegative, sp.cancel(0 - shared * -x), POSITIVE)
        distance = -shared * low
        proof.by(f"{name}: distance of parallel lines", identity, chord - shared * v, distance)
    return proof.steps


def _straight(best: Slope = relu.best_slope) -> list[str]:
    """(iii)."""
    proof = Proof()
    for name, low, high, slope in (("l > 0", p, p + q, 1), ("u < 0", -p - q, -p, 0)):
        for side, sign in (("above", 1), ("below", -1)):
            found = code_slope(best, float(sign), low, high)
            proof.by(f"{name}, {side}: relu's own slope", identity, sign * found, slope)
    return proof.steps


LEMMA = Lemma(
    name="relu_lines",
    statement=__doc__,
    source="Zhang et al. (2018), table 2; Singh et al. (2018) for parallel lines",
    code=(
        "gpu_engine.relaxations.relu:best_slope",
        "gpu_engine.relaxations.relu:common_slope",
        "gpu_engine.relaxations.curve_lines:common_slope_lines",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_lines.py"),
    check=lambda: _crossing() + _straight(),
    controls={
        "slope u / (u + |l|) / 2": lambda: _crossing(lambda sign, box: relu.best_slope(sign, box) / 2),
        "slope 1 below wherever 0 is inside": lambda: _crossing(
            lambda sign, box: relu.best_slope(sign, box) if sign > 0 else array([sp.Integer(-1)])
        ),
        "a common slope above 1": lambda: _crossing(common=lambda box: 2 + relu.common_slope(box)),
        "the lower line's slope with the other sign": lambda: _straight(
            lambda sign, box: relu.best_slope(sign, box) if sign > 0 else -relu.best_slope(sign, box)
        ),
    },
)
