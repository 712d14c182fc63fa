"""The convex hull of one nonlinearity over its box, by exact separation: which plane does a point violate?

claim     `violated_plane` returns a plane that is PROVED on the box and that the point (v, z, y) violates, or None
          where the point is inside the hull of the nonlinearity's graph, up to `tolerance`.
idea      The concave envelope at (v, z) is the least height there of any plane above the graph: the program of
          `reference.least_volume` with the point in the place of the centre. Keep finitely many points of the graph
          (their hull is inside the graph's: a point inside theirs needs no plane), add the one that exceeds the plane
          most (`exact_planes`), repeat. A point above the graph can only be above the upper envelope, one below it only
          below the lower one, so one side is enough.
source    POPQORN (Ko et al. 2019), eq. 25/26; cutting planes: Kelley (1960).
sound     yes, whatever the point: offsets are exact and every plane returned is proved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import highspy
import numpy as np

from refcert.audit.network_lp.proved import sound_plane
from refcert.reference.equations import PRODUCTS, Nonlinear, evaluate_kind
from refcert.reference.exact_planes import Plane, extreme_excess
from refcert.reference.intervals import POINT_ZERO, Interval

# Points per axis that the hull starts with.
FIRST: Final = 4
ROUNDS: Final = 40
# A plane that cuts off this share of what any plane could is good enough: the next solution asks again.
ENOUGH: Final = 0.7


@dataclass
class Hull:
    """One nonlinearity on its box, with the points of its graph that are known so far."""

    equation: Nonlinear
    v: Interval
    z: Interval
    points: list[tuple[float, float]] = field(default_factory=list)
    _programs: dict[float, _PointsProgram] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        if self.equation.kind not in PRODUCTS:
            self.z = POINT_ZERO
        if not self.points:
            grid = [np.unique(np.linspace(*axis, FIRST)) for axis in (self.v, self.z)]
            self.points = [(float(x), float(y)) for x in grid[0] for y in grid[1]]

    def violated_plane(self, v: float, z: float, y: float, tolerance: float) -> tuple[str, Plane, float] | None:
        """(side, plane, by how much the point violates it), or None. v and z are clipped to the box first."""
        kind = self.equation.kind
        v, z = (min(max(x, axis.lower), axis.upper) for x, axis in ((v, self.v), (z, self.z)))
        height = evaluate_kind(kind, v, z)
        if abs(y - height) <= tolerance:
            return None
        side, sign = ("upper", 1.0) if y > height else ("lower", -1.0)
        for _ in range(ROUNDS):
            found = self._of_points(v, z, sign)
            if found is None:
                return None
            slopes, least = found
            possible = sign * (y - least)
            if possible <= tolerance:
                return None
            worst = extreme_excess(kind, self.v, self.z, *slopes)[1 if sign > 0 else 0]
            reached = sign * (y - (slopes[0] * v + slopes[1] * z + worst.value))
            new = (worst.v, worst.z)
            if reached >= ENOUGH * possible or new in self.points:
                if reached <= tolerance:
                    return None
                return side, sound_plane(self.equation, side, self.v, self.z, *slopes), reached
            self.points.append(new)
        return None

    def _of_points(self, v: float, z: float, sign: float) -> tuple[tuple[float, float], float] | None:
        """Slopes of the plane over the known points that is least at (v, z), and its height there."""
        if sign not in self._programs:
            self._programs[sign] = _PointsProgram(self.equation.kind, self.v, self.z, sign)
        return self._programs[sign].solve(self.points, v, z)


class _PointsProgram:
    """Minimise the height at (v, z) of a plane above (sign 1) or below (-1) finitely many points of the graph.

    Unknowns: the rise from the box's centre over half a side, for both sides, and the height at the centre, in units
    of f's size. Kept between calls: other points are further rows and another (v, z) another objective, so each call
    starts from the solution before.
    """

    def __init__(self, kind: str, v: Interval, z: Interval, sign: float) -> None:
        self.kind, self.sign = kind, sign
        self.centre = [0.5 * axis.lower + 0.5 * axis.upper for axis in (v, z)]
        self.half = [0.5 * axis.upper - 0.5 * axis.lower for axis in (v, z)]
        self.size = max(abs(evaluate_kind(kind, x, y)) for x in v for y in z) or 1.0
        self.rows = 0
        self.model = cast(Any, highspy).Highs()  # it has no types
        self.model.setOptionValue("output_flag", False)
        self.model.setOptionValue("presolve", "off")
        free = [math.inf if h > 0.0 else 0.0 for h in self.half]
        self.model.addVars(3, -np.array([*free, math.inf]), np.array([*free, math.inf]))
        self.model.changeColCost(2, 1.0)

    def solve(
        self, points: Sequence[tuple[float, float]], v: float, z: float
    ) -> tuple[tuple[float, float], float] | None:
        for point in points[self.rows :]:
            entries = np.array([*self._share(*point), 1.0])
            value = self.sign * evaluate_kind(self.kind, *point) / self.size
            self.model.addRow(value, math.inf, 3, np.arange(3, dtype=np.int32), entries)
        self.rows = len(points)
        for column, share in enumerate(self._share(v, z)):
            self.model.changeColCost(column, share)
        self.model.run()
        if self.model.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        rises = self.model.getSolution().col_value
        slopes = [self._slope(float(rise), h) for rise, h in zip(rises[:2], self.half, strict=True)]
        if not all(map(math.isfinite, slopes)):
            return None
        return (slopes[0], slopes[1]), self.sign * self.size * float(self.model.getInfo().objective_function_value)

    def _slope(self, rise: float, half: float) -> float:
        return self.sign * self.size * rise / half if half > 0.0 else 0.0

    def _share(self, v: float, z: float) -> list[float]:
        """Where a point lies on each side of the box, from -1 to 1."""
        return [(x - c) / h if h > 0.0 else 0.0 for x, c, h in zip((v, z), self.centre, self.half, strict=True)]
