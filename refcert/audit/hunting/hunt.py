"""What every way of hunting for a violating point shares: the box as a unit square, the last place, confirmation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from refcert.audit.hunting.excess import Excess, Found, confirm
from refcert.kernel.claims import PlaneClaim

Array = NDArray[np.float64]
Point = tuple[float, float]

# Wider axes are seen through asinh: what happens at distance 1 from zero is not lost in a box of width 2000.
WIDE: Final = 8.0
# Steps in units of the last place, tried around every candidate, again from the best one while that helps.
LAST_PLACES: Final = np.array([-4096.0, -256.0, -32.0, -4.0, -1.0, 0.0, 1.0, 4.0, 32.0, 256.0, 4096.0])
MOVES: Final = 12


@dataclass(frozen=True)
class Axis:
    """One side of the box."""

    low: float
    high: float

    @property
    def is_point(self) -> bool:
        return self.low == self.high

    def at(self, share: ArrayLike) -> Array:
        """The floats at these shares in [0, 1] of the way from low to high; the ends exactly."""
        return _between(self.low, self.high, np.asarray(share, dtype=np.float64))

    def clip(self, x: ArrayLike) -> Array:
        return np.clip(np.asarray(x, dtype=np.float64), self.low, self.high)

    def around(self, x: float) -> Array:
        """x, its neighbours among the floats, the ends and, if it is inside, zero."""
        steps = self.clip(x + LAST_PLACES * np.spacing(abs(x)))
        return np.unique(np.concatenate([steps, self.clip([self.low, self.high, 0.0])]))


@dataclass(frozen=True)
class Hunt:
    """One search: the excess with its anchor in the middle of the box, a budget of evaluations, a seed."""

    excess: Excess
    budget: int
    seed: int

    @property
    def axes(self) -> tuple[Axis, Axis]:
        return Axis(*self.excess.box[0]), Axis(*self.excess.box[1])

    @property
    def free(self) -> tuple[int, ...]:
        """The axes with a width, 0 for v and 1 for z."""
        return tuple(k for k, axis in enumerate(self.axes) if not axis.is_point)

    def places(self, shares: Array) -> tuple[Array, Array]:
        """shares (points, free axes) in [0, 1] to the floats v, z (points,)."""
        columns = [np.zeros(len(shares)) for _ in self.axes]
        for column, k in enumerate(self.free):
            columns[k] = shares[:, column]
        return self.at(columns[0], columns[1])

    def at(self, share_v: Array, share_z: Array) -> tuple[Array, Array]:
        """The floats v, z at these shares of both axes; in an octagon of the z that it has for this v, NaN for none."""
        axis_v, axis_z = self.axes
        v, octagon = axis_v.at(share_v), self.excess.octagon
        if octagon is None:
            return v, axis_z.at(share_z)
        low, high = octagon.z_between(v, self.excess.box[1])
        return v, np.where(low <= high, _between(low, np.maximum(low, high), share_z), np.nan)

    def inside(self, v: ArrayLike, z: ArrayLike) -> tuple[Array, Array]:
        """The points moved into the box or octagon: v first, then z for this v; NaN where it has no z."""
        axis_v, axis_z = self.axes
        v, octagon = axis_v.clip(v), self.excess.octagon
        if octagon is None:
            return v, axis_z.clip(z)
        low, high = octagon.z_between(v, self.excess.box[1])
        return v, np.where(low <= high, np.clip(np.asarray(z, dtype=np.float64), low, np.maximum(low, high)), np.nan)


@np.errstate(all="ignore")  # steps that overflow are cut off at the ends of the box
def in_last_place(hunt: Hunt, point: Point) -> Point:
    """The best of the floats around the point, of the ends of the box and of zero; repeated while that helps."""
    axis_v, axis_z = hunt.axes
    for _ in range(MOVES):
        v, z = hunt.inside(*np.meshgrid(axis_v.around(point[0]), axis_z.around(point[1])))
        rise = hunt.excess.at(*point).rise(v, z)
        best = np.unravel_index(int(np.argmax(rise)), rise.shape)
        if not rise[best] > 0.0:
            return point
        point = float(v[best]), float(z[best])
    return point


def _between(low: ArrayLike, high: ArrayLike, share: Array) -> Array:
    """The floats at these shares of the way from low to high, seen through asinh where that is far; ends exactly."""
    low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        wide = high / 2 - low / 2 > WIDE / 2
        place = low * (1.0 - share) + high * share
        if wide.any():
            place = np.where(wide, np.sinh(np.arcsinh(low) * (1.0 - share) + np.arcsinh(high) * share), place)
    place = np.where(share <= 0.0, low, np.where(share >= 1.0, high, place))
    return np.clip(place, low, high)


def start_of(hunt: Hunt, v: float, z: float) -> Point | None:
    """The point as a start for a search; None where an octagon has no float there."""
    return (float(v), float(z)) if np.isfinite(z) and hunt.excess.box[1][0] <= z <= hunt.excess.box[1][1] else None


def spread(values: Array) -> float:
    """Largest minus least of the finite values, 0 where there are none."""
    finite = values[np.isfinite(values)]
    return float(np.ptp(finite)) if len(finite) else 0.0


def worst_confirmed(claim: PlaneClaim, points: Iterable[Point], way: str) -> Found | None:
    """The point with the largest violation of those that ball arithmetic confirms."""
    found = [result for v, z in dict.fromkeys(points) if (result := confirm(claim, v, z, way)) is not None]
    return max(found, key=lambda result: result.violation, default=None)


def apart(points: Iterable[Sequence[float]], least: float, count: int) -> list[tuple[float, ...]]:
    """The first points that are further than `least` from those taken before, in the largest coordinate."""
    taken: list[tuple[float, ...]] = []
    for point in points:
        if all(max((abs(x - y) for x, y in zip(point, other, strict=True)), default=0.0) > least for other in taken):
            taken.append(tuple(float(x) for x in point))
        if len(taken) == count:
            break
    return taken
