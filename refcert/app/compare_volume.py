"""Volumes between bounding planes and surface, against the optimum of a linear program.

Method card
    Claim      none: figures about tightness. No bound rests on them.
    Source     POPQORN (Ko et al. 2019), equations 25 and 26: the volume between plane and surface over a box.
    Idea       The integral of a plane over a box is its height at the centre times the area. So the volume per area is
               the plane's height at the centre less the mean of the surface, and the ratio of two volumes is that of
               these differences. The surface is a product, so its mean over the box is the product of two means, each
               by composite Gauss-Legendre quadrature. The least height is the optimum of `reference.least_volume`.
    Left out   boxes without area, and planes over surfaces so nearly flat that the linear program does not know the
               least volume to RESOLVED of itself; both are counted.
    Shapes     one plane at a time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refcert.reference.equations import PRODUCTS
from refcert.reference.errors import ReferenceFailureError
from refcert.reference.intervals import Interval
from refcert.reference.least_volume import least_volume

SIDES: Final = ("lower", "upper")
# The optimum counts as known where the program's two ends differ by at most this share of the least volume.
RESOLVED: Final = 0.01
# Sixteen nodes on a piece this long, well inside the circle of convergence of sigmoid and tanh, leave nothing to see.
_NODES: Final = 16
_PIECE: Final = 1.5
_MOST_PIECES: Final = 4096


class Why(StrEnum):
    """Why a plane has no volume ratio."""

    NO_AREA = "no_area"
    FLAT = "flat"
    UNSOLVED = "unsolved"


@dataclass(frozen=True)
class Optimum:
    """The least volume per area of any sound plane of one side, and the mean of the surface over the box."""

    volume: float
    mean: float
    side: str

    def ratio(self, height: float) -> float:
        """The volume of a plane with this height at the centre of the box, over the least one."""
        return (height - self.mean if self.side == "upper" else self.mean - height) / self.volume


def optimum(kind: str, v: Interval, z: Interval, side: str) -> Optimum | Why:
    """The least volume of a plane of `side` over the nonlinearity `kind` on the box v, z; or why there is none.

    z is ignored for nonlinearities of one argument, whose planes are lines and whose volumes are areas.
    """
    axes = (v, z) if kind in PRODUCTS else (v,)
    if any(not axis.upper > axis.lower for axis in axes):
        return Why.NO_AREA
    try:
        found = least_volume(kind, v, z, side)
    except ReferenceFailureError:
        return Why.UNSOLVED
    mean = surface_mean(kind, v, z)
    sign = 1.0 if side == "upper" else -1.0
    volume = sign * (found.best - mean)
    if not (volume > 0.0 and sign * (found.height - found.best) <= RESOLVED * volume):
        return Why.FLAT
    return Optimum(volume, mean, side)


def surface_mean(kind: str, v: Interval, z: Interval) -> float:
    """The mean of the nonlinearity over the box, up to rounding."""
    if kind in PRODUCTS:
        first, second = PARTS[kind]
        return _mean(first, v) * _mean(second, z)
    return _relu_mean(v) if kind == "relu" else _mean(PARTS[kind][0], v)


Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x)))


def _identity(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return x


PARTS: Final[dict[str, tuple[Function, ...]]] = {
    "sigmoid_times_tanh": (_sigmoid, np.tanh),
    "sigmoid_times_identity": (_sigmoid, _identity),
    "sigmoid": (_sigmoid,),
    "tanh": (np.tanh,),
}
_POINTS, _WEIGHTS = np.polynomial.legendre.leggauss(_NODES)


def _mean(function: Function, x: Interval) -> float:
    pieces = min(max(1, math.ceil((x.upper - x.lower) / _PIECE)), _MOST_PIECES)
    ends = np.linspace(x.lower, x.upper, pieces + 1)
    middle, half = (ends[1:] + ends[:-1]) / 2, (ends[1:] - ends[:-1]) / 2
    values = function(middle[:, None] + half[:, None] * _POINTS)
    return float((values @ _WEIGHTS / 2).mean())


def _relu_mean(x: Interval) -> float:
    low, high = max(x.lower, 0.0), max(x.upper, 0.0)
    return (low + high) / 2 * (high - low) / (x.upper - x.lower)
