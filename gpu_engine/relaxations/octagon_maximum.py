"""Exact offsets for planes over sigmoid(v) g(z) on octagons.

Method card
    Claim      `octagon_maximum(product, octagon, a, b)` >= max over the octagon of F = sigmoid(v) g(z) - a v - b z.
    Source     ours; on boxes it is the finite candidate set of theory section 3.
    Idea       Edges along the sides of the box: the S-shaped curves of the box on a part of its sides. Diagonal edges:
               a curve h(v) cut into pieces; on each h <= its chord + N (v - p) (q - v) / 2 with N >= -h'' there, whose
               maximum is known. Inside: the identity has no maximum, for tanh see `octagon_inside`.
    Sound?     yes: lemmas `octagon_edges`, `octagon_offsets`, `octagon_rounding`, and those on boxes.
    Tight?     on diagonal edges up to N (length / PIECES)^2 / 8; elsewhere as on boxes.
    Shapes     octagon, slopes and results all (...,); edges (8 or 4, ...), pieces (PIECES, 4, ...).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations.octagon_edges import DIRECTIONS, Octagon
from gpu_engine.relaxations.offsets import Maximum, largest, rounding_slack
from gpu_engine.relaxations.products import CurveBound, Product
from gpu_engine.rounding import CURVATURE_UNITS, OFFSET_UNITS, unit_roundoff

# Pieces of a diagonal edge. Tightness only.
PIECES: Final = 8


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

    def less_plane(self, curve: CurveBound, slope: Tensor, slope_across: Tensor) -> tuple[Tensor, Tensor]:
        """Bound of F on the concave half of each side, and where it is nearly attained; slope: along the side."""
        found = curve(self.scale, slope, self.lower, self.upper)
        return torch.where(self.there, found.value - slope_across * self.at, -torch.inf), found.at


@dataclass(frozen=True)
class Contour:
    """All of an octagon's boundary that does not depend on a plane's slopes, made once for many of them.

    vertices: (8, ...), the ends of the edges along the box. level_v, level_z: those edges, where v or z is constant.
    diagonals: points on the diagonal edges, (PIECES + 1, 4, ...); bend: N width^2 of the pieces, (PIECES, 4, ...).
    reach_v, reach_z: boxes of all points at which F is evaluated, but those in `octagon_inside`; sharpest: the largest
    bend.
    """

    product: Product
    inner: Octagon
    vertices: Points
    level_v: Side
    level_z: Side
    diagonals: Points
    bend: Tensor
    reach_v: Box
    reach_z: Box
    sharpest: Tensor

    def maximum(self, slope_v: Tensor, slope_z: Tensor) -> Maximum:
        """The maximum of sigmoid(v) g(z) - slope_v v - slope_z z over the octagon, pushed outward."""
        product, vertices = self.product, self.vertices
        at_vertices = vertices.less_plane(slope_v, slope_z)
        candidates = [(at_vertices[k], vertices.v[k], vertices.z[k]) for k in range(len(at_vertices))]
        side = self.level_z
        value, at = side.less_plane(product.along_v, slope_v, slope_z)
        candidates += [(value[k], at[k], side.at[k]) for k in range(2)]
        if product.along_z is not None:
            side = self.level_v
            value, at = side.less_plane(product.along_z, slope_z, slope_v)
            candidates += [(value[k], side.at[k], at[k]) for k in range(2)]
        candidates.append(self._on_diagonals(slope_v, slope_z))
        if product.inside is not None:
            candidates.append(product.inside(self.inner, slope_v, slope_z))
        best = largest(candidates)
        slack = self._slack(slope_v, slope_z)
        # Edges are pushed outward: without any the octagon is empty, and every plane is above nothing.
        value = torch.where(best.value == -torch.inf, slack, best.value)
        return Maximum(value + slack, best.v, best.z)

    def _slack(self, slope_v: Tensor, slope_z: Tensor) -> Tensor:
        """What rounding can take from any candidate, lemma `octagon_rounding`."""
        v, z = self.reach_v, self.reach_z
        g_magnitude = torch.maximum(self.product.g_value(z.lower).abs(), self.product.g_value(z.upper).abs())
        slack = rounding_slack(v, z, slope_v, slope_z, g_magnitude)
        return slack + OFFSET_UNITS * unit_roundoff(v.lower.dtype) * self.sharpest

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
    diagonals, bend, reach_z = _diagonals(product, shape)
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
        v,
        reach_z,
        bend.amax((0, 1)),
    )


def _diagonals(product: Product, shape: Octagon) -> tuple[Points, Tensor, Box]:
    """Points that cut the diagonal edges into pieces, N width^2 of these, and the box of z with z of the points."""
    levels, edge = shape.diagonal_edges()
    direction = _column(DIRECTIONS, levels)
    share = _column([k / PIECES for k in range(PIECES)], levels[None])
    v = torch.cat((edge.lower + (edge.upper - edge.lower) * share, edge.upper[None]))
    v = torch.minimum(torch.maximum(v, edge.lower), edge.upper)
    z = direction * (v - levels)
    s, g = torch.sigmoid(v), product.g_value(z)
    width = v[1:] - v[:-1]
    bend = _above(_curvature(product, direction, v, z, s, g), torch.maximum(g[1:].abs(), g[:-1].abs()))
    # Rounding may move z out of its box.
    known = torch.where(edge.there, z, shape.z.lower)
    reach = Box(
        torch.minimum(shape.z.lower, known.amin((0, 1))),
        torch.maximum(shape.z.upper, known.amax((0, 1))),
    )
    points = Points(v, z, torch.where(edge.there, s * g, -torch.inf))
    return points, torch.where(edge.there, bend * width * width, 0.0), reach


def _curvature(product: Product, direction: Tensor, v: Tensor, z: Tensor, s: Tensor, g: Tensor) -> Tensor:
    """An upper bound, not below 0 and up to rounding, of -h'' on every piece of the diagonals.

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
    return bend


def _above(bend: Tensor, g_magnitude: Tensor) -> Tensor:
    """A curvature, raised by more than its roundings and those of its product with width^2 can have taken."""
    lost = CURVATURE_UNITS * unit_roundoff(bend.dtype)
    return bend * (1 + lost) + lost * (1 + g_magnitude)


def _column(values: tuple[float, ...] | list[float], like: Tensor) -> Tensor:
    return torch.tensor(values, dtype=like.dtype, device=like.device).reshape(-1, *([1] * (like.ndim - 1)))
