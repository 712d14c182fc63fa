"""Interior maxima of sigmoid(v) tanh(z) - a v - b z over an octagon.

Method card
    Claim      `inside_octagon(octagon, a, b)` >= F at every interior maximum; minus infinity where there is none.
    Idea       interior maxima lie in the convex region C on which F is concave (`sigmoid_times_tanh`), so the tangent
               plane at ANY point of C bounds them. At the maximiser over the box it is level, which is the best one if
               that point lies in the octagon. If not, F has its maximum over the part of C in the octagon on an edge,
               where the gradient points outward: g = mu n + r with n the diagonal's direction, and
               g . (x - p) <= mu (level - n . p) + max over the box of r . (x - p).
    Sound?     yes for any p in C and any mu >= 0: lemmas `octagon_offsets`, `concave_region`, `octagon_rounding`.
    Tight?     both points are found by a few steps of Newton's method; too few cost tightness only.
    Shapes     all tensors (...,).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.octagon_edges import Octagon
from gpu_engine.relaxations.s_curve import sech_squared
from gpu_engine.relaxations.sigmoid_times_tanh import inside
from gpu_engine.rounding import SCALAR_UNITS, TANGENT_UNITS, tiny, unit_roundoff

NEWTON_STEPS: Final = 3


def inside_octagon(shape: Octagon, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bound of F at its interior maxima, and where it is nearly attained."""
    value, v, z = inside(shape.v, shape.z, a, b)
    edge_value, edge_v, edge_z = _from_the_edge(shape, a, b, v, z)
    better = edge_value < value
    return (
        torch.where(better, edge_value, value),
        torch.where(better, edge_v, v),
        torch.where(better, edge_z, z),
    )


def _from_the_edge(shape: Octagon, a: Tensor, b: Tensor, v: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The bound by the tangent plane at a point of the diagonal edge that (v, z) lies behind; infinity without one."""
    n_v, n_z, level = _most_violated(shape, v, z)
    box_v, box_z = shape.v, shape.z
    # The foot of (v, z) on the diagonal, then Newton's method along it: d/dv of n_z (level - n_v v) is -n_v n_z.
    direction = -n_v * n_z
    v = v - n_v * (n_v * v + n_z * z - level) / 2
    low, high = _part_of_diagonal(box_v, box_z, n_v, n_z, level)
    v = torch.minimum(torch.maximum(v, low), high)
    for _ in range(NEWTON_STEPS):
        z = n_z * (level - n_v * v)
        s, w, t, sech2 = torch.sigmoid(v), torch.sigmoid(-v), torch.tanh(z), sech_squared(z)
        slope = s * w * t - a + direction * (s * sech2 - b)
        bend = s * w * ((s - w) * t - 2 * direction * sech2) + 2 * s * t * sech2
        step = torch.where(bend > 0, slope / torch.where(bend > 0, bend, 1.0), 0.0)
        v = torch.minimum(torch.maximum(v + step, low), high)
    z = n_z * (level - n_v * v)
    z = torch.minimum(torch.maximum(z, box_z.lower), box_z.upper)
    usable = z > 0
    z = torch.where(usable, z, 1.0)
    # Into the concave region by more than rounding can move it, as for boxes.
    t, sech2 = torch.tanh(z), sech_squared(z)
    u = SCALAR_UNITS * unit_roundoff(v.dtype)
    border = torch.log1p(sech2 / (2 * t * t))
    usable = usable & torch.isfinite(border)
    v = torch.maximum(v, border * (1 + u) + SCALAR_UNITS * tiny(v.dtype))
    v = torch.where(usable, v, 1.0)
    bound = _tangent(shape, a, b, v, z, n_v, n_z, level) + _lost(shape, a, b, v, z, level)
    return torch.where(usable, bound, torch.inf), v, z


def _tangent(
    shape: Octagon, a: Tensor, b: Tensor, v: Tensor, z: Tensor, n_v: Tensor, n_z: Tensor, level: Tensor
) -> Tensor:
    """Upper bound of the tangent plane of F at (v, z) over the part of the box with n_v v + n_z z <= level."""
    box_v, box_z = shape.v, shape.z
    s, t = torch.sigmoid(v), torch.tanh(z)
    f_v = s * torch.sigmoid(-v) * t - a
    f_z = s * sech_squared(z) - b
    mu = torch.minimum(n_v * f_v, n_z * f_z).clamp(min=0.0)
    r_v, r_z = f_v - mu * n_v, f_z - mu * n_z
    rise = mu * (level - n_v * v - n_z * z)
    rise_v = torch.where(r_v > 0, r_v * (box_v.upper - v), r_v * (box_v.lower - v))
    rise_z = torch.where(r_z > 0, r_z * (box_z.upper - z), r_z * (box_z.lower - z))
    return s * t - a * v - b * z + rise + rise_v + rise_z


def _lost(shape: Octagon, a: Tensor, b: Tensor, v: Tensor, z: Tensor, level: Tensor) -> Tensor:
    """What rounding can take from `_tangent`: (v, z) may lie far outside, where the octagon's slack is too small."""
    reach = 1 + v.abs() + z.abs() + level.abs() + shape.v.magnitude() + shape.z.magnitude()
    return TANGENT_UNITS * unit_roundoff(v.dtype) * (1 + a.abs() + b.abs()) * reach


def _most_violated(shape: Octagon, v: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The diagonal n . x <= level that (v, z) exceeds most: n_v, n_z, level. Any would be sound."""
    one = torch.ones_like(v)
    best = one, one, shape.plus.upper
    excess = v + z - shape.plus.upper
    for n_v, n_z, level in (
        (-1.0, -1.0, -shape.plus.lower),
        (1.0, -1.0, shape.minus.upper),
        (-1.0, 1.0, -shape.minus.lower),
    ):
        other = n_v * v + n_z * z - level
        more = other > excess
        excess = torch.where(more, other, excess)
        best = (
            torch.where(more, n_v, best[0]),
            torch.where(more, n_z, best[1]),
            torch.where(more, level, best[2]),
        )
    return best


def _part_of_diagonal(v: Box, z: Box, n_v: Tensor, n_z: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """v on the diagonal inside the box, about: for guesses only."""
    ends = n_v * (level - n_z * z.lower), n_v * (level - n_z * z.upper)
    low = torch.maximum(v.lower, torch.minimum(*ends))
    return low, torch.maximum(low, torch.minimum(v.upper, torch.maximum(*ends)))
