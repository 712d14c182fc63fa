"""Slopes by the rule `parallel`: both planes share one slope in the state.

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
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import Product

# Exchanges of contact points. More lower the planes at the centre a little further and cost time; the certified counts
# and margins of the shared models do not gain by a second one. None costs soundness.
EXCHANGES = 1
# A box as narrow as this takes the tangent at its centre; contact points as close as this span no line. Tightness only.
THIN = 1e-6
CLOSE = 1e-9


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
    width = v.upper - v.lower
    centre = v.lower + width / 2
    thin = width <= THIN
    safe_width = torch.where(thin, 1.0, width)
    # The two contact points around the centre: at first the ends of the box.
    left_v, right_v = v.lower, v.upper
    left, right = (product.maximum_over_z(end, z, slope_z) for end in (v.lower, v.upper))
    tangent = torch.sigmoid(centre) * torch.sigmoid(-centre) * product.g_value((z.lower + z.upper) / 2)
    slope = torch.where(thin, tangent, (right - left) / safe_width)
    touched = product.upper_maximum(v, z, slope, slope_z)
    best_slope, best_offset, best_height = slope, touched.value, touched.value + slope * centre
    for _ in range(EXCHANGES):
        height_there = touched.value + slope * touched.v  # m at the contact point
        on_left = touched.v < centre
        left_v, left = torch.where(on_left, touched.v, left_v), torch.where(on_left, height_there, left)
        right_v, right = torch.where(on_left, right_v, touched.v), torch.where(on_left, right, height_there)
        gap = right_v - left_v
        usable = gap > CLOSE * (1 + width)
        slope = torch.where(usable, (right - left) / torch.where(usable, gap, 1.0), slope)
        touched = product.upper_maximum(v, z, slope, slope_z)
        height = touched.value + slope * centre
        better = height < best_height
        best_slope = torch.where(better, slope, best_slope)
        best_offset = torch.where(better, touched.value, best_offset)
        best_height = torch.where(better, height, best_height)
    return Plane(best_slope, slope_z, best_offset)
