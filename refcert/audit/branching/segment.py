"""F on a segment along one axis: convex, concave, falling, rising, or cut at the point of inflection.

F = k S(x) - slope x + const with S sigmoid or tanh (`lines`). Its second derivative is k S''(x), and S'' has the sign
of -x: F is concave where k x >= 0 and convex where k x <= 0.
Lemma `second_order_forms`.
"""

from __future__ import annotations

from typing import Final

from flint import arb

from refcert.audit.branching.hints import clamp
from refcert.audit.branching.lines import Line
from refcert.audit.branching.outcomes import MoreBitsError, ViolatedError
from refcert.audit.branching.places import Place
from refcert.kernel.ball import (
    ZERO,
    exact,
    middle,
    surely_less,
    surely_not_negative,
    surely_not_positive,
    surely_positive,
    upper_of_two,
)

# Steps of Newton's method, kept between left and right: its digits double with each, halving adds one.
STEPS: Final = 200


def check_point(line: Line, at: Place) -> None:
    """F <= 0 at one point, or raise."""
    value = line.value(at)
    if surely_positive(value):
        raise ViolatedError(*line.point(at))
    if not surely_not_positive(value):
        raise MoreBitsError


def check_segment(line: Line, low: Place, high: Place) -> None:
    """F <= 0 on the closed segment, or raise ViolatedError or MoreBitsError."""
    sign = line.sign
    if sign == 0 or (high.sign <= 0 if sign > 0 else low.sign >= 0):
        # linear or convex: largest at an end
        check_point(line, low)
        check_point(line, high)
        return
    if low.sign < 0 < high.sign:
        # Cut at zero. The concave half contains zero, so of the convex half only the outer end is left.
        zero = line.place(ZERO)
        check_point(line, low if sign > 0 else high)
        low, high = (zero, high) if sign > 0 else (low, zero)
    _check_concave(line, low, high)


def _check_concave(line: Line, low: Place, high: Place) -> None:
    scale, slope = line.scale, line.slope
    if surely_not_positive(scale * low.slope - slope):  # F' falls: F falls from its start on
        check_point(line, low)
        return
    if surely_not_negative(scale * high.slope - slope):
        check_point(line, high)
        return
    # F rises at low and falls at high: its maximum lies between left and right, which close in on it.
    at, left, right = _start(line, low, high), low.x, high.x
    for _ in range(STEPS):
        value = line.value(at)
        if surely_positive(value):
            raise ViolatedError(*line.point(at))
        # A concave F lies below its tangent at any point of the segment.
        tilt = scale * at.slope - slope
        rises, falls = surely_positive(tilt), surely_positive(-tilt)
        if surely_not_positive(value + upper_of_two(tilt * (right - at.x), tilt * (left - at.x))):
            return
        if rises:
            left = at.x
        elif falls:
            right = at.x
        else:
            break
        x = _between(left, at.x - tilt / (scale * line.bend(at)), right)
        if x is None:
            break
        at = line.place(x)
    raise MoreBitsError


def _between(left: arb, x: arb, right: arb) -> arb | None:
    """The centre of x if it lies strictly between, else the centre of the interval, None where these bits have none."""
    for tried in (middle(x), middle((left + right) / 2)):
        if surely_less(left, tried) and surely_less(tried, right):
            return tried
    return None


def _start(line: Line, low: Place, high: Place) -> Place:
    """A point of the segment near the maximum."""
    scale = float(line.scale)
    hint = line.hint(float(line.slope) / scale) if scale != 0 else 0.0
    x = exact(clamp(hint if line.sign > 0 else -hint, low.near, high.near))
    if surely_not_positive(x - low.x):
        return low
    if surely_not_negative(x - high.x):
        return high
    return line.place(x)
