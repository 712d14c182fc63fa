"""Interval arithmetic with outward rounding; what back-substituted boxes are intersected with.

Source: Moore, Kearfott and Cloud (2009), chapter 2. Shapes (...,) elementwise unless said otherwise.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.rounding import IMAGE_UNITS, gamma, tiny, unit_roundoff


def sigmoid(box: Box) -> Box:
    """The image under the sigmoid, inside [0, 1]."""
    return _monotone(torch.sigmoid, box, 0.0)


def tanh(box: Box) -> Box:
    """The image under tanh, inside [-1, 1]."""
    return _monotone(torch.tanh, box, -1.0)


def _monotone(function, box: Box, floor: float) -> Box:  # type: ignore[no-untyped-def]
    dtype = box.lower.dtype
    relative, absolute = IMAGE_UNITS * unit_roundoff(dtype), tiny(dtype)
    low, high = function(box.lower), function(box.upper)
    return Box(
        (low - low.abs() * relative - absolute).clamp(min=floor),
        (high + high.abs() * relative + absolute).clamp(max=1.0),
    )


def relu(box: Box) -> Box:
    """The image under max(v, 0). Exact."""
    return Box(box.lower.clamp(min=0.0), box.upper.clamp(min=0.0))


def image(kind: str, v: Box, z: Box | None) -> Box:
    """The image of a nonlinearity, by its kind."""
    if kind == "sigmoid_times_tanh":
        assert z is not None
        return multiply(sigmoid(v), tanh(z))
    if kind == "sigmoid_times_identity":
        assert z is not None
        return multiply(sigmoid(v), z)
    return {"sigmoid": sigmoid, "tanh": tanh, "relu": relu}[kind](v)


def multiply(a: Box, b: Box) -> Box:
    """The product: least and greatest of the four corner products."""
    corners = torch.stack((a.lower * b.lower, a.lower * b.upper, a.upper * b.lower, a.upper * b.upper))
    return _widen(Box(corners.amin(0), corners.amax(0)), 2)


def add(a: Box, b: Box) -> Box:
    """The sum."""
    return _widen(Box(a.lower + b.lower, a.upper + b.upper), 2)


def _widen(box: Box, operations: int) -> Box:
    dtype = box.lower.dtype
    relative, absolute = gamma(operations, dtype), tiny(dtype)
    return Box(
        box.lower - box.lower.abs() * relative - absolute,
        box.upper + box.upper.abs() * relative + absolute,
    )


def linear(weight: Tensor, box: Box) -> Box:
    """weight (out, in) times box (batch, in) -> (batch, out), without the rounding, which the caller charges."""
    positive, negative = weight.clamp(min=0).T, weight.clamp(max=0).T
    return Box(
        box.lower @ positive + box.upper @ negative,
        box.upper @ positive + box.lower @ negative,
    )
