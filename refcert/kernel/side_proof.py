"""One side of a box: is an S-shaped curve minus a line nowhere above a level? Lemma `s_curve_maximum`."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from flint import arb

from refcert.kernel import guesses
from refcert.kernel.ball import (
    ONE,
    ZERO,
    exact,
    middle,
    surely_not_negative,
    surely_not_positive,
    upper_of_two,
)
from refcert.kernel.functions import Curve, sigmoid

# The two ends of an interval, each with the function's value and slope there.
Ends = tuple[tuple[float, Curve], tuple[float, Curve]]


class Number(NamedTuple):
    """A float to guess with and the ball to prove with. The float has the exact sign of the number."""

    guess: float
    ball: arb


class Side(NamedTuple):
    """The claim scale * function(x) - slope * x <= level for x between the ends.

    x runs along axis 'v' or 'z' of the box while the other coordinate is `fixed`.
    """

    function: Callable[[arb], Curve]
    contact: Callable[[float], float]
    ends: Ends
    scale: Number
    slope: Number
    level: arb
    along: str
    fixed: float

    def point(self, x: float) -> tuple[float, float]:
        """The point (v, z) of the box that x stands for."""
        return (x, self.fixed) if self.along == "v" else (self.fixed, x)


class Witnesses(Protocol):
    """Who is told the excess of the surface over the plane at float points."""

    def point(self, excess: arb, v: float, z: float) -> bool: ...


def holds_on_concave_half(side: Side, witnesses: Witnesses, polish: int) -> bool:
    """Is the claim certain on the concave half of the interval? On the convex half the ends, corners, decide."""
    (low, at_low), (high, at_high) = side.ends
    scale, slope = side.scale.ball, side.slope.ball
    if side.scale.guess == 0 or low == high:
        return True  # a line or a point: its ends are corners
    rising_half = side.scale.guess > 0
    first, last = (max(low, 0.0), high) if rising_half else (low, min(high, 0.0))
    if first >= last:
        return True  # convex on all of it, or concave at a corner only
    # Falling at its start or rising at its end, a concave arc has its maximum there. Where that is 0 and
    # no corner, the convex half goes on falling (rising) to a corner.
    start = at_low if first == low else side.function(ZERO)
    if surely_not_positive(scale * start.slope - slope):
        return True
    end = at_high if last == high else side.function(ZERO)
    if surely_not_negative(scale * end.slope - slope):
        return True
    guess = side.contact(side.slope.guess / side.scale.guess)
    x = guesses.clamp(guess if rising_half else -guess, first, last)
    ball = exact(x)
    curve = side.function(ball)
    witnesses.point(scale * curve.value - slope * ball - side.level, *side.point(x))
    if polish:
        ball = _polished(side, ball, first, last, polish)
        curve = side.function(ball)
    tilt = scale * curve.slope - slope
    rise = upper_of_two(tilt * (exact(last) - ball), tilt * (exact(first) - ball))
    return surely_not_positive(scale * curve.value - slope * ball + rise - side.level)


def _polished(side: Side, start: arb, first: float, last: float, steps: int) -> arb:
    """Newton's method towards a level tangent; the point stays in [first, last] or where it was."""
    scale, slope, ball = side.scale.ball, side.slope.ball, start
    for _ in range(steps):
        curve = side.function(ball)
        # second derivatives: sigmoid'' = sigmoid' (1 - 2 s), tanh'' = -2 t tanh'
        bend = ONE - 2 * curve.value if side.function is sigmoid else -2 * curve.value
        ball = middle(ball - (scale * curve.slope - slope) / (scale * curve.slope * bend))
    inside = surely_not_negative(ball - exact(first)) and surely_not_positive(ball - exact(last))
    return ball if inside else start
