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


def norm_above(offset: Tensor, p: float) -> Tensor:
    """||x - c||_p for offset = x - c as rounded to float64, (..., n) -> (...); not below the exact norm.

    Infinity where an offset overflowed or is no number: what cannot be measured lies in no ball.
    """
    size = torch.nan_to_num(offset.abs(), nan=math.inf, posinf=math.inf)
    if p == math.inf:
        found = size.amax(-1)  # one rounding, that of the offset
        return torch.where(found > 0, above(found), 0.0)
    if p == 1:
        found = size.sum(-1)
    else:
        largest = size.amax(-1, keepdim=True)
        scale = torch.where(largest > 0, largest, 1.0)
        shares = torch.where(size < math.inf, size / scale, 1.0)  # infinity by itself is no number
        found = scale[..., 0] * (shares**p).sum(-1) ** (1 / p)
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
    shape = steepest(size, p)
    # In the unit of the radius nothing overflows. The length of min(room, mu shape) grows with mu; in the order in
    # which coordinates reach their room, what is cut is a first part of them.
    scale = torch.where(radius > 0, radius, 1.0)[..., None]
    ends, order = torch.where(shape > 0, room / scale / shape, math.inf).sort(dim=-1, stable=True)
    cut = torch.where(shape > 0, room / scale, 0.0).gather(-1, order) ** p  # what has no slope spends nothing
    free = shape.gather(-1, order) ** p
    cut_before = cut.cumsum(-1) - cut
    free_from = free.flip(-1).cumsum(-1).flip(-1)
    # Length at the multiplier at which each coordinate reaches its room; the first that is long enough is not cut.
    lengths = cut_before + torch.nan_to_num(ends**p * free_from, nan=0.0, posinf=math.inf)
    long = lengths >= 1
    first = long.to(torch.int8).argmax(-1, keepdim=True)
    left = (1 - cut_before.gather(-1, first)).clamp(min=0.0) / free_from.gather(-1, first).clamp(min=tiny(size.dtype))
    return torch.where(long.any(-1, keepdim=True), torch.minimum(room, left ** (1 / p) * scale * shape), room)


def steepest(size: Tensor, p: float) -> Tensor:
    """The direction m >= 0 in which sum size_i m_i grows most for its l_p length, 1 < p < infinity; its largest is 1.

    size (..., n) >= 0; zeros where size is zero throughout.
    """
    largest = size.amax(-1, keepdim=True)
    return (size / torch.where(largest > 0, largest, 1.0)) ** (1 / (p - 1))


def shrinkage(size: Tensor, room: Tensor, radius: Tensor) -> Tensor:
    """The number by which all sizes have to shrink so that sum min(max(size - number, 0), room) is the radius.

    size, room (..., n) >= 0, radius (...), below the sum of min(size, room). The sum is linear between the sizes and
    the sizes less their room; source: Croce and Hein (2021), proposition 2.2. Up to rounding.
    """
    ends, order = torch.cat((size, size - room), -1).sort(dim=-1, descending=True, stable=True)
    weight = torch.where(order < size.shape[-1], 1.0, -1.0).to(size.dtype)
    active, total = weight.cumsum(-1), (weight * ends).cumsum(-1)
    reached = total - active * ends >= radius[..., None]
    # Between the last end before the radius is reached and the first behind it; at the first end the sum is zero.
    at = reached.to(torch.int8).argmax(-1, keepdim=True).clamp(min=1)
    found = (total.gather(-1, at - 1) - radius[..., None]) / active.gather(-1, at - 1).clamp(min=1.0)
    found = torch.minimum(torch.maximum(found, ends.gather(-1, at)), ends.gather(-1, at - 1))
    return torch.where(reached.any(-1), found[..., 0], 0.0).clamp(min=0.0)
