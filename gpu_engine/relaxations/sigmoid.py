"""Exact offsets for lines over sigmoid(v).

Method card
    Claim      `maximum(sign, v, slope)` >= max over the interval of sign * sigmoid(v) - slope * v, for any slope.
    Source     POPQORN (Ko et al. 2019), theorem A.2, needs lines and takes them from Zhang et al. (2018) by bisection.
    Departure  the slope is whatever the caller likes; the offset is exact for it.
    Idea       the ends, and a tangent of the concave half at any point of it (`s_curve`).
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
from gpu_engine.relaxations.s_curve import CurveMaximum, max_sigmoid_minus_line


def maximum(sign: float, v: Box, slope: Tensor) -> CurveMaximum:
    """The maximum of sign * sigmoid(v) - slope * v, pushed outward; sign is 1 or -1."""
    one = torch.ones_like(slope)
    scale = one if sign > 0 else -one
    best = max_sigmoid_minus_line(scale, slope, v.lower, v.upper)
    for end in (v.lower, v.upper):
        best = larger(best, CurveMaximum(scale * torch.sigmoid(end) - slope * end, end))
    return CurveMaximum(best.value + curve_slack(v, slope, magnitude=one), best.at)


def value(v: Tensor) -> Tensor:
    """sigmoid(v)."""
    return torch.sigmoid(v)


def slope(v: Tensor) -> Tensor:
    """sigmoid'(v) = s (1 - s), without cancellation."""
    return torch.sigmoid(v) * torch.sigmoid(-v)


def best_slope(sign: float, v: Box) -> Tensor:
    """The slope of the upper line of sign * sigmoid that is lowest at the centre of the interval."""
    return s_shaped_slope(maximum, value, slope, sign, v)


def common_slope(v: Box) -> Tensor:
    """The least derivative on the interval: the derivative falls to both sides of 0."""
    return torch.minimum(slope(v.lower), slope(v.upper))
