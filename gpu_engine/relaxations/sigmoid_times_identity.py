"""Exact offsets for planes over f(v, z) = sigmoid(v) z.

Method card
    Claim      `upper_offset(box, a, b)` >= max over the box of f(v, z) - a v - b z, for any slopes a, b.
    Source     POPQORN (Ko et al. 2019), equations 25 and 26 state the objective; the finite candidate set is in
               theory section 3.
    Idea       f - a v - b z is linear in z, so its maximum lies on z = lower or z = upper, where it
               is an S-shaped curve in v minus a line (`s_curve`).
    Sound?     yes: lemma `candidates_identity` and lemma `offset_rounding`.
    Tight?     exact up to the rounding slack.
    Departure  none sampled, none trained; the paper's own planes are found by gradient descent.
    Shapes     boxes, slopes and results all (...,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.offsets import Maximum, largest, rounding_slack
from gpu_engine.relaxations.s_curve import max_sigmoid_minus_line


def upper_maximum(v: Box, z: Box, slope_v: Tensor, slope_z: Tensor) -> Maximum:
    """The maximum of sigmoid(v) z - slope_v v - slope_z z over the box and where it is attained.

    The value is pushed outward, so it is an upper offset that holds in exact arithmetic.
    """
    candidates = []
    # One loop pass per side z = const; `s` at the two ends of v is shared.
    ends = [(end, torch.sigmoid(end)) for end in (v.lower, v.upper)]
    for side in (z.lower, z.upper):
        shift = slope_z * side
        for end, s in ends:
            candidates.append((s * side - slope_v * end - shift, end, side))
        curve = max_sigmoid_minus_line(side, slope_v, v.lower, v.upper)
        candidates.append((curve.value - shift, curve.at, side))
    best = largest(candidates)
    slack = rounding_slack(v, z, slope_v, slope_z, g_magnitude=z.magnitude())
    return Maximum(best.value + slack, best.v, best.z)


def maximum_over_z(v: Tensor, z: Box, slope_z: Tensor) -> Tensor:
    """max over z of sigmoid(v) z - slope_z z at fixed v, up to rounding; for slope rules, not for offsets."""
    slope = torch.sigmoid(v) - slope_z
    return torch.maximum(slope * z.lower, slope * z.upper)


def value(v: Tensor, z: Tensor) -> Tensor:
    """f(v, z) = sigmoid(v) z."""
    return torch.sigmoid(v) * z


def chord_slope(z: Box) -> Tensor:
    """Slope of g(z) = z between the ends of the box: one."""
    return torch.ones_like(z.lower)


def g_slope(z: Tensor) -> Tensor:
    """g'(z) = 1."""
    return torch.ones_like(z)


def g_value(z: Tensor) -> Tensor:
    """g(z) = z."""
    return z
