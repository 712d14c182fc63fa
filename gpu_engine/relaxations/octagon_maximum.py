"""Exact offsets for planes over sigmoid(v) g(z) on octagons.

Method card
    Claim      `octagon_maximum(product, octagon, a, b)` >= max over the octagon of sigmoid(v) g(z) - a v - b z.
    Source     ours; on boxes it is the finite candidate set of theory section 3.
    Idea       Edges along the sides of the box: the S-shaped curves of the box on a part of its sides. Diagonal edges: a
               curve h(v) cut into pieces; on each h <= its chord + N (v - p) (q - v) / 2 with N >= -h'' there, whose
               maximum is known. Inside: the identity has no maximum, sigmoid(v) tanh(z) has those of the box around the
               octagon (`Product.inside`).
    Sound?     yes: lemmas `octagon_edges`, `candidates_identity`, `candidates_tanh`.
    Tight?     on diagonal edges up to N (length / PIECES)^2 / 8; elsewhere as on boxes.
    Shapes     octagon, slopes and results all (...,); on the way (pieces, edges, ...).
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from gpu_engine.relaxations.octagon_edges import DIRECTIONS, Edge, Octagon
from gpu_engine.relaxations.offsets import Maximum, largest, rounding_slack
from gpu_engine.relaxations.products import Product

# Pieces of a diagonal edge. Tightness only.
PIECES: Final = 8
# Relative growth that covers the roundings of a curvature, and its absolute one in units of u.
_CURVATURE_UNITS: Final = 64


def octagon_maximum(product: Product, shape: Octagon, slope_v: Tensor, slope_z: Tensor) -> Maximum:
    """The maximum of sigmoid(v) g(z) - slope_v v - slope_z z over the octagon, pushed outward."""
    v, z = shape.v, shape.z
    candidates = []
    for z_end in (z.lower, z.upper):
        edge = shape.along_v(z_end)
        g = product.g_value(z_end)
        for at in edge[:2]:
            candidates.append(_there(edge, torch.sigmoid(at) * g - slope_v * at - slope_z * z_end, at, z_end))
        curve = product.along_v(g, slope_v, edge.lower, edge.upper)
        candidates.append(_there(edge, curve.value - slope_z * z_end, curve.at, z_end))
    for v_end in (v.lower, v.upper):
        edge = shape.along_z(v_end)
        s = torch.sigmoid(v_end)
        for at in edge[:2]:
            candidates.append(_there(edge, s * product.g_value(at) - slope_v * v_end - slope_z * at, v_end, at))
        if product.along_z is not None:
            curve = product.along_z(s, slope_z, edge.lower, edge.upper)
            candidates.append(_there(edge, curve.value - slope_v * v_end, v_end, curve.at))
    candidates.append(_on_diagonals(product, shape, slope_v, slope_z))
    if product.inside is not None:
        candidates.append(product.inside(shape.hull(), slope_v, slope_z))
    best = largest(candidates)
    g_magnitude = torch.maximum(product.g_value(z.lower).abs(), product.g_value(z.upper).abs())
    slack = rounding_slack(v, z, slope_v, slope_z, g_magnitude)
    return Maximum(best.value + slack, best.v, best.z)


def _there(edge: Edge, value: Tensor, v: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return torch.where(edge.there, value, -torch.inf), v, z


def _on_diagonals(product: Product, shape: Octagon, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Bound of F on the diagonal edges and where it is nearly attained."""
    levels, edge = shape.diagonal_edges()
    direction = _column(DIRECTIONS, levels)
    share = _column([k / PIECES for k in range(PIECES + 1)], levels[None])
    v = edge.lower + (edge.upper - edge.lower) * share
    v[-1] = edge.upper  # the ends are the edge's own, whatever the products round to
    v = torch.minimum(torch.maximum(v, edge.lower), edge.upper)
    z = direction * (v - levels)
    s = torch.sigmoid(v)
    g = product.g_value(z)
    h = s * g - a * v - b * z
    width = v[1:] - v[:-1]
    bend = _curvature(product, direction, v, z, s, g) * width * width  # N width^2
    rise = h[1:] - h[:-1]
    # chord + N (v - p) (q - v) / 2 has its maximum inside where the chord rises by less than N width^2 / 2.
    inside = rise.abs() < bend / 2
    safe = torch.where(inside, bend, 1.0)
    over = (h[1:] + h[:-1]) / 2 + bend / 8 + rise * rise / (2 * safe)
    bound = torch.where(inside, over, torch.maximum(h[1:], h[:-1]))
    position = torch.where(inside, 0.5 + rise / safe, (rise > 0).to(rise.dtype))
    bound = torch.where(edge.there, bound, -torch.inf).flatten(0, 1)
    value, index = bound.max(0)  # NaN wins
    at = (v[:-1] + position * width).flatten(0, 1).gather(0, index[None])[0]
    z_at = (z[:-1] + position * (z[1:] - z[:-1])).flatten(0, 1).gather(0, index[None])[0]
    return value, at, z_at


def _curvature(product: Product, direction: Tensor, v: Tensor, z: Tensor, s: Tensor, g: Tensor) -> Tensor:
    """An upper bound, not below 0, of -h'' on every piece of the diagonals.

    h = sigmoid(v) g(z), z = direction (v - level): with s' = s (1 - s), s'' = -s' tanh(v / 2),
    -h'' = s' (tanh(v / 2) g - 2 direction g') - s g''.
    """
    slope = s * torch.sigmoid(-v)
    steepest = torch.where((v[1:] > 0) & (v[:-1] < 0), 0.25, torch.maximum(slope[1:], slope[:-1]))
    turn = torch.tanh(v / 2)
    corners = turn[1:] * g[1:], turn[1:] * g[:-1], turn[:-1] * g[1:], turn[:-1] * g[:-1]
    product_ = torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))
    g_slope = product.g_slope(z)
    g_most = torch.maximum(g_slope[1:], g_slope[:-1])
    g_most = torch.where((z[1:] > 0) != (z[:-1] > 0), 1.0, g_most)
    g_least = torch.minimum(g_slope[1:], g_slope[:-1])
    bracket = product_ + 2 * torch.where(direction < 0, g_most, -g_least)
    bend = steepest * bracket.clamp(min=0.0)
    if product.along_z is not None:
        # -s g'' = 2 s tanh(z) tanh'(z), positive for z > 0
        bend = bend + 2 * s[1:] * torch.maximum(g[1:], g[:-1]).clamp(min=0.0) * g_most
    unit = _CURVATURE_UNITS * torch.finfo(v.dtype).eps
    return bend * (1 + unit) + unit * (1 + torch.maximum(g[1:].abs(), g[:-1].abs()))


def _column(values: tuple[float, ...] | list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(-1, *([1] * (like.ndim - 1)))
