"""The plane of least volume over (or under) a nonlinearity on a box, by linear programming.

claim     A plane above f on the whole box whose height at the box's centre is at most `height - best` above the least
          possible one; the volume between plane and surface differs by that gap times the area of the box.
idea      The integral of a plane over a box is the area times its height at the centre, so least volume (eq. 25/26)
          is: minimise the height at the centre, subject to f <= plane on the box. Keep f <= plane at finitely many
          points (a linear program, its optimum is a lower bound), find the point where f exceeds the plane most
          (`exact_planes`), add it, repeat. The plane is finally lifted by what still exceeds it.
sound     yes, by `plane_above`; tight: to GAP of the size of f.
use       Planes of the reference's own bounds, one box at a time and each step in sight; and the oracle for
          `audit.tightness_lp`, which solves many boxes at once, to a proved gap relative to the volume, and shares
          neither its separation nor its arithmetic.
source    POPQORN (Ko et al. 2019), section 3.2, eq. 25/26, which it solves by gradient descent.
test      height against `best`, and against slopes at random.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
from scipy.optimize import linprog

from refcert.reference.equations import PRODUCTS, evaluate_kind
from refcert.reference.errors import ReferenceFailureError
from refcert.reference.exact_planes import Plane, PlanePair, extreme_excess, plane_above, plane_below
from refcert.reference.intervals import POINT_ZERO, Interval

GAP: Final = 1e-7
ROUNDS: Final = 40
# Points per axis that the first program knows: fewer rounds, the same optimum.
FIRST: Final = 5


class LeastVolume(NamedTuple):
    """The plane, its height at the centre, and a bound that no sound plane passes, up to the solver's error."""

    plane: Plane
    height: float
    best: float


def least_volume(kind: str, v: Interval, z: Interval, side: str, free: tuple[bool, bool] = (True, True)) -> LeastVolume:
    """side `upper` or `lower`; free: which of the two slopes may differ from zero."""
    sign = 1.0 if side == "upper" else -1.0
    if kind not in PRODUCTS:
        z = POINT_ZERO
    centre = tuple(0.5 * low + 0.5 * high for low, high in (v, z))
    half = tuple(0.5 * (high - low) for low, high in (v, z))
    bounds = [(None, None) if f and h > 0.0 else (0.0, 0.0) for f, h in zip(free, half, strict=True)]
    points = [(float(x), float(y)) for x in np.linspace(*v, FIRST) for y in np.linspace(*z, FIRST)]
    size = max(abs(evaluate_kind(kind, x, y)) for x in v for y in z) or 1.0
    for _ in range(ROUNDS):
        # Unknowns: the rise from the centre to each side, and the height there, in units of the box and of f's size.
        rows = [[-_share(x, 0, centre, half), -_share(y, 1, centre, half), -1.0] for x, y in points]
        values = [-sign * evaluate_kind(kind, x, y) / size for x, y in points]
        solved = linprog([0.0, 0.0, 1.0], A_ub=rows, b_ub=values, bounds=[*bounds, (None, None)], method="highs")
        if not solved.success:
            raise ReferenceFailureError(f"least volume of {kind} on {v} x {z}: {solved.message}")
        slopes = [_slope(sign * size * float(rise), h) for rise, h in zip(solved.x[:2], half, strict=True)]
        plane = (plane_above if sign > 0 else plane_below)(kind, v, z, slopes[0], slopes[1])
        height = plane.slope_v * centre[0] + plane.slope_z * centre[1] + plane.offset
        best = sign * size * float(solved.fun)
        worst = extreme_excess(kind, v, z, slopes[0], slopes[1])[1 if sign > 0 else 0]
        if sign * (height - best) <= GAP * size or (worst.v, worst.z) in points:
            break
        points.append((worst.v, worst.z))
    return LeastVolume(plane, height, best)


def _slope(rise: float, half: float) -> float:
    """rise / half; 0, as sound as any, where the box has no width or so little that the quotient is infinite."""
    slope = rise / half if half > 0.0 else 0.0
    return slope if math.isfinite(slope) else 0.0


def _share(value: float, axis: int, centre: tuple[float, ...], half: tuple[float, ...]) -> float:
    return (value - centre[axis]) / half[axis] if half[axis] > 0.0 else 0.0


def planes(kind: str, v: Interval, z: Interval) -> PlanePair:
    """Least volume with both slopes free: the paper's planes."""
    return PlanePair(least_volume(kind, v, z, "lower").plane, least_volume(kind, v, z, "upper").plane)


def lines(kind: str, v: Interval, z: Interval) -> PlanePair:
    """The better of the planes that change with v only or with z only. Source: POPQORN appendix A.6 (2D lines)."""
    pair = []
    for side, sign in (("lower", -1.0), ("upper", 1.0)):
        tried = [least_volume(kind, v, z, side, free) for free in ((True, False), (False, True))]
        pair.append(min(tried, key=lambda result: sign * result.height).plane)
    return PlanePair(pair[0], pair[1])


def constants(kind: str, v: Interval, z: Interval) -> PlanePair:
    """Both slopes zero: interval bounds. Source: POPQORN appendix A.6 (constants)."""
    return PlanePair(plane_below(kind, v, z, 0.0, 0.0), plane_above(kind, v, z, 0.0, 0.0))


METHODS: Final = {"planes": planes, "lines": lines, "constants": constants}
