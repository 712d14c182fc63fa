"""The line of least height at the centre of an interval, by exchange of contact points.

Method card
    Source     POPQORN (Ko et al. 2019), equations 25 and 26, in one dimension: the area between line and curve is least
               when the line's height at the centre is, that is, when the line supports the concave envelope there.
    Idea       two contact points around the centre span a chord; where the curve rises highest above it is the next
               contact point. With one end fixed this is Newton's method on the largest excess (Dinkelbach's
               method), so it converges quadratically and from above. Where the envelope is the curve itself at
               the centre, the tangent there is the best line.
    Sound?     any slope is: `maximum` gives the exact offset for it.
    Shapes     all tensors (...,).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.s_curve import CurveMaximum

# A box as narrow as this takes the tangent at its centre; contact points as close as this span no line. Tightness only.
THIN = 1e-6
CLOSE = 1e-9
# Exchanges for an S-shaped curve: the third is the last to lower a line visibly. Tightness only.
EXCHANGES = 3


class Line(NamedTuple):
    """slope * x + offset and its height at the centre of the interval."""

    slope: Tensor
    offset: Tensor
    height: Tensor


def chord_line(
    maximum: Callable[[Tensor], CurveMaximum], x: Box, at_ends: tuple[Tensor, Tensor], tangent: Tensor, exchanges: int
) -> Line:
    """The lowest of the chords of an exchange, as an upper line.

    maximum(slope): the exact offset for a slope and where the curve touches that line. at_ends: the curve at the ends
    of x. tangent: the slope for intervals too thin for a chord.
    """
    width = x.upper - x.lower
    centre = x.lower + width / 2
    thin = width <= THIN
    # The two contact points around the centre: at first the ends of the interval.
    (left_x, right_x), (left, right) = (x.lower, x.upper), at_ends
    slope = torch.where(thin, tangent, (right - left) / torch.where(thin, 1.0, width))
    touched = maximum(slope)
    best = Line(slope, touched.value, touched.value + slope * centre)
    for _ in range(exchanges):
        height_there = touched.value + slope * touched.at  # the curve at the contact point
        on_left = touched.at < centre
        left_x, left = torch.where(on_left, touched.at, left_x), torch.where(on_left, height_there, left)
        right_x, right = torch.where(on_left, right_x, touched.at), torch.where(on_left, right, height_there)
        gap = right_x - left_x
        usable = gap > CLOSE * (1 + width)
        slope = torch.where(usable, (right - left) / torch.where(usable, gap, 1.0), slope)
        touched = maximum(slope)
        best = lower_line(best, Line(slope, touched.value, touched.value + slope * centre))
    return best


def least_height_line(
    maximum: Callable[[Tensor], CurveMaximum], x: Box, at_ends: tuple[Tensor, Tensor], tangent: Tensor, exchanges: int
) -> Line:
    """The lower of the best chord and the tangent at the centre; tangent: the curve's slope there."""
    chord = chord_line(maximum, x, at_ends, tangent, exchanges)
    offset = maximum(tangent).value
    return lower_line(chord, Line(tangent, offset, offset + tangent * (x.lower + (x.upper - x.lower) / 2)))


def s_shaped_slope(
    maximum: Callable[[float, Box, Tensor], CurveMaximum],
    value: Callable[[Tensor], Tensor],
    slope: Callable[[Tensor], Tensor],
    sign: float,
    v: Box,
) -> Tensor:
    """The slope of the upper line of sign * phi that is lowest at the centre; maximum, value, slope: those of phi."""
    tangent = sign * slope(v.lower + (v.upper - v.lower) / 2)
    at_ends = sign * value(v.lower), sign * value(v.upper)
    return least_height_line(lambda tilt: maximum(sign, v, tilt), v, at_ends, tangent, EXCHANGES).slope


def lower_line(first: Line, second: Line) -> Line:
    """The line of less height at the centre, elementwise; the first where they are equal."""
    better = second.height < first.height
    slope, offset, height = (torch.where(better, new, old) for new, old in zip(second, first, strict=True))
    return Line(slope, offset, height)
