"""A surface's rise over its tangent plane at the centre of a box, in coordinates in which the box is [-1, 1]^2.

Method card
    Claim      none: float64 figures to search with. What is claimed of an optimum is checked in `certificate`.
    Idea       Volumes are of second order in the widths of a box, so values of f would lose them to rounding. The
               tangent plane at the centre moves every plane's height alike; what remains is computed without
               cancellation from tanh(x + d) - tanh(x) = tanh(d) D, D = 1 - tanh(x) tanh(x + d), and
               sigmoid(x) = (1 + tanh(x / 2)) / 2.
    Shapes     one entry a box (boxes,); points (boxes, points).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from refcert.reference.equations import PRODUCTS

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

# tanh(d) - d by its Taylor series below this; beyond `_DIRECT` nothing cancels in the plain difference.
_SERIES: Final = 0.25
_DIRECT: Final = 0.5
# Coefficients of d^3, d^5, ... d^19 in tanh(d).
_TANH: Final = (
    *(-1 / 3, 2 / 15, -17 / 315, 62 / 2835, -1382 / 155925, 21844 / 6081075, -929569 / 638512875),
    *(6404582 / 10854718875, -443861162 / 1856156927625),
)


class Factor(Protocol):
    """A factor of the surface: value and derivatives at x + d, and their differences from x, without cancellation."""

    def value(self, x: Floats) -> Floats: ...
    def slope(self, x: Floats) -> Floats: ...
    def bend(self, x: Floats) -> Floats: ...
    def rise(self, x: Floats, d: Floats) -> Floats: ...
    def rest(self, x: Floats, d: Floats) -> Floats: ...
    def slope_rise(self, x: Floats, d: Floats) -> Floats: ...


def sech_squared(x: Floats) -> Floats:
    """1 - tanh(x)^2, also where tanh is close to 1."""
    e = np.exp(-2 * np.abs(x))
    return np.asarray(4 * e / np.square(1 + e))


def _one_minus_product(x: Floats, y: Floats) -> Floats:
    """1 - tanh(x) tanh(y)."""
    a, b = np.exp(-2 * np.abs(x)), np.exp(-2 * np.abs(y))
    return np.asarray(2 * np.where(np.signbit(x) == np.signbit(y), a + b, 1 + a * b) / ((1 + a) * (1 + b)))


class Tanh:
    """tanh."""

    def value(self, x: Floats) -> Floats:
        return np.tanh(x)

    def slope(self, x: Floats) -> Floats:
        return sech_squared(x)

    def bend(self, x: Floats) -> Floats:
        return -2 * np.tanh(x) * sech_squared(x)

    def rise(self, x: Floats, d: Floats) -> Floats:
        return np.asarray(np.tanh(d) * _one_minus_product(x, x + d))

    def rest(self, x: Floats, d: Floats) -> Floats:
        """tanh(x + d) - tanh(x) - tanh'(x) d."""
        t, common = np.tanh(d), _one_minus_product(x, x + d)
        square, series = np.square(d), np.zeros_like(d)
        for coefficient in reversed(_TANH):
            series = series * square + coefficient
        beyond = np.where(np.abs(d) < _SERIES, series * square * d, t - d)
        near = common * (beyond - np.tanh(x) * t * d)
        return np.asarray(np.where(np.abs(d) < _DIRECT, near, common * t - sech_squared(x) * d))

    def slope_rise(self, x: Floats, d: Floats) -> Floats:
        change = self.rise(x, d)
        return np.asarray(-change * (2 * np.tanh(x) + change))


class Sigmoid:
    """The sigmoid as (1 + tanh(x / 2)) / 2."""

    _half = Tanh()

    def value(self, x: Floats) -> Floats:
        return np.asarray(expit(x))

    def slope(self, x: Floats) -> Floats:
        return sech_squared(x / 2) / 4

    def bend(self, x: Floats) -> Floats:
        return np.asarray(-self.slope(x) * np.tanh(x / 2))

    def rise(self, x: Floats, d: Floats) -> Floats:
        return self._half.rise(x / 2, d / 2) / 2

    def rest(self, x: Floats, d: Floats) -> Floats:
        return self._half.rest(x / 2, d / 2) / 2

    def slope_rise(self, x: Floats, d: Floats) -> Floats:
        return self._half.slope_rise(x / 2, d / 2) / 4


class Identity:
    """The identity."""

    def value(self, x: Floats) -> Floats:
        return x

    def slope(self, x: Floats) -> Floats:
        return np.ones_like(x)

    def bend(self, x: Floats) -> Floats:
        return np.zeros_like(x)

    def rise(self, x: Floats, d: Floats) -> Floats:
        return np.broadcast_to(d, np.broadcast_shapes(x.shape, d.shape))

    def rest(self, x: Floats, d: Floats) -> Floats:
        return np.zeros(np.broadcast_shapes(x.shape, d.shape))

    slope_rise = rest


