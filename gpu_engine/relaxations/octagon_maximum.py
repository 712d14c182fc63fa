"""Exact offsets for planes over sigmoid(v) g(z) on octagons.

Method card
    Claim      `octagon_maximum(product, octagon, a, b)` >= max over the octagon of F = sigmoid(v) g(z) - a v - b z.
    Source     ours; on boxes it is the finite candidate set of theory section 3.
    Idea       Edges along the sides of the box: the S-shaped curves of the box on a part of its sides. Diagonal edges:
               a curve h(v) cut into pieces; on each h <= its chord + N (v - p) (q - v) / 2 with N >= -h'' there, whose
               maximum is known. Inside: the identity has no maximum, for tanh see `octagon_inside`.
    Sound?     yes: lemmas `octagon_edges`, `candidates_identity`, `candidates_tanh`.
    Tight?     on diagonal edges up to N (length / PIECES)^2 / 8; elsewhere as on boxes.
    Shapes     octagon, slopes and results all (...,); edges (8 or 4, ...), pieces (PIECES, 4, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gpu_engine.relaxations.octagon_edges import DIRECTIONS, Octagon
from gpu_engine.relaxations.offsets import Maximum, largest, rounding_slack
from gpu_engine.relaxations.products import Product
from gpu_engine.rounding import unit_roundoff

# Pieces of a diagonal edge. Tightness only.
PIECES: Final = 8
# What covers the roundings of a curvature, in units of u: lemma `octagon_rounding`.
CURVATURE_UNITS: Final = 128


@dataclass(frozen=True)
class Points:
    """Points of the surface, (k, ...): v, z and sigmoid(v) g(z); minus infinity for those that are not there."""

    v: Tensor
    z: Tensor
    f: Tensor

    def less_plane(self, a: Tensor, b: Tensor) -> Tensor:
        """F at the points."""
        return self.f - a * self.v - b * self.z


@dataclass(frozen=True)
class Side:
    """Parts of the two sides of a box where one coordinate is `at`, (2, ...); scale: of the curve in the other one."""

    at: Tensor
    scale: Tensor
    lower: Tensor
    upper: Tensor
    there: Tensor


@dataclass(frozen=True)
class Contour:
    """All of an octagon's boundary that does not depend on a plane's slopes, made once for many of them.

    vertices: (8, ...), the ends of the edges along the box. level_v, level_z: those edges, where v or z is constant.
    diagonals: points on the diagonal edges, (PIECES + 1, 4, ...); bend: N width^2 of the pieces, (PIECES, 4, ...).
    """

    product: Product
    inner: Octagon
    vertices: Points
    level_v: Side
    level_z: Side
    diagonals: Points
    bend: Tensor

    def maximum(self, slope_v: Tensor, slope_z: Tensor) -> Maximum:
        """The maximum of sigmoid(v) g(z) - slope_v v - slope_z z over the octagon, pushed outward."""
        product, vertices = self.product, self.vertices
        at_vertices = vertices.less_plane(slope_v, slope_z)
        candidates = [(at_vertices[k], vertices.v[k], vertices.z[k]) for k in range(len(at_vertices))]
        side = self.level_z
        curve = product.along_v(side.scale, slope_v, side.lower, side.upper)
        value = torch.where(side.there, curve.value - slope_z * side.at, -torch.inf)
        candidates += [(value[k], curve.at[k], side.at[k]) for k in range(2)]
        if product.along_z is not None:
            side = self.level_v
            curve = product.along_z(side.scale, slope_z, side.lower, side.upper)
            value = torch.where(side.there, curve.value - slope_v * side.at, -torch.inf)
            candidates += [(value[k], side.at[k], curve.at[k]) for k in range(2)]
        candidates.append(self._on_diagonals(slope_v, slope_z))
        if product.inside is not None:
            candidates.append(product.inside(self.inner, slope_v, slope_z))
        best = largest(candidates)
        box_v, box_z = self.inner.v, self.inner.z
        g_magnitude = torch.maximum(product.g_value(box_z.lower).abs(), product.g_value(box_z.upper).abs())
        slack = rounding_slack(box_v, box_z, slope_v, slope_z, g_magnitude)
        return Maximum(best.value + slack, best.v, best.z)

    def _on_diagonals(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Bound of F on the diagonal edges and where it is nearly attained."""
        points, bend = self.diagonals, self.bend
        h = points.less_plane(a, b)
        rise = h[1:] - h[:-1]
        # chord + N (v - p) (q - v) / 2 has its maximum inside where the chord rises by less than N width^2 / 2.
        inside = rise.abs() < bend / 2
        share = torch.where(inside, rise / torch.where(inside, bend, 1.0), 0.0)
        over = (h[1:] + h[:-1]) / 2 + bend / 8 + rise * share / 2
        bound = torch.where(inside, over, torch.maximum(h[1:], h[:-1])).flatten(0, 1)
        value, index = bound.max(0)  # NaN wins

        def there(values: Tensor) -> Tensor:
            return values.flatten(0, 1).gather(0, index[None])[0]

        position = there(torch.where(inside, 0.5 + share, (rise > 0).to(rise.dtype)))
        at = [there(ends[:-1]) + position * (there(ends[1:]) - there(ends[:-1])) for ends in (points.v, points.z)]
        return value, at[0], at[1]


