"""The nonlinearities on arrays, in floats: good enough to draw planes with, nothing rests on them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def sigmoid(v: Floats) -> Floats:
    """1 / (1 + exp(-v)) without overflow, exact in its relative error on both sides."""
    e = np.exp(-np.abs(v))
    values: Floats = np.where(v >= 0, 1.0, e) / (1 + e)
    return values


def sigmoid_slope(v: Floats) -> Floats:
    """sigmoid (1 - sigmoid), without cancellation."""
    return sigmoid(v) * sigmoid(-v)


def tanh_slope(z: Floats) -> Floats:
    """1 - tanh^2 = 4 sigmoid(2 z) sigmoid(-2 z), without cancellation."""
    return 4 * sigmoid(2 * z) * sigmoid(-2 * z)


def factors(kind: str, z: Floats) -> tuple[Floats, Floats]:
    """The factor g(z) of a product and its derivative."""
    return (np.tanh(z), tanh_slope(z)) if kind == "sigmoid_times_tanh" else (z, np.ones_like(z))


def gradient(kind: str, v: Floats, z: Floats) -> Floats:
    """(count, 2): df/dv and df/dz; df/dz = 0 for one-dimensional kinds, relu's slope at 0 is 0."""
    if kind in ("sigmoid_times_tanh", "sigmoid_times_identity"):
        g, g_slope = factors(kind, z)
        return np.stack([sigmoid_slope(v) * g, sigmoid(v) * g_slope], axis=1)
    if kind == "relu":
        return np.stack([(v > 0).astype(np.float64), np.zeros_like(v)], axis=1)
    slope = sigmoid_slope(v) if kind == "sigmoid" else tanh_slope(v)
    return np.stack([slope, np.zeros_like(v)], axis=1)


def sigmoid_flat_at(ratio: Floats) -> Floats:
    """The v >= 0 with sigmoid'(v) = ratio, 0 above 1/4 and inf for ratio <= 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far: Floats = 2 * np.arccosh(np.maximum(1.0, 0.5 / np.sqrt(ratio)))
    return np.where(ratio > 0, far, np.inf)


def top_along_v(scale: Floats, slope: Floats, v: Floats) -> Floats:
    """max over v in the box (count, 2) of scale sigmoid(v) - slope v."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        far = sigmoid_flat_at(np.nan_to_num(slope / scale))
    tried = [v[:, 0], v[:, 1], *(np.clip(x, v[:, 0], v[:, 1]) for x in (far, -far))]
    top: Floats = np.max([scale * sigmoid(x) - slope * x for x in tried], axis=0)
    return top


def top_along_z(scale: Floats, slope: Floats, z: Floats) -> Floats:
    """max over z in the box (count, 2) of scale tanh(z) - slope z, as tanh(z) = 2 sigmoid(2 z) - 1."""
    return top_along_v(2 * scale, slope / 2, 2 * z) - scale
