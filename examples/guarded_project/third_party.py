"""Stands for another engine that this project uses: bounding lines of two activations and interval bounds of the model.

Both claim to be sound, so both are moved outward by more than their rounding errors.
"""

from __future__ import annotations

import numpy as np

ROUNDING = 64 * np.finfo(np.float64).eps


def sigmoid(x):
    """Without overflow."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1.0, e) / (1.0 + e)


def slope_of(kind, x):
    """The derivative, to a few last digits far out, too."""
    if kind == "sigmoid":
        return sigmoid(x) * sigmoid(-x)
    e = np.exp(-2.0 * np.abs(x))
    return 4.0 * e / (1.0 + e) ** 2


def planes(kind, lower_v, upper_v, lower_z, upper_z):
    """Lines through the ends of the interval, both with the smaller of the slopes there (Singh et al., POPL 2019)."""
    value = {"sigmoid": sigmoid, "tanh": np.tanh}[kind]
    slope = np.minimum(slope_of(kind, lower_v), slope_of(kind, upper_v))
    margin = ROUNDING * (1.0 + np.abs(slope) * np.maximum(np.abs(lower_v), np.abs(upper_v)))
    low = value(lower_v) - slope * lower_v - margin
    high = value(upper_v) - slope * upper_v + margin
    zero = np.zeros_like(slope)
    return (slope, zero, low), (slope, zero, high)


def affine(weight, bias, low, high):
    """Bounds of W x + b for x between low and high (..., n)."""
    up, down = np.maximum(weight, 0), np.minimum(weight, 0)
    size = np.maximum(np.abs(low), np.abs(high)) @ np.abs(weight).T + np.abs(bias)
    return low @ up.T + high @ down.T + bias - ROUNDING * size, high @ up.T + low @ down.T + bias + ROUNDING * size


def product(a, b):
    """Bounds of the product of two intervals."""
    corners = np.stack([p * q for p in a for q in b])
    return corners.min(0) - ROUNDING, corners.max(0) + ROUNDING


def squashed(function, bounds):
    """Bounds of an increasing function with values from -1 to 1."""
    return function(bounds[0]) - ROUNDING, function(bounds[1]) + ROUNDING


def interval_bounds(model, inputs, rows):
    """Lower and upper bounds (batch, spec) of rows @ outputs for x between inputs.lower and inputs.upper."""
    weights = {name: value.detach().double().numpy() for name, value in model.state_dict().items()}
    both = np.hstack((weights["lstm.weight_ih_l0"], weights["lstm.weight_hh_l0"]))
    bias = weights["lstm.bias_ih_l0"] + weights["lstm.bias_hh_l0"]
    lower, upper = inputs.lower.numpy(), inputs.upper.numpy()
    h = c = (np.zeros((len(lower), both.shape[0] // 4)),) * 2
    for t in range(lower.shape[1]):
        gates = affine(both, bias, np.hstack((lower[:, t], h[0])), np.hstack((upper[:, t], h[1])))
        i, f, g, o = zip(*(np.split(side, 4, axis=1) for side in gates), strict=True)
        kept = product(squashed(sigmoid, f), c)
        new = product(squashed(sigmoid, i), squashed(np.tanh, g))
        c = (kept[0] + new[0] - ROUNDING, kept[1] + new[1] + ROUNDING)
        h = product(squashed(sigmoid, o), squashed(np.tanh, c))
    last = affine(weights["linear.weight"], weights["linear.bias"], *h)
    asked = [affine(r, np.zeros(len(r)), low, high) for r, low, high in zip(rows.numpy(), *last, strict=True)]
    return np.stack([low for low, _ in asked]), np.stack([high for _, high in asked])
