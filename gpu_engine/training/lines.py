"""Differentiable bounding planes of single nonlinearities over boxes: simple ones, for training.

Method card
    Claim      none, see `gpu_engine.training.interval`; in exact arithmetic the planes do bound.
    Source     lines of S-curves: Singh et al. (2019), "An abstract domain for certifying neural networks" (section 4),
               with a tangent at the middle where the curve bends one way. ReLU: Zhang et al. (2018), section 3.3.
    Products   with s in s0 +- ds, y in y0 +- dy: s y = s0 y + y0 s - s0 y0 + (s - s0)(y - y0), whose last part is
               within ds dy; of McCormick's two lower planes the mean is used, - s0 y0 - ds dy, and + ds dy above.
               Then s = sigmoid(v) and y = tanh(z) are replaced by their lines, by the signs of y0 and of s0 > 0.
    Shapes     all (batch, units).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import Box

# Narrower intervals than this use the slope at the middle; a chord would divide by nearly nothing.
_NARROW = 1e-6


@dataclass(frozen=True)
class Lines:
    """low_slope t + low_offset <= f(t) <= high_slope t + high_offset on the box."""

    low_slope: Tensor
    low_offset: Tensor
    high_slope: Tensor
    high_offset: Tensor


@dataclass(frozen=True)
class Planes:
    """Lower and upper planes slope_v v + slope_z z + offset of one nonlinearity; slope_z None where there is no z."""

    low: tuple[Tensor, Tensor | None, Tensor]
    high: tuple[Tensor, Tensor | None, Tensor]


def s_curve(kind: str, box: Box) -> Lines:
    """Lines of sigmoid or tanh."""
    function = torch.sigmoid if kind == "sigmoid" else torch.tanh
    low, high, middle = box.lower, box.upper, (box.lower + box.upper) / 2
    at_low, at_high, at_middle = function(low), function(high), function(middle)

    def slope(value: Tensor) -> Tensor:
        return value * (1 - value) if kind == "sigmoid" else 1 - value * value

    width = high - low
    narrow = width < _NARROW
    chord = torch.where(narrow, slope(at_middle), (at_high - at_low) / torch.where(narrow, 1.0, width))
    flat, tangent = torch.minimum(slope(at_low), slope(at_high)), slope(at_middle)
    concave, convex = low >= 0, high <= 0
    low_slope = torch.where(concave, chord, torch.where(convex, tangent, flat))
    high_slope = torch.where(convex, chord, torch.where(concave, tangent, flat))
    low_offset = torch.where(convex, at_middle - low_slope * middle, at_low - low_slope * low)
    high_offset = torch.where(concave, at_middle - high_slope * middle, at_high - high_slope * high)
    return Lines(low_slope, low_offset, high_slope, high_offset)


def relu(box: Box) -> Lines:
    """Lines of max(t, 0): the chord above, the line through zero of slope 0 or 1 below, whichever loses less."""
    low, high = box.lower.clamp(max=0.0), box.upper.clamp(min=0.0)
    width = high - low
    slope = torch.where(
        width < _NARROW, (box.upper > 0).to(width.dtype), high / torch.where(width < _NARROW, 1.0, width)
    )
    below = (box.upper > -box.lower).to(width.dtype)
    return Lines(below, torch.zeros_like(below), slope, -slope * low)


def curve(kind: str, box: Box) -> Planes:
    """A nonlinearity of one argument."""
    lines = relu(box) if kind == "relu" else s_curve(kind, box)
    return Planes((lines.low_slope, None, lines.low_offset), (lines.high_slope, None, lines.high_offset))


def product(kind: str, v: Box, z: Box) -> Planes:
    """sigmoid(v) tanh(z) or sigmoid(v) z."""
    gate = s_curve("sigmoid", v)
    if kind == "sigmoid_times_tanh":
        factor, y = s_curve("tanh", z), Box(torch.tanh(z.lower), torch.tanh(z.upper))
    else:
        one, nothing = torch.ones_like(z.lower), torch.zeros_like(z.lower)
        factor, y = Lines(one, nothing, one, nothing), z
    s = Box(torch.sigmoid(v.lower), torch.sigmoid(v.upper))
    s0, y0 = (s.lower + s.upper) / 2, (y.lower + y.upper) / 2
    loss = (s.upper - s.lower) * (y.upper - y.lower) / 4
    rising = y0 >= 0

    def side(sign: float) -> tuple[Tensor, Tensor, Tensor]:
        below = (gate.low_slope, gate.low_offset), (factor.low_slope, factor.low_offset)
        above = (gate.high_slope, gate.high_offset), (factor.high_slope, factor.high_offset)
        (plus, minus), (slope_y, offset_y) = (
            ((below[0], above[0]), below[1]) if sign < 0 else ((above[0], below[0]), above[1])
        )
        slope_s, offset_s = torch.where(rising, plus[0], minus[0]), torch.where(rising, plus[1], minus[1])
        return y0 * slope_s, s0 * slope_y, s0 * offset_y + y0 * offset_s - s0 * y0 + sign * loss

    return Planes(side(-1.0), side(1.0))
