"""What all exact offsets share: picking the largest candidate, mirroring, and the rounding slack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.s_curve import CurveMaximum
from gpu_engine.rounding import OFFSET_UNITS, tiny, unit_roundoff


class Maximum(NamedTuple):
    """An upper bound of a maximum over a box and the point (v, z) where it is nearly attained."""

    value: Tensor
    v: Tensor
    z: Tensor


UpperMaximum = Callable[[Box, Box, Tensor, Tensor], Maximum]


def largest(candidates: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Maximum:
    """The largest of several (value, v, z) triples, elementwise. NaN wins, so that it is seen later."""
    value, v, z = candidates[0]
    for other_value, other_v, other_z in candidates[1:]:
        better = ~(other_value <= value) & ~torch.isnan(value)
        value = torch.where(better, other_value, value)
        v = torch.where(better, other_v, v)
        z = torch.where(better, other_z, z)
    return Maximum(value, v, z)


def larger(first: CurveMaximum, second: CurveMaximum) -> CurveMaximum:
    """The larger of two, elementwise. NaN wins, so that it is seen later."""
    better = ~(second.value <= first.value) & ~torch.isnan(first.value)
    return CurveMaximum(torch.where(better, second.value, first.value), torch.where(better, second.at, first.at))


def rounding_slack(v: Box, z: Box, slope_v: Tensor, slope_z: Tensor, g_magnitude: Tensor) -> Tensor:
    """What rounding can take away from a computed offset, lemma `offset_rounding`.

    Every term of every candidate is at most `|g|`, `|slope_v v|` or `|slope_z z|`, and a tangent's slope times
    a width is at most `(|g| / 4 + |slope_v|) width_v` or `(|g'| + |slope_z|) width_z` with `|g'| <= 1`.
    g_magnitude: the largest |g(z)| on the box. A width is at most twice the largest magnitude.
    """
    v_reach = v.magnitude() + (v.upper - v.lower)
    z_reach = z.magnitude() + (z.upper - z.lower)
    terms = g_magnitude * (1 + (v.upper - v.lower)) + slope_v.abs() * v_reach + (1 + slope_z.abs()) * z_reach
    dtype = v.lower.dtype
    # Underflows: at most `tiny` each, in a factor of a slope or of a coordinate.
    factors = 1 + v_reach + z_reach + slope_v.abs() + slope_z.abs()
    return OFFSET_UNITS * (unit_roundoff(dtype) * terms + tiny(dtype) * factors)


def curve_slack(v: Box, slope: Tensor, magnitude: Tensor) -> Tensor:
    """What rounding can take away from the offset of a line over a curve, lemma `curve_rounding`.

    Every term of every candidate is at most `magnitude`, the largest |phi(v)|, or `|slope v|`, and a tangent's slope
    times a width is at most `(1 + |slope|) width`, for |phi'| <= 1.
    """
    width = v.upper - v.lower
    reach = v.magnitude() + width
    terms = magnitude + width + slope.abs() * reach
    dtype = v.lower.dtype
    # Underflows: at most `tiny` each, in a factor of a slope or of a coordinate.
    factors = 1 + reach + slope.abs()
    return OFFSET_UNITS * (unit_roundoff(dtype) * terms + tiny(dtype) * factors)


def both_sides(v: Box, z: Box) -> tuple[Box, Box]:
    """The box and, stacked behind it, its mirror image: upper planes of both are the box's two planes.

    f(v, -z) = -f(v, z), lemma `mirror_symmetry`. Shapes (...,) -> (2, ...).
    """
    return (
        Box(torch.stack((v.lower, v.lower)), torch.stack((v.upper, v.upper))),
        Box(torch.stack((z.lower, -z.upper)), torch.stack((z.upper, -z.lower))),
    )


def pair_from_sides(upper: Plane) -> PlanePair:
    """Upper planes over `both_sides` (2, ...) as the lower and the upper plane of the box (...,)."""
    slope_v, slope_z, offset = upper.slope_v, upper.slope_z, upper.offset
    return PlanePair(Plane(-slope_v[1], slope_z[1], -offset[1]), Plane(slope_v[0], slope_z[0], offset[0]))
