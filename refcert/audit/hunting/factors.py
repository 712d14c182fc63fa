"""Differences and second-order remainders of the factors of a surface in float64, without cancellation.

A surface is F(v) G(z). For a factor F and points x0, x each function below is accurate relative to its own result, also
where x is next to x0, or where F is saturated:

    difference  F(x) - F(x0)              sigmoid: s(x) s(-x0) (1 - exp(x0 - x))
    remainder   F(x) - F(x0) - F'(x0) (x - x0)
    bend        F'(x) - F'(x0)

Everything for tanh follows from tanh(x) = 2 sigmoid(2 x) - 1. Hints only: nothing here is trusted (see `excess`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

# Below this x + expm1(-x) is taken from its series; above it seven bits cancel, no more.
SERIES_BELOW: Final = 0.02
# (x + expm1(-x)) / x^2 as a polynomial: (-1)^k / k!, k = 2..8, highest first; the next is below 1e-17 of the first.
_SERIES: Final = [(-1.0) ** k / math.factorial(k) for k in range(8, 1, -1)]


@dataclass(frozen=True)
class Factor:
    """F, F' and what belongs to a pair (x0, x); shapes as numpy broadcasts them."""

    value: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    difference: Callable[[Array, Array], Array]
    remainder: Callable[[Array, Array], Array]
    bend: Callable[[Array, Array], Array]


def _past_linear(x: Array) -> Array:
    """x + expm1(-x) for x >= 0: about x^2 / 2 near 0."""
    near = np.minimum(x, SERIES_BELOW)
    return np.where(x < SERIES_BELOW, near * near * np.polyval(_SERIES, near), x + np.expm1(-x))


def _sigmoid_slope(x: Array) -> Array:
    return np.asarray(expit(x) * expit(-x))


def _sigmoid_difference(x0: Array, x: Array) -> Array:
    sign = np.copysign(1.0, x - x0)
    low, high = np.minimum(x, x0), np.maximum(x, x0)
    return np.asarray(-sign * expit(high) * expit(-low) * np.expm1(low - high))


def _sigmoid_remainder(x0: Array, x: Array) -> Array:
    # For x < x0 by symmetry: sigmoid(-x) = 1 - sigmoid(x).
    sign = np.copysign(1.0, x - x0)
    step = np.abs(x - x0)
    rest = expit(-sign * x0)
    return np.asarray(sign * rest * expit(sign * x) * (step * rest * -np.expm1(-step) - _past_linear(step)))


def _sigmoid_bend(x0: Array, x: Array) -> Array:
    return np.asarray(_sigmoid_difference(x0, x) * (expit(-x0) - expit(x)))


def _zero(x0: Array, x: Array) -> Array:
    return np.zeros(np.broadcast(x0, x).shape)


def _relu_remainder(x0: Array, x: Array) -> Array:
    # The slope at 0 counts as 0, as in `_relu_slope`.
    return np.where((x0 > 0) == (x > 0), 0.0, np.abs(x))


SIGMOID: Final = Factor(expit, _sigmoid_slope, _sigmoid_difference, _sigmoid_remainder, _sigmoid_bend)
TANH: Final = Factor(
    np.tanh,
    lambda x: 4.0 * _sigmoid_slope(2.0 * x),
    lambda x0, x: 2.0 * _sigmoid_difference(2.0 * x0, 2.0 * x),
    lambda x0, x: 2.0 * _sigmoid_remainder(2.0 * x0, 2.0 * x),
    lambda x0, x: 4.0 * _sigmoid_bend(2.0 * x0, 2.0 * x),
)
IDENTITY: Final = Factor(np.asarray, np.ones_like, lambda x0, x: x - x0, _zero, _zero)
RELU: Final = Factor(
    lambda x: np.maximum(x, 0.0),
    lambda x: np.where(x > 0, 1.0, 0.0),
    lambda x0, x: np.maximum(x, 0.0) - np.maximum(x0, 0.0),
    _relu_remainder,
    lambda x0, x: np.where(x > 0, 1.0, 0.0) - np.where(x0 > 0, 1.0, 0.0),
)
ONE: Final = Factor(np.ones_like, np.zeros_like, _zero, _zero, _zero)

# The two factors of each kind of nonlinearity.
FACTORS: Final[dict[str, tuple[Factor, Factor]]] = {
    "sigmoid_times_tanh": (SIGMOID, TANH),
    "sigmoid_times_identity": (SIGMOID, IDENTITY),
    "sigmoid": (SIGMOID, ONE),
    "tanh": (TANH, ONE),
    "relu": (RELU, ONE),
}
