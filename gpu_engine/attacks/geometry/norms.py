"""l_p norms of offsets rounded up, and the point of a cut ball at which a linear form is least.

All tensors end with the coordinates of one ball, (..., n).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpu_engine.rounding import above, tiny

# Roundings of an offset, of its power, of the root and of the scaling; the sum of n terms adds n.
_ROUNDINGS = 64
# Halvings that find a multiplier: as many as a float64 has bits, and some for the exponent.
_HALVINGS = 100


def norm_above(offset: Tensor, p: float) -> Tensor:
    """||x - c||_p for offset = x - c as rounded to float64, (..., n) -> (...); not below the exact norm."""
    size = offset.abs()
    if p == math.inf:
        found = size.amax(-1)  # one rounding, that of the offset
        return torch.where(found > 0, above(found), 0.0)
    if p == 1:
        found = size.sum(-1)
    else:
        largest = size.amax(-1, keepdim=True)
        scale = torch.where(largest > 0, largest, 1.0)
        found = scale[..., 0] * ((size / scale) ** p).sum(-1) ** (1 / p)
    growth = (offset.shape[-1] + _ROUNDINGS) * torch.finfo(offset.dtype).eps
    return torch.where(found > 0, found * (1 + growth) + tiny(offset.dtype), 0.0)


def cut_corner(size: Tensor, room: Tensor, radius: Tensor, p: float) -> Tensor:
    """Where sum size_i m_i is largest over 0 <= m <= room, ||m||_p <= radius: the moves m, (..., n), p < infinity.

    size, room (..., n) >= 0, radius (...). The best m is min(room_i, mu size_i^(1/(p-1))), cut at one multiplier mu
    (the stationarity condition; lemma `clipped_ball`); for p = 1 the radius is spent on the largest sizes first. Up to
    rounding: the caller brings it inside.
    """
    room = torch.minimum(room, radius[..., None])
    if p == 1:
        _, order = size.sort(dim=-1, descending=True, stable=True)
        sorted_room = room.gather(-1, order)
        before = sorted_room.cumsum(-1) - sorted_room
        spent = torch.minimum(sorted_room, (radius[..., None] - before).clamp(min=0.0))
        return torch.zeros_like(room).scatter(-1, order, spent)
    largest = size.amax(-1, keepdim=True)
    shape = (size / torch.where(largest > 0, largest, 1.0)) ** (1 / (p - 1))
    # The length of min(room, mu shape) grows with mu, and at mu = radius it is at least the radius or all are at
    # their room: one coordinate of `shape` is 1. Cut coordinates need more, up to room / shape.
    low, high = torch.zeros_like(radius), torch.full_like(radius, math.inf)
    guess = radius.clone()
    for _ in range(_HALVINGS):
        long = norm_above(torch.minimum(room, guess[..., None] * shape), p) >= radius
        high, low = torch.where(long, guess, high), torch.where(long, low, guess)
        guess = torch.where(torch.isinf(high), 2 * low.clamp(min=tiny(low.dtype)), low / 2 + high / 2)
        guess = guess.clamp(max=torch.finfo(guess.dtype).max)
    return torch.minimum(room, low[..., None] * shape)
