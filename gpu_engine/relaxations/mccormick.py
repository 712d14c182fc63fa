"""The relaxation `mccormick`: lines of both factors, composed by McCormick's inequalities for a product.

Method card
    Source     McCormick (1976); general-purpose tools bound a product of two nonlinearities in this way, see Shi et al.
               (2020) on multiplications, as in CROWN for transformers and auto_LiRPA.
    Idea       with x = sigmoid(v) in [xl, xu] and y = g(z) in [yl, yu]:
                   x y <= xu y + yl x - xu yl   and   x y <= xl y + yu x - xl yu;
               then y <= its upper line (xl, xu >= 0), and x <= its upper line where its factor is >= 0,
               x >= its lower line where it is not.
    Departure  tools fix one of the two inequalities; here the lower one at the centre of the box is taken, per unit.
    Sound?     the composed offset is raised to the exact one for these slopes where rounding left it below; in exact
               arithmetic the exact offset is never above (lemma `mccormick_product`). So soundness is that of the
               exact offset alone.
    Tight?     no: the composed offset is kept, on purpose, so that the price of composing is seen.
    Shapes     boxes and planes all (...,).
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.curve_lines import least_volume_lines, upper_line
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import Product


def mccormick(product: Product, v: Box, z: Box) -> PlanePair:
    """Both planes of `product` on the box."""
    s_lines = least_volume_lines(CURVES["sigmoid"], v)
    v_both, z_both = both_sides(v, z)
    g_slope, g_offset = _upper_line_of_g(product, z_both)
    x = Box(torch.sigmoid(v_both.lower), torch.sigmoid(v_both.upper))
    y = Box(product.g_value(z_both.lower), product.g_value(z_both.upper))
    first = composed(x.upper, y.lower, s_lines, g_slope, g_offset)
    second = composed(x.lower, y.upper, s_lines, g_slope, g_offset)
    centre_v = v_both.lower + (v_both.upper - v_both.lower) / 2
    centre_z = z_both.lower + (z_both.upper - z_both.lower) / 2
    higher = _height(second, centre_v, centre_z) < _height(first, centre_v, centre_z)
    slope_v = torch.where(higher, second.slope_v, first.slope_v)
    slope_z = torch.where(higher, second.slope_z, first.slope_z)
    offset = torch.where(higher, second.offset, first.offset)
    exact = product.upper_maximum(v_both, z_both, slope_v, slope_z).value
    return pair_from_sides(Plane(slope_v, slope_z, torch.maximum(offset, exact)))


def composed(x_end: Tensor, y_end: Tensor, s_lines: PlanePair, g_slope: Tensor, g_offset: Tensor) -> Plane:
    """x y <= x_end y + y_end x - x_end y_end with lines in the place of x and y; one end is lower, the other upper."""
    rising = y_end >= 0
    s_slope = torch.where(rising, s_lines.upper.slope_v, s_lines.lower.slope_v)
    s_offset = torch.where(rising, s_lines.upper.offset, s_lines.lower.offset)
    return Plane(y_end * s_slope, x_end * g_slope, y_end * s_offset + x_end * g_offset - x_end * y_end)


def _upper_line_of_g(product: Product, z: Box) -> tuple[Tensor, Tensor]:
    if product.curve is None:
        return torch.ones_like(z.lower), torch.zeros_like(z.lower)
    return upper_line(product.curve, z)


def _height(plane: Plane, v: Tensor, z: Tensor) -> Tensor:
    return plane.slope_v * v + plane.slope_z * z + plane.offset
