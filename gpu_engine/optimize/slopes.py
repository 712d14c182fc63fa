"""The slopes of one nonlinearity as leaves of an ascent, and the sound planes that they give.

Shapes: slopes (2, batch, units), those of the lower plane and of the upper one.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.optimize.exact_offsets import curve_offset, product_offset
from gpu_engine.propagation.sites import Part
from gpu_engine.relaxations.curves import ABOVE, BELOW
from gpu_engine.relaxations.octagon_edges import Octagon, both_octagons, octagon_of
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides


@dataclass(frozen=True)
class Slopes:
    """v, z: slopes in the two arguments; z None where there is one argument."""

    v: Tensor
    z: Tensor | None

    def leaves(self) -> tuple[Tensor, ...]:
        return (self.v,) if self.z is None else (self.v, self.z)

    def planes(self, part: Part) -> PlanePair:
        """Lower and upper planes with these slopes and their exact offsets; gradients reach the slopes."""
        low_v, high_v = self.v
        if self.z is None or part.z is None:
            zero = torch.zeros_like(part.v.lower)
            return PlanePair(
                Plane(low_v, zero, -curve_offset(part.kind, BELOW, part.v, -low_v)),
                Plane(high_v, zero, curve_offset(part.kind, ABOVE, part.v, high_v)),
            )
        low_z, high_z = self.z
        domain: tuple[Box, Box] | Octagon = both_sides(part.v, part.z)
        if part.diagonals is not None:
            domain = both_octagons(octagon_of(part.v, part.z, part.diagonals))
        # The lower plane is minus the upper one of the mirror image: its slope in v changes sign, that in z does not.
        slope_v, slope_z = torch.stack((high_v, -low_v)), torch.stack((high_z, low_z))
        return pair_from_sides(Plane(slope_v, slope_z, product_offset(part.kind, domain, slope_v, slope_z)))


def slopes_of(part: Part, planes: PlanePair) -> Slopes:
    """Those of given planes."""
    lower, upper = planes.lower, planes.upper
    z = None if part.z is None else torch.stack((lower.slope_z, upper.slope_z))
    return Slopes(torch.stack((lower.slope_v, upper.slope_v)), z)


def unit_of(part: Part, planes: PlanePair) -> Slopes:
    """By how much each slope has to change to move its plane at an end of the box by what lies between both planes.

    The gap is that at the box's centre. A unit for steps that fits boxes of every size; 0 for a box without a width.
    """
    middle_v = part.v.lower + (part.v.upper - part.v.lower) / 2
    gap = (planes.upper.slope_v - planes.lower.slope_v) * middle_v + planes.upper.offset - planes.lower.offset
    if part.z is not None:
        middle_z = part.z.lower + (part.z.upper - part.z.lower) / 2
        gap = gap + (planes.upper.slope_z - planes.lower.slope_z) * middle_z

    def share(width: Tensor) -> Tensor:
        unit = torch.where(width > 0, gap.clamp(min=0.0) / torch.where(width > 0, width, 1.0), 0.0)
        return torch.stack((unit, unit))

    z = None if part.z is None else share(part.z.upper - part.z.lower)
    return Slopes(share(part.v.upper - part.v.lower), z)
