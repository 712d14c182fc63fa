"""Interval images hold every value: monotone functions, sums, the product's four corners; and intersections do.

Let l <= x <= u and m <= y <= n.
(i)   A function that does not decrease has its values between those at the ends: sigmoid, tanh, relu.
(ii)  x y is an average of averages of the four corner products l m, l n, u m, u n, so between the least and the
      greatest of them; these are the code's corners. x + y lies between the sums of the ends.
(iii) -u <= -x <= -l: the box over -v of a part that is negated.
(iv)  Two intervals that hold x: so does [max of the lower ends, min of the upper ends], the code's `intersect`; a plane
      that is sound on an interval that holds x holds at x. Two lower bounds of a row: so is the larger one (`best`).
Without rounding, which is `interval_rounding`. Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import sympy as sp

from gpu_engine import bounds
from gpu_engine.bounds import Box
from gpu_engine.propagation import interval, schedule
from proofs.arrays import TORCH, array
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import Expr, equal, identity, nonnegative, positive

OO = sp.oo
l, m = sp.symbols("l m", real=True)
first, second, over = sp.symbols("first second over", positive=True)  # u - l, n - m
s, t, i, j = sp.symbols("s t i j", positive=True)
ENDS = (l, l + first), (m, m + second)
RANGES: dict[Any, Any] = {first: (0, OO), second: (0, OO), over: (0, OO), i: (0, 1), j: (0, 1)}


def _box(low: Expr, high: Expr) -> Box:
    return Box(array([low]), array([high]))  # type: ignore[arg-type]


def code_corners(multiply: Callable[[Box, Box], Box]) -> list[Expr]:
    """What the code takes the least and the greatest of."""
    seen: list[Expr] = []

    class Corners(list[Any]):
        def amin(self, _: int) -> Expr:
            seen.extend(corner[0] for corner in self)
            return array([sp.Integer(0)])

        amax = amin

    stubs: Any = {"torch": mock.Mock(stack=Corners), "_widen": lambda box, _: box}
    with mock.patch.multiple(interval, **stubs):
        multiply(_box(*ENDS[0]), _box(*ENDS[1]))
    return seen[: len(seen) // 2]


def _product(multiply: Callable[[Box, Box], Box] = interval.multiply) -> list[str]:
    proof = Proof()
    (low, high), (bottom, top) = ENDS
    x, y = low + i * first, bottom + j * second
    weights = {
        (low, bottom): (1 - i) * (1 - j),
        (low, top): (1 - i) * j,
        (high, bottom): i * (1 - j),
        (high, top): i * j,
    }
    average = sum(weight * a * b for (a, b), weight in weights.items())
    proof.by("x y is an average of the corners", identity, x * y, average)
    proof.by("the weights sum to 1", identity, sum(weights.values()), 1)
    for weight in weights.values():
        proof.by(f"{weight} >= 0", nonnegative, weight, {i: (0, 1), j: (0, 1)})
    found = {sp.expand(corner) for corner in code_corners(multiply)}
    proof.by("the code's corners", equal, found, {sp.expand(a * b) for a, b in weights})
    with mock.patch.object(interval, "_widen", lambda box, _: box):
        total = interval.add(_box(*ENDS[0]), _box(*ENDS[1]))
    proof.by("x + y: lower end", nonnegative, sp.expand(x + y - total.lower[0]), RANGES)
    proof.by("x + y: upper end", nonnegative, sp.expand(total.upper[0] - x - y), RANGES)
    return proof.steps


def _monotone(slopes: dict[str, tuple[Expr, Any, Any]] | None = None) -> list[str]:
    """(i): derivatives in s = sigmoid and t = tanh (`s_curve_maximum`); relu by cases. (iii)."""
    proof = Proof()
    known = {"sigmoid": (s * (1 - s), s, (0, 1)), "tanh": (1 - t**2, t, (-1, 1))}
    for name, (slope, symbol, range_) in (known if slopes is None else slopes).items():
        proof.by(f"{name} increases", positive, slope, {symbol: range_})
    for name, low, high in (
        ("0 < l", first, first + second),
        ("l < 0 < u", -first, second),
        ("u < 0", -first - over, -first),
    ):
        relu = interval.relu(_box(low, high))
        proof.by(f"relu, {name}: ends", equal, (relu.lower[0], relu.upper[0]), (sp.Max(low, 0), sp.Max(high, 0)))
    # relu(x + d) - relu(x) for x > 0, x + d < 0, and across 0.
    for name, rise in (("x > 0", first + over - first), ("x + d < 0", sp.Integer(0)), ("x < 0 < x + d", over)):
        proof.by(f"relu does not decrease, {name}", nonnegative, rise, {first: (0, OO), over: (0, OO)})
    x = l + i * first
    run: Any = mock.Mock(state=mock.Mock(box={0: Box(array([[l]]), array([[l + first]]))}))  # type: ignore[arg-type]
    negated = schedule._Run._box(run, mock.Mock(step=0, start=0, stop=1), negate=True)
    proof.by("-x: lower end", nonnegative, sp.expand(-x - negated.lower[0, 0]), RANGES)
    proof.by("-x: upper end", nonnegative, sp.expand(negated.upper[0, 0] + x), RANGES)
    return proof.steps


def _intersection(intersect: Callable[[Box, Box], Box] = Box.intersect) -> list[str]:
    """(iv): which of the ends is inner, in all four ways."""
    proof = Proof()
    x = sp.Symbol("x", real=True)
    below, above = sp.symbols("below above", positive=True)
    ranges = dict.fromkeys((below, above, first, second), (0, OO))
    for tight_low in (True, False):
        for tight_high in (True, False):
            low = (x - below, x - below - first) if tight_low else (x - below - first, x - below)
            high = (x + above, x + above + second) if tight_high else (x + above + second, x + above)
            with mock.patch.object(bounds, "torch", TORCH):
                found = intersect(_box(low[0], high[0]), _box(low[1], high[1]))
            ends = []
            found_ends: Any = (found.lower[0], found.upper[0])
            for end in found_ends:
                if end.has(sp.Max, sp.Min):
                    raise LemmaError(f"{end} is not decided")
                ends.append(end)
            name = f"inner ends {1 if tight_low else 2} and {1 if tight_high else 2}"
            proof.by(f"{name}: x is not below", nonnegative, sp.expand(x - ends[0]), ranges)
            proof.by(f"{name}: x is not above", nonnegative, sp.expand(ends[1] - x), ranges)
            proof.by(f"{name}: no wider than either", nonnegative, ends[0] - low[0] + high[0] - ends[1], ranges)
            proof.by(f"{name}: no wider than the other", nonnegative, ends[0] - low[1] + high[1] - ends[1], ranges)
    return proof.steps


def _replaced(one: Box, other: Box) -> Box:
    return other


def _hull(one: Box, other: Box) -> Box:
    return Box(TORCH.minimum(one.lower, other.lower), TORCH.maximum(one.upper, other.upper))


def _crossed(one: Box, other: Box) -> Box:
    return Box(TORCH.maximum(one.lower, other.lower), TORCH.minimum(one.lower, other.upper))


LEMMA = Lemma(
    name="interval_arithmetic",
    statement=__doc__,
    source="Moore, Kearfott and Cloud (2009), chapter 2",
    code=(
        "gpu_engine.propagation.interval:image",
        "gpu_engine.propagation.interval:sigmoid",
        "gpu_engine.propagation.interval:tanh",
        "gpu_engine.propagation.interval:relu",
        "gpu_engine.propagation.interval:multiply",
        "gpu_engine.propagation.interval:add",
        "gpu_engine.bounds:Box.intersect",
        "gpu_engine.propagation.schedule:bound",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py", "tests/reference/test_bounds.py"),
    check=lambda: _product() + _monotone() + _intersection(),
    controls={
        "a corner is missed": lambda: _product(lambda a, b: interval.multiply(a, Box(b.lower, b.lower))),
        "tanh' taken for 1 - t": lambda: _monotone({"tanh": (-t * (1 - t), t, (-1, 1))}),
        "the box is replaced": lambda: _intersection(_replaced),
        "the hull instead of the common part": lambda: _intersection(_hull),
        "the upper end from a lower one": lambda: _intersection(_crossed),
    },
)
