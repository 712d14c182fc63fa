"""The range of `f - slope_v v - slope_z z` over a box by brute force: a grid, then a finer grid around the best point.

claim     Values that are attained, so the true range is never smaller; as a rule close to it.
sound     no: a cross-check of `exact_planes`, which uses none of its formulas.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from refcert.reference.equations import PRODUCTS
from refcert.reference.intervals import POINT_ZERO, Interval
from refcert.reference.networks import Array

FIRST: Final = 161
NEXT: Final = 13
ZOOMS: Final = 24
STARTS: Final = 4


def grid_extremes(kind: str, v: Interval, z: Interval, slope_v: float, slope_z: float) -> tuple[float, float]:
    """The least and the greatest value found."""
    if kind not in PRODUCTS:
        z, slope_z = POINT_ZERO, 0.0
    return tuple(sign * _greatest(kind, v, z, slope_v, slope_z, sign) for sign in (-1.0, 1.0))  # type: ignore[return-value]


def _greatest(kind: str, v: Interval, z: Interval, slope_v: float, slope_z: float, sign: float) -> float:
    x, y = _axis(v), _axis(z)
    values = sign * _difference(kind, x, y, slope_v, slope_z)
    best = float(values.max())
    for start in np.argsort(values, axis=None)[-STARTS:]:
        i, j = np.unravel_index(start, values.shape)
        best = max(best, _zoom(kind, (v, z), (x, y), (int(i), int(j)), (slope_v, slope_z), sign))
    return best


def _zoom(
    kind: str,
    box: tuple[Interval, Interval],
    axes: tuple[Array, Array],
    at: tuple[int, int],
    slopes: tuple[float, float],
    sign: float,
) -> float:
    best = -np.inf
    for _ in range(ZOOMS):
        axes = (_finer(axes[0], at[0], box[0]), _finer(axes[1], at[1], box[1]))
        values = sign * _difference(kind, axes[0], axes[1], *slopes)
        i, j = np.unravel_index(int(values.argmax()), values.shape)
        at = (int(i), int(j))
        best = max(best, float(values[at]))
    return best


def _finer(axis: Array, index: int, inside: Interval) -> Array:
    """NEXT points between the neighbours of axis[index]."""
    low, high = axis[max(index - 1, 0)], axis[min(index + 1, len(axis) - 1)]
    return np.clip(np.linspace(low, high, NEXT), *inside)


def _axis(interval: Interval) -> Array:
    """Even steps, and even steps of the sigmoid and of tanh, which a wide box squeezes into few even steps."""
    even = np.linspace(*interval, FIRST)
    if interval.upper - interval.lower < 1.0:
        return np.clip(even, *interval)
    low, high = np.clip(interval, -40.0, 40.0)
    curved = [np.linspace(low, high, FIRST), np.linspace(low / 8.0, high / 8.0, FIRST)]
    return np.unique(np.clip(np.concatenate([even, *curved]), *interval))


def _difference(kind: str, v: Array, z: Array, slope_v: float, slope_z: float) -> Array:
    sigma = 0.5 * (1.0 + np.tanh(0.5 * v))
    one_dimension = {"sigmoid": sigma, "tanh": np.tanh(v), "relu": np.maximum(v, 0.0)}
    if kind in PRODUCTS:
        value = np.outer(sigma, np.tanh(z) if kind == "sigmoid_times_tanh" else z)
    else:
        value = np.repeat(one_dimension[kind][:, None], len(z), axis=1)
    return value - slope_v * v[:, None] - slope_z * z[None, :]