class One(Identity):
    """The constant 1: the second factor of a nonlinearity of one argument."""

    def value(self, x: Floats) -> Floats:
        return np.ones_like(x)

    def slope(self, x: Floats) -> Floats:
        return np.zeros_like(x)

    def rise(self, x: Floats, d: Floats) -> Floats:
        return np.zeros(np.broadcast_shapes(x.shape, d.shape))


FACTORS: Final[dict[str, tuple[Factor, Factor]]] = {
    "sigmoid_times_tanh": (Sigmoid(), Tanh()),
    "sigmoid_times_identity": (Sigmoid(), Identity()),
    "sigmoid": (Sigmoid(), One()),
    "tanh": (Tanh(), One()),
}


@dataclass(frozen=True)
class Surface:
    """f = first(v) second(z) on boxes centre_v +- half_v, centre_z +- half_z, all (boxes,). `half_z` 0: no second axis.

    Heights and slopes are over the tangent plane at the centre, in units of `size` and of the half widths.
    """

    kind: str
    centre_v: Floats
    half_v: Floats
    centre_z: Floats
    half_z: Floats
    size: Floats

    @property
    def factors(self) -> tuple[Factor, Factor]:
        return FACTORS[self.kind]

    @property
    def two_axes(self) -> bool:
        return self.kind in PRODUCTS

    def rows(self, chosen: NDArray[np.int64] | Bools) -> Surface:
        """Some of the boxes."""
        columns = (self.centre_v, self.half_v, self.centre_z, self.half_z, self.size)
        return Surface(self.kind, *(column[chosen] for column in columns))

    def _at(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats, Floats]:
        return self.centre_v[:, None], self.half_v[:, None] * x, self.centre_z[:, None], self.half_z[:, None] * y

    def tangent(self) -> tuple[Floats, Floats]:
        """The slopes of f at the centre, in the original coordinates."""
        first, second = self.factors
        v, z = self.centre_v, self.centre_z
        return first.slope(v) * second.value(z), first.value(v) * second.slope(z)

    def rise(self, x: Floats, y: Floats) -> Floats:
        """f less its tangent plane at the centre, (boxes, points)."""
        first, second = self.factors
        v, d, z, e = self._at(x, y)
        straight = first.rest(v, d) * second.value(z) + first.value(v) * second.rest(z, e)
        return (straight + first.rise(v, d) * second.rise(z, e)) / self.size[:, None]

    def gradient(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Slopes of the rise, each (boxes, points)."""
        first, second = self.factors
        v, d, z, e = self._at(x, y)
        along_v = first.slope_rise(v, d) * second.value(z + e) + first.slope(v) * second.rise(z, e)
        along_z = first.rise(v, d) * second.slope(z + e) + first.value(v) * second.slope_rise(z, e)
        size = self.size[:, None]
        return self.half_v[:, None] * along_v / size, self.half_z[:, None] * along_z / size

    def hessian(self, x: Floats, y: Floats) -> tuple[Floats, Floats, Floats]:
        """Second derivatives of the rise: vv, vz, zz, each (boxes, points)."""
        first, second = self.factors
        v, d, z, e = self._at(x, y)
        at_v, at_z, h, k = v + d, z + e, self.half_v[:, None], self.half_z[:, None]
        size = self.size[:, None]
        return (
            h * h * first.bend(at_v) * second.value(at_z) / size,
            h * k * first.slope(at_v) * second.slope(at_z) / size,
            k * k * first.value(at_v) * second.bend(at_z) / size,
        )


# Points per axis of the grid that tells a surface's size, and that the first program knows.
GRID: Final = 5


def grid(two_axes: bool) -> tuple[Floats, Floats]:
    """The points (x, y) of the first program, each (points,)."""
    ticks = np.linspace(-1.0, 1.0, GRID)
    x, y = np.meshgrid(ticks, ticks if two_axes else np.zeros(1), indexing="ij")
    return x.ravel(), y.ravel()


def surface_of(kind: str, box: Floats) -> Surface:
    """Surfaces of the kind on boxes (boxes, 4): lower_v, upper_v, lower_z, upper_z. Kinds of one argument ignore z.

    Where float64 cannot express the rise, `size` is 0 or not finite.
    """
    low_v, high_v, low_z, high_z = box.T
    flat = np.zeros(len(box))
    two_axes = kind in PRODUCTS
    centre_z, half_z = (low_z / 2 + high_z / 2, high_z / 2 - low_z / 2) if two_axes else (flat, flat)
    plain = Surface(kind, low_v / 2 + high_v / 2, high_v / 2 - low_v / 2, centre_z, half_z, np.ones(len(box)))
    size = np.abs(plain.rise(*(side[None] for side in grid(two_axes)))).max(1)
    return Surface(kind, plain.centre_v, plain.half_v, centre_z, half_z, size)
