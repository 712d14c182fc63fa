"""The relaxation `octagon`: planes over octagons, both with one slope in the state.

Method card
    Source     ours. The slope in the state follows `parallel`.
    Idea       the pair (v, z) never fills its box: bounds of v + z and of v - z cut its corners off, where a bilinear
               surface lies farthest from its planes. That halves what lies between both planes.
    Rule       slope_z = sigmoid(v.lower + SHARE width) * chord slope of g, for both planes; slope_v of each plane then
               gives least height at the centre. On octagons the gates are nearer to the centre of their boxes, so that
               the smallest sigmoid is no longer the best one: SHARE above 0.
    Sound?     any slopes are: the offset holds on the whole octagon (`octagon_maximum`).
    Shapes     boxes, diagonals and planes all (...,).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Diagonals, Plane, PlanePair
from gpu_engine.relaxations.least_height import chord_line
from gpu_engine.relaxations.octagon_edges import Octagon, both_octagons, octagon_of
from gpu_engine.relaxations.octagon_maximum import contour
from gpu_engine.relaxations.offsets import pair_from_sides
from gpu_engine.relaxations.products import Product
from gpu_engine.relaxations.s_curve import CurveMaximum

# Where between both ends of v the sigmoid is taken: found by trial on 07f, images 0 to 99; images 5000 to 5099 gain as
# much. Tightness only.
SHARE: Final = 0.3
# Exchanges of contact points, see `parallel`. Tightness only.
EXCHANGES: Final = 2


def octagon(product: Product, v: Box, z: Box, diagonals: Diagonals | None = None) -> PlanePair:
    """Both planes of `product` on the octagon, sharing slope_z; without diagonals on the box."""
    shape = octagon_of(v, z, diagonals)
    inner = shape.hull()
    at = inner.v.lower + SHARE * (inner.v.upper - inner.v.lower)
    slope_z = torch.sigmoid(at) * product.chord_slope(inner.z)
    plane = best_slope_v(product, both_octagons(shape), torch.stack((slope_z, slope_z)))
    pair = pair_from_sides(plane)
    # The very same tensor in both: back-substitution then knows that signs do not matter for z.
    return PlanePair(replace(pair.lower, slope_z=slope_z), replace(pair.upper, slope_z=slope_z))


def best_slope_v(product: Product, shape: Octagon, slope_z: Tensor) -> Plane:
    """For a given slope_z the upper plane of least height at the centre of the octagon's box."""
    edges = contour(product, shape)
    v, z = edges.inner.v, edges.inner.z
    centre = v.lower + (v.upper - v.lower) / 2
    tangent = torch.sigmoid(centre) * torch.sigmoid(-centre) * product.g_value((z.lower + z.upper) / 2)
    at_ends = tuple(product.maximum_over_z(end, Box(*shape.along_z(end)[:2]), slope_z) for end in (v.lower, v.upper))

    def maximum(slope: Tensor) -> CurveMaximum:
        touched = edges.maximum(slope, slope_z)
        return CurveMaximum(touched.value, touched.v)

    line = chord_line(maximum, v, (at_ends[0], at_ends[1]), tangent, EXCHANGES)
    return Plane(line.slope, slope_z, line.offset)
