"""The octagon of a pair (v, z) and its eight edges.

Method card
    Source     Mine (2006), "The octagon abstract domain".
    Idea       bounds of v + z and v - z cut the box of (v, z) to an octagon.
               A maximum over it lies on one of eight edges, or inside: four are parts of the sides of the box, on four
               v + z or v - z is constant.
    Sound?     ends of edges are pushed outward, so that the edges found hold all of the octagon's boundary; an edge
               whose ends have crossed is not there. Lemmas `octagon_edges`, `octagon_offsets`, `octagon_rounding`.
    Shapes     all tensors (...,); those of diagonal edges (4, ...), in the order of `DIRECTIONS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Diagonals
from gpu_engine.rounding import gamma, tiny

# On the diagonal edges z = direction (v - level): v + z = level for the first two, v - z = level for the others.
DIRECTIONS: Final = (-1.0, -1.0, 1.0, 1.0)


class Edge(NamedTuple):
    """The values of one coordinate along an edge, and whether there is such an edge. Where not, both ends are equal."""

    lower: Tensor
    upper: Tensor
    there: Tensor


@dataclass(frozen=True)
class Octagon:
    """All (v, z) of the box with v + z in `plus` and v - z in `minus`."""

    v: Box
    z: Box
    plus: Box
    minus: Box

    def hull(self) -> Octagon:
        """The same octagon with the box around it, which may be smaller than its own.

        2 v = (v + z) + (v - z), v = (v + z) - z = (v - z) + z, and likewise for z.
        """
        low_v, high_v = _outward((self.plus.lower + self.minus.lower) / 2, (self.plus.upper + self.minus.upper) / 2, 3)
        low_z, high_z = _outward((self.plus.lower - self.minus.upper) / 2, (self.plus.upper - self.minus.lower) / 2, 3)
        v = self.v.intersect(Box(low_v, high_v))
        z = self.z.intersect(Box(low_z, high_z))
        low = torch.maximum(self.plus.lower - self.z.upper, self.minus.lower + self.z.lower)
        high = torch.minimum(self.plus.upper - self.z.lower, self.minus.upper + self.z.upper)
        v = v.intersect(Box(*_outward(low, high, 1)))
        low = torch.maximum(self.plus.lower - self.v.upper, self.v.lower - self.minus.upper)
        high = torch.minimum(self.plus.upper - self.v.lower, self.v.upper - self.minus.lower)
        return Octagon(v, z.intersect(Box(*_outward(low, high, 1))), self.plus, self.minus)

    def along_v(self, z: Tensor) -> Edge:
        """Where v may be for this z, which lies in the box."""
        low = torch.maximum(self.plus.lower - z, z + self.minus.lower)
        high = torch.minimum(self.plus.upper - z, z + self.minus.upper)
        return _edge(self.v, *_outward(low, high, 1))

    def along_z(self, v: Tensor) -> Edge:
        """Where z may be for this v, which lies in the box."""
        low = torch.maximum(self.plus.lower - v, v - self.minus.upper)
        high = torch.minimum(self.plus.upper - v, v - self.minus.lower)
        return _edge(self.z, *_outward(low, high, 1))

    def diagonal_edges(self) -> tuple[Tensor, Edge]:
        """The levels (4, ...) of the diagonal edges, and v along them."""
        plus, minus, z = self.plus, self.minus, self.z
        lows, highs = [], []
        for level in (plus.lower, plus.upper):
            lows.append(torch.maximum(level - z.upper, (level + minus.lower) / 2))
            highs.append(torch.minimum(level - z.lower, (level + minus.upper) / 2))
        for level in (minus.lower, minus.upper):
            lows.append(torch.maximum(level + z.lower, (level + plus.lower) / 2))
            highs.append(torch.minimum(level + z.upper, (level + plus.upper) / 2))
        levels = torch.stack((plus.lower, plus.upper, minus.lower, minus.upper))
        return levels, _edge(self.v, *_outward(torch.stack(lows), torch.stack(highs), 2))


def octagon_of(v: Box, z: Box, diagonals: Diagonals | None) -> Octagon:
    """The octagon of a box and its diagonals; those that the box implies where none are given."""
    if diagonals is not None:
        return Octagon(v, z, diagonals.plus, diagonals.minus)
    plus = Box(*_outward(v.lower + z.lower, v.upper + z.upper, 1))
    return Octagon(v, z, plus, Box(*_outward(v.lower - z.upper, v.upper - z.lower, 1)))


def both_octagons(shape: Octagon) -> Octagon:
    """The octagon and, stacked behind it, its mirror image z -> -z, which exchanges both sums; see `both_sides`."""
    v, z, plus, minus = shape.v, shape.z, shape.plus, shape.minus
    return Octagon(
        Box(torch.stack((v.lower, v.lower)), torch.stack((v.upper, v.upper))),
        Box(torch.stack((z.lower, -z.upper)), torch.stack((z.upper, -z.lower))),
        Box(torch.stack((plus.lower, minus.lower)), torch.stack((plus.upper, minus.upper))),
        Box(torch.stack((minus.lower, plus.lower)), torch.stack((minus.upper, plus.upper))),
    )


def _edge(box: Box, low: Tensor, high: Tensor) -> Edge:
    low, high = torch.maximum(low, box.lower), torch.minimum(high, box.upper)
    there = ~(low > high)  # NaN stays, to be seen later
    return Edge(low, torch.where(there, high, low), there)


def _outward(low: Tensor, high: Tensor, operations: int) -> tuple[Tensor, Tensor]:
    """Bounds of what these numbers are without the roundings of so many operations, lemma `octagon_rounding`.

    Four more for those of the bounds themselves, and eight underflows.
    """
    relative, absolute = gamma(operations + 4, low.dtype), 8 * tiny(low.dtype)
    return low - low.abs() * relative - absolute, high + high.abs() * relative + absolute
