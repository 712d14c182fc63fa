"""The slopes of nonlinearities as leaves of an ascent, and the sound planes that they give.

All nonlinearities of one kind are taken side by side, whatever step they stand in: a few large calls for the exact
offsets instead of one for every step.

Shapes: boxes (batch, units), units those of all places joined; slopes (2, batch, units), those of the lower plane and
of the upper one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Diagonals, Plane, PlanePair
from gpu_engine.optimize.exact_offsets import curve_offset, product_offset
from gpu_engine.propagation.sites import Part, Site
from gpu_engine.relaxations.curves import ABOVE, BELOW
from gpu_engine.relaxations.octagon_edges import both_octagons, octagon_of
from gpu_engine.relaxations.octagon_maximum import Contour, contour
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import PRODUCTS


@dataclass(frozen=True)
class Slopes:
    """v, z: slopes in the two arguments; z None where there is one argument."""

    v: Tensor
    z: Tensor | None

    def leaves(self) -> tuple[Tensor, ...]:
        return (self.v,) if self.z is None else (self.v, self.z)


@dataclass(frozen=True)
class Place:
    """The part with this number of the nonlinear step with that number; its units in the group."""

    step: int
    part: int
    units: slice


@dataclass(frozen=True)
class Group:
    """Nonlinearities of one kind: the domain that their planes are over, and the planes that they begin with."""

    kind: str
    places: tuple[Place, ...]
    v: Box
    z: Box | None
    diagonals: Diagonals | None
    start: PlanePair

    def slopes(self) -> Slopes:
        """Those to begin with."""
        lower, upper = self.start.lower, self.start.upper
        z = None if self.z is None else torch.stack((lower.slope_z, upper.slope_z))
        return Slopes(torch.stack((lower.slope_v, upper.slope_v)), z)

    def planes(self, slopes: Slopes) -> Iterator[tuple[Place, PlanePair]]:
        """Planes with these slopes and their exact offsets, place by place; gradients reach the slopes."""
        joined = self._planes(slopes)
        for place in self.places:
            yield place, PlanePair(_cut(joined.lower, place.units), _cut(joined.upper, place.units))

    @cached_property
    def _domain(self) -> tuple[Box, Box] | Contour:
        """What both planes are upper planes of: the box or octagon and its mirror image."""
        assert self.z is not None
        if self.diagonals is None:
            return both_sides(self.v, self.z)
        return contour(PRODUCTS[self.kind], both_octagons(octagon_of(self.v, self.z, self.diagonals)))

    def _planes(self, slopes: Slopes) -> PlanePair:
        low_v, high_v = slopes.v
        if slopes.z is None or self.z is None:
            zero = torch.zeros_like(self.v.lower)
            return PlanePair(
                Plane(low_v, zero, -curve_offset(self.kind, BELOW, self.v, -low_v)),
                Plane(high_v, zero, curve_offset(self.kind, ABOVE, self.v, high_v)),
            )
        low_z, high_z = slopes.z
        # The lower plane is minus the upper one of the mirror image: its slope in v changes sign, that in z does not.
        slope_v, slope_z = torch.stack((high_v, -low_v)), torch.stack((high_z, low_z))
        return pair_from_sides(Plane(slope_v, slope_z, product_offset(self.kind, self._domain, slope_v, slope_z)))

    def unit(self) -> Slopes:
        """By how much each slope has to change to move its plane at an end of the box by what lies between both planes.

        The gap is that at the box's centre. A unit for steps that fits boxes of every size; 0 for one without a width.
        """
        lower, upper = self.start.lower, self.start.upper
        middle_v = self.v.lower + (self.v.upper - self.v.lower) / 2
        gap = (upper.slope_v - lower.slope_v) * middle_v + upper.offset - lower.offset
        if self.z is not None:
            middle_z = self.z.lower + (self.z.upper - self.z.lower) / 2
            gap = gap + (upper.slope_z - lower.slope_z) * middle_z

        def share(width: Tensor) -> Tensor:
            unit = torch.where(width > 0, gap.clamp(min=0.0) / torch.where(width > 0, width, 1.0), 0.0)
            return torch.stack((unit, unit))

        z = None if self.z is None else share(self.z.upper - self.z.lower)
        return Slopes(share(self.v.upper - self.v.lower), z)


def groups_of(sites: Mapping[int, Site]) -> list[Group]:
    """All nonlinearities of these steps, by kind and by whether their diagonals are known."""
    found: dict[tuple[str, bool], list[tuple[int, int, Part, PlanePair]]] = {}
    for number, site in sites.items():
        for position, (part, planes) in enumerate(zip(site.parts, site.start, strict=True)):
            member = number, position, part, planes
            found.setdefault((part.kind, part.diagonals is not None), []).append(member)
    return [_group(kind, members) for (kind, _), members in found.items()]


def _group(kind: str, members: Sequence[tuple[int, int, Part, PlanePair]]) -> Group:
    places, first = [], 0
    for number, position, part, _ in members:
        size = part.v.lower.shape[1]
        places.append(Place(number, position, slice(first, first + size)))
        first += size
    parts, planes = [part for _, _, part, _ in members], [pair for _, _, _, pair in members]
    second = [part.z for part in parts if part.z is not None]
    cut = [part.diagonals for part in parts if part.diagonals is not None]
    return Group(
        kind,
        tuple(places),
        _joined([part.v for part in parts]),
        _joined(second) if second else None,
        Diagonals(_joined([one.plus for one in cut]), _joined([one.minus for one in cut])) if cut else None,
        PlanePair(_side([pair.lower for pair in planes]), _side([pair.upper for pair in planes])),
    )


def _joined(boxes: Sequence[Box]) -> Box:
    return Box(torch.cat([box.lower for box in boxes], 1), torch.cat([box.upper for box in boxes], 1))


def _side(planes: Sequence[Plane]) -> Plane:
    return Plane(
        torch.cat([plane.slope_v for plane in planes], 1),
        torch.cat([plane.slope_z for plane in planes], 1),
        torch.cat([plane.offset for plane in planes], 1),
    )


def _cut(plane: Plane, units: slice) -> Plane:
    return Plane(plane.slope_v[:, units], plane.slope_z[:, units], plane.offset[:, units])