def octagon_maximum(product: Product, shape: Octagon, slope_v: Tensor, slope_z: Tensor) -> Maximum:
    """The maximum of sigmoid(v) g(z) - slope_v v - slope_z z over the octagon, pushed outward."""
    return contour(product, shape).maximum(slope_v, slope_z)


def contour(product: Product, shape: Octagon) -> Contour:
    """The edges of an octagon, ready for planes."""
    v, z = shape.v, shape.z
    level_z, along_v = [z.lower, z.upper], [shape.along_v(z.lower), shape.along_v(z.upper)]
    level_v, along_z = [v.lower, v.upper], [shape.along_z(v.lower), shape.along_z(v.upper)]
    there = torch.stack([edge.there for edge in (*along_v, *along_z)])
    vertices_v = torch.stack([edge.lower for edge in along_v] + level_v + [edge.upper for edge in along_v] + level_v)
    vertices_z = torch.stack(level_z + [edge.lower for edge in along_z] + level_z + [edge.upper for edge in along_z])
    f = torch.where(torch.cat((there, there)), product.value(vertices_v, vertices_z), -torch.inf)
    diagonals, bend = _diagonals(product, shape)
    return Contour(
        product,
        shape.hull(),
        Points(vertices_v, vertices_z, f),
        Side(
            torch.stack(level_v),
            torch.sigmoid(torch.stack(level_v)),
            torch.stack([edge.lower for edge in along_z]),
            torch.stack([edge.upper for edge in along_z]),
            there[2:],
        ),
        Side(
            torch.stack(level_z),
            product.g_value(torch.stack(level_z)),
            torch.stack([edge.lower for edge in along_v]),
            torch.stack([edge.upper for edge in along_v]),
            there[:2],
        ),
        diagonals,
        bend,
    )


def _diagonals(product: Product, shape: Octagon) -> tuple[Points, Tensor]:
    """Points that cut the diagonal edges into pieces, and N width^2 of these."""
    levels, edge = shape.diagonal_edges()
    direction = _column(DIRECTIONS, levels)
    share = _column([k / PIECES for k in range(PIECES)], levels[None])
    v = torch.cat((edge.lower + (edge.upper - edge.lower) * share, edge.upper[None]))
    v = torch.minimum(torch.maximum(v, edge.lower), edge.upper)
    z = direction * (v - levels)
    s, g = torch.sigmoid(v), product.g_value(z)
    width = v[1:] - v[:-1]
    bend = _curvature(product, direction, v, z, s, g) * width * width
    return Points(v, z, torch.where(edge.there, s * g, -torch.inf)), torch.where(edge.there, bend, 0.0)


def _curvature(product: Product, direction: Tensor, v: Tensor, z: Tensor, s: Tensor, g: Tensor) -> Tensor:
    """An upper bound, not below 0, of -h'' on every piece of the diagonals.

    h = sigmoid(v) g(z), z = direction (v - level): with s' = s (1 - s), s'' = -s' tanh(v / 2),
    -h'' = s' (tanh(v / 2) g - 2 direction g') - s g''.
    """
    slope = s * torch.sigmoid(-v)
    steepest = torch.where((v[1:] > 0) & (v[:-1] < 0), 0.25, torch.maximum(slope[1:], slope[:-1]))
    turn = torch.tanh(v / 2)
    corners = turn[1:] * g[1:], turn[1:] * g[:-1], turn[:-1] * g[1:], turn[:-1] * g[:-1]
    turned = torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))
    g_slope = product.g_slope(z)
    g_least, g_most = torch.minimum(g_slope[1:], g_slope[:-1]), torch.maximum(g_slope[1:], g_slope[:-1])
    g_most = torch.where((z[1:] > 0) != (z[:-1] > 0), 1.0, g_most)
    bracket = turned + 2 * torch.where(direction < 0, g_most, -g_least)
    bend = steepest * bracket.clamp(min=0.0)
    if product.along_z is not None:
        # -s g'' = 2 s tanh(z) tanh'(z), positive for z > 0
        bend = bend + 2 * s[1:] * torch.maximum(g[1:], g[:-1]).clamp(min=0.0) * g_most
    lost = CURVATURE_UNITS * unit_roundoff(v.dtype)
    return bend * (1 + lost) + lost * (1 + torch.maximum(g[1:].abs(), g[:-1].abs()))


def _column(values: tuple[float, ...] | list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(-1, *([1] * (like.ndim - 1)))
