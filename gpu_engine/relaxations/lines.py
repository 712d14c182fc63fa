"""The relaxations `lines` and `lines_either`: one factor is bounded by its line, the other by its range.

Method card
    Source     POPQORN (Ko et al. 2019), appendix A.6, proof of theorem A.5: tanh(c) is bounded by the ends of its range
               and sigmoid(o) by its lines, so that the upper plane is h(v) g(zu), with h the upper line of the sigmoid
               where g(zu) >= 0 and its lower line where not. These are lines in v: slope_z = 0. That is `lines`.
    Departure  `lines_either` adds the other way round, the sigmoid by its range and g by its line, slope_v = 0, and
               takes per unit whichever is lower at the centre of the box. Offsets are exact for the slopes.
    Idea       max over z of sigmoid(v) g(z) is sigmoid(v) g(zu), a scaled S-shaped curve in v; max over v is
               max(s(vl) g(z), s(vu) g(z)), convex for z <= 0 and concave for z >= 0 (lemma `one_slope_lines`).
               The line of least height at the centre comes from an exchange of contact points.
    Sound?     any slopes are: the offset is exact (`sigmoid_times_*`).
    Tight?     the best planes with one zero slope, up to the exchange; loose against planes with two.
    Shapes     boxes and planes all (...,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.least_height import Line, least_height_line
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import Product
from gpu_engine.relaxations.s_curve import CurveMaximum

# Exchanges of contact points. Tightness only.
EXCHANGES = 3


def lines(product: Product, v: Box, z: Box) -> PlanePair:
    """Both planes of `product` on the box, with slope_z = 0: appendix A.6."""
    v_both, z_both = both_sides(v, z)
    line = _line_in_v(product, v_both, z_both)
    return pair_from_sides(Plane(line.slope, torch.zeros_like(line.slope), line.offset))


def lines_either(product: Product, v: Box, z: Box) -> PlanePair:
    """Both planes of `product` on the box, each with slope_z = 0 or slope_v = 0, whichever is lower at the centre."""
    v_both, z_both = both_sides(v, z)
    in_v, in_z = _line_in_v(product, v_both, z_both), _line_in_z(product, v_both, z_both)
    along_z = in_z.height < in_v.height
    return pair_from_sides(
        Plane(
            torch.where(along_z, 0.0, in_v.slope),
            torch.where(along_z, in_z.slope, 0.0),
            torch.where(along_z, in_z.offset, in_v.offset),
        )
    )


def _line_in_v(product: Product, v: Box, z: Box) -> Line:
    zero = torch.zeros_like(v.lower)
    centre = v.lower + (v.upper - v.lower) / 2
    tangent = torch.sigmoid(centre) * torch.sigmoid(-centre) * product.g_value(z.upper)

    def maximum(slope: Tensor) -> CurveMaximum:
        touched = product.upper_maximum(v, z, slope, zero)
        return CurveMaximum(touched.value, touched.v)

    at_ends = product.value(v.lower, z.upper), product.value(v.upper, z.upper)
    return least_height_line(maximum, v, at_ends, tangent, EXCHANGES)


def _line_in_z(product: Product, v: Box, z: Box) -> Line:
    zero = torch.zeros_like(v.lower)
    s_lower, s_upper = torch.sigmoid(v.lower), torch.sigmoid(v.upper)

    def steepest(at: Tensor) -> Tensor:
        """The end of the sigmoid's range that belongs to the maximum over v."""
        return torch.where(product.g_value(at) >= 0, s_upper, s_lower)

    def maximum(slope: Tensor) -> CurveMaximum:
        touched = product.upper_maximum(v, z, zero, slope)
        return CurveMaximum(touched.value, touched.z)

    centre = z.lower + (z.upper - z.lower) / 2
    tangent = steepest(centre) * product.g_slope(centre)
    lower, upper = (steepest(end) * product.g_value(end) for end in (z.lower, z.upper))
    return least_height_line(maximum, z, (lower, upper), tangent, EXCHANGES)
