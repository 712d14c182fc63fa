"""Exact offsets for lines over relu(v) = max(v, 0).

Method card
    Claim      `maximum(sign, v, slope)` >= max over the interval of sign * relu(v) - slope * v, for any slope.
    Source     Zhang et al. (2018), table 2, for the lines; offsets for any slope are plain.
    Idea       relu minus a line is straight between the ends and 0, so its maximum is at one of the three.
    Sound?     yes: lemmas `curve_lines` and `curve_rounding`.
    Tight?     exact up to the rounding slack.
    Shapes     intervals, slopes and results all (...,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.offsets import curve_slack, larger
from gpu_engine.relaxations.s_curve import CurveMaximum


def maximum(sign: float, v: Box, slope: Tensor) -> CurveMaximum:
    """The maximum of sign * relu(v) - slope * v, pushed outward; sign is 1 or -1."""
    kink = torch.minimum(torch.maximum(torch.zeros_like(v.lower), v.lower), v.upper)  # 0, or the end next to it
    best: CurveMaximum | None = None
    for point in (v.lower, kink, v.upper):
        surface = value(point) if sign > 0 else -value(point)
        found = CurveMaximum(surface - slope * point, point)
        best = found if best is None else larger(best, found)
    assert best is not None
    return CurveMaximum(best.value + curve_slack(v, slope, magnitude=v.magnitude()), best.at)


def value(v: Tensor) -> Tensor:
    """max(v, 0)."""
    return v.clamp(min=0.0)


def slope(v: Tensor) -> Tensor:
    """1 for v > 0, otherwise 0: at the kink the smaller one."""
    return (v > 0).to(v.dtype)


def best_slope(sign: float, v: Box) -> Tensor:
    """Above, the chord's slope; below, 0 or 1, whichever encloses less area: for -relu their negatives."""
    return common_slope(v) if sign > 0 else -slope(v.lower + (v.upper - v.lower) / 2)


def common_slope(v: Box) -> Tensor:
    """The chord's slope, u / (u - l) where 0 lies inside: the parallel lines of least distance."""
    width = v.upper - v.lower
    chord = (value(v.upper) - value(v.lower)) / torch.where(width > 0, width, 1.0)
    return torch.where(width > 0, chord, slope(v.lower))
