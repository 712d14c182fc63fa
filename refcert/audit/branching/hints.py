"""Float hints where F may be largest. UNTRUSTED: a bad one costs a split or more bits, never a false proof."""

from __future__ import annotations

import math
from typing import Final

_STEPS: Final = 40  # of Newton's method; six or eight are the rule
_STILL: Final = 1e-15  # a relative step that moves nothing any more


def clamp(x: float, low: float, high: float) -> float:
    """x moved into [low, high]; NaN becomes low."""
    return min(max(x, low), high) if x == x else low


def flat_sigmoid(ratio: float) -> float:
    """The v >= 0 with sigmoid'(v) = ratio; inf for ratio <= 0, 0 above 1/4. sigmoid' = 1 / (2 cosh(v / 2))^2."""
    if not ratio > 0:
        return math.inf
    return 2 * math.acosh(max(1.0, 0.5 / math.sqrt(ratio)))


def flat_tanh(ratio: float) -> float:
    """The y >= 0 with tanh'(y) = ratio; inf for ratio <= 0, 0 above 1. tanh' = 1 / cosh(y)^2."""
    if not ratio > 0:
        return math.inf
    return math.acosh(max(1.0, 1 / math.sqrt(ratio)))


def hill_top(a: float, b: float, v_ends: tuple[float, float], y_ends: tuple[float, float]) -> tuple[float, float]:
    """Near the maximum of sigmoid(v) tanh(y) - a v - b y on a rectangle on which that is concave, v and y >= 0.

    Newton's method, kept in the rectangle; a coordinate that is pressed against an end stays there.
    """
    (low_v, high_v), (low_y, high_y) = v_ends, y_ends
    v, y = _far(low_v, high_v), _far(low_y, high_y)
    # two rounds of maximising along each axis bring Newton's method into its own
    for _ in range(2):
        t = math.tanh(y)
        v = clamp(flat_sigmoid(a / t) if t > 0 else low_v, low_v, high_v)
        y = clamp(flat_tanh(b * (1 + math.exp(-v))), low_y, high_y)
    for _ in range(_STEPS):
        e = math.exp(-v)
        s = 1 / (1 + e)
        q = e * s
        k = math.exp(-2 * y)
        t, w = (1 - k) / (1 + k), 4 * k / ((1 + k) * (1 + k))
        g_v, g_y = s * q * t - a, s * w - b
        f_vv, f_vy, f_yy = s * q * (q - s) * t, s * q * w, -2 * s * t * w
        held_v = (v == low_v and g_v <= 0) or (v == high_v and g_v >= 0) or not f_vv < 0
        held_y = (y == low_y and g_y <= 0) or (y == high_y and g_y >= 0) or not f_yy < 0
        if held_v and held_y:
            break
        if held_v or held_y:
            step_v = 0.0 if held_v else -g_v / f_vv
            step_y = 0.0 if held_y else -g_y / f_yy
        else:
            det = f_vv * f_yy - f_vy * f_vy
            if not det > 0:
                break
            step_v = -(f_yy * g_v - f_vy * g_y) / det
            step_y = -(f_vv * g_y - f_vy * g_v) / det
        new_v, new_y = clamp(v + step_v, low_v, high_v), clamp(y + step_y, low_y, high_y)
        still = abs(new_v - v) <= _STILL * v and abs(new_y - y) <= _STILL * y
        v, y = new_v, new_y
        if still:
            break
    return v, y


def _far(low: float, high: float) -> float:
    """A start that is not lost in the flat part of a wide interval."""
    return min(high, max(low, 1.0))
