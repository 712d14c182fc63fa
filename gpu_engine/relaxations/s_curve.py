"""Maxima of S-shaped curves minus a line, bounded from above without a converged root.

Method card
    Claim      upper bound of `scale * sigmoid(v) - slope * v` and of `scale * tanh(z) - slope * z` on an
               interval, and a point where it is (nearly) attained.
    Source     candidates on the sides of the box, theory section 3; the tangent argument is ours.
    Idea       On one side of 0 the curve is convex, so its maximum is at the ends. On the other side
               it is concave, so it lies below its tangent at ANY point p. With p near the critical
               point the tangent is nearly level and the bound is tight; with any other p it is looser
               but still a bound. So no root has to be exact and no double root can be missed.
    Sound?     yes in exact arithmetic (lemma `s_curve_maximum`); the caller adds the rounding slack.
    Tight?     exact up to the residual slope at p times the length of the interval.
    Shapes     all tensors broadcast to one shape (...,).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class CurveMaximum(NamedTuple):
    """value >= max of the curve minus the line on the interval; at: a point where it is nearly attained."""

    value: Tensor
    at: Tensor


def _tangent_excess(slope: Tensor, at: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """How far a tangent with this slope at `at` can rise inside [lower, upper]."""
    return torch.where(slope > 0, slope * (upper - at), slope * (lower - at))


def max_sigmoid_minus_line(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> CurveMaximum:
    """Bound `scale * sigmoid(v) - slope * v` on [lower, upper] inside its concave half.

    Ends of the interval are NOT included; corners of a box are evaluated once by the caller. Where the
    concave half does not meet the interval, the value at the nearer end is returned.
    """
    # sigmoid'(v) = s (1 - s) = slope / scale has the root 1 - s = w on the concave half, |v| >= 0.
    q = (slope / torch.where(scale == 0, 1.0, scale)).clamp(0.0, 0.25).abs()  # abs: no -0
    w = 2 * q / (1 + torch.sqrt(1 - 4 * q))
    root = torch.log((1 - w) / w)  # +inf where q = 0: the curve is monotone there
    concave_right = scale >= 0
    root = torch.where(concave_right, root, -root)
    low = torch.where(concave_right, lower.clamp(min=0.0), lower)
    high = torch.where(concave_right, upper, upper.clamp(max=0.0))
    at = torch.minimum(torch.maximum(root, low), high)
    at = torch.minimum(torch.maximum(at, lower), upper)  # where the concave half is empty: an end
    s = torch.sigmoid(at)
    derivative = scale * s * torch.sigmoid(-at) - slope
    excess = torch.where(low <= high, _tangent_excess(derivative, at, low, high), 0.0)
    return CurveMaximum(scale * s - slope * at + excess, at)


def max_tanh_minus_line(scale: Tensor, slope: Tensor, lower: Tensor, upper: Tensor) -> CurveMaximum:
    """Bound `scale * tanh(z) - slope * z` on [lower, upper] inside its concave half; scale >= 0."""
    # 1 - tanh(z)^2 = slope / scale, z >= 0
    q = (slope / torch.where(scale == 0, 1.0, scale)).clamp(0.0, 1.0).abs()  # abs: no -0
    root = torch.log((1 + torch.sqrt(1 - q)) / torch.sqrt(q))
    low = lower.clamp(min=0.0)
    at = torch.minimum(torch.maximum(root, low), upper)
    at = torch.maximum(at, lower)
    t = torch.tanh(at)
    derivative = scale * sech_squared(at) - slope
    excess = torch.where(low <= upper, _tangent_excess(derivative, at, low, upper), 0.0)
    return CurveMaximum(scale * t - slope * at + excess, at)


def sech_squared(z: Tensor) -> Tensor:
    """1 - tanh(z)^2 without cancellation: 4 e / (1 + e)^2 with e = exp(-2 |z|)."""
    e = torch.exp(-2 * z.abs())
    return 4 * e / torch.square(1 + e)
