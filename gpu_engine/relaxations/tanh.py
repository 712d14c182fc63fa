"""Exact offsets for lines over tanh(v).

Method card
    Claim      `maximum(sign, v, slope)` >= max over the interval of sign * tanh(v) - slope * v, for any slope.
    Source     POPQORN (Ko et al. 2019), theorem A.2, needs lines and takes them from Zhang et al. (2018) by bisection.
    Departure  the slope is whatever the caller likes; the offset is exact for it.
    Idea       the ends, and a tangent of the concave half at any point of it (`s_curve`); -tanh(v) = tanh(-v).
    Sound?     yes: lemmas `s_curve_maximum`, `curve_lines` and `curve_rounding`.
    Tight?     exact up to the rounding slack.
    Shapes     intervals, slopes and results all (...,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.least_height import s_shaped_slope
from gpu_engine.relaxations.offsets import curve_slack, larger
from gpu_engine.relaxations.s_curve import CurveMaximum, max_tanh_minus_line, sech_squared


def maximum(sign: float, v: Box, slope: Tensor) -> CurveMaximum:
    """The maximum of sign * tanh(v) - slope * v, pushed outward; sign is 1 or -1.

    -tanh(v) - slope * v = tanh(w) + slope * w with w = -v: the other sign is the mirrored interval, exactly.
    """
    w, tilt = (v, slope) if sign > 0 else (Box(-v.upper, -v.lower), -slope)
    best = max_tanh_minus_line(torch.ones_like(tilt), tilt, w.lower, w.upper)
    image = Box(torch.tanh(w.lower), torch.tanh(w.upper))
    for end, t in ((w.lower, image.lower), (w.upper, image.upper)):
        best = larger(best, CurveMaximum(t - tilt * end, end))
    slack = curve_slack(w, tilt, magnitude=image.magnitude())
    return CurveMaximum(best.value + slack, best.at if sign > 0 else -best.at)


def value(v: Tensor) -> Tensor:
    """tanh(v)."""
    return torch.tanh(v)


def slope(v: Tensor) -> Tensor:
    """tanh'(v) = 1 - tanh(v)^2."""
    return sech_squared(v)


def best_slope(sign: float, v: Box) -> Tensor:
    """The slope of the upper line of sign * tanh that is lowest at the centre of the interval."""
    return s_shaped_slope(maximum, value, slope, sign, v)


def common_slope(v: Box) -> Tensor:
    """The least derivative on the interval: the derivative falls to both sides of 0."""
    return torch.minimum(slope(v.lower), slope(v.upper))
