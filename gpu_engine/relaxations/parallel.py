"""The relaxation `parallel`: both planes share one slope in the state.

Method card
    Source     theory section 3 (found by trial); not in the POPQORN paper.
    Rule       slope_z = min sigmoid(v) * chord slope of g over the box, for both planes; slope_v of
               each plane then gives least height at the centre of the box.
    Sound?     any slopes are: the offset is exact (`sigmoid_times_*`).
    Tight?     not for one plane, but for the network: equal slopes keep the dependency through the cell
               state, and the smallest sigmoid keeps the recursion contracting.
    Idea       for fixed slope_z, the best slope_v is the slope at the centre of the concave envelope of
               `m(v) = max_z f - slope_z z`: an exchange of two contact points around the centre.
    Shapes     boxes and planes all (...,).
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.least_height import chord_line
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import Product
from gpu_engine.relaxations.s_curve import CurveMaximum

# Exchanges of contact points. More lower the planes at the centre a little further and cost time; the certified counts
# and margins of the shared models do not gain by a second one. None costs soundness.
EXCHANGES = 1


def parallel(product: Product, v: Box, z: Box) -> PlanePair:
    """Both planes of `product` on the box, sharing slope_z."""
    slope_z = torch.sigmoid(v.lower) * product.chord_slope(z)
    v_both, z_both = both_sides(v, z)
    plane = best_slope_v(product, v_both, z_both, torch.stack((slope_z, slope_z)))
    pair = pair_from_sides(plane)
    # The very same tensor in both: back-substitution then knows that signs do not matter for z.
    return PlanePair(replace(pair.lower, slope_z=slope_z), replace(pair.upper, slope_z=slope_z))


def best_slope_v(product: Product, v: Box, z: Box, slope_z: Tensor) -> Plane:
    """For a given slope_z the upper plane of least height at the centre of the box."""
    centre = v.lower + (v.upper - v.lower) / 2
    tangent = torch.sigmoid(centre) * torch.sigmoid(-centre) * product.g_value((z.lower + z.upper) / 2)
    at_ends = product.maximum_over_z(v.lower, z, slope_z), product.maximum_over_z(v.upper, z, slope_z)

    def maximum(slope: Tensor) -> CurveMaximum:
        touched = product.upper_maximum(v, z, slope, slope_z)
        return CurveMaximum(touched.value, touched.v)

    line = chord_line(maximum, v, at_ends, tangent, EXCHANGES)
    return Plane(line.slope, slope_z, line.offset)
