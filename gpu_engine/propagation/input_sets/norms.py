"""Dual norms, and the least value of a linear form on a ball cut to a box.

Method card
    Claim      on {x : ||x||_p <= r, x_i >= -room_i where a_i > 0, x_i <= room_i where a_i < 0} the form a.x is at least
               -`cut_ball(|a|, room, r, p)`; on the whole ball at least -r `dual_norm(|a|, p)`.
    Source     POPQORN (Ko et al. 2019), section 3.2 (Hoelder); the cut is ours, lemmas `dual_norm`, `clipped_ball`.
    Idea       for ANY split a = a' + a'' with the signs of a, the minimum is at least
               -r ||a'||_q - sum |a''_i| room_i. The best split has |a'_i| = min(|a_i|, mu room_i^(p-1)); coordinates
               stop at their room in the order of |a_i| / room_i^(p-1), and with k of them stopped mu has a closed
               form. One sort finds k.
    Sound?     yes in exact arithmetic for any mu, so nothing that finds mu needs care; the rounding of the final
               sums is charged by the caller (lemma `concretize_rounding`).
    Tight?     yes, both are the minimum, up to rounding.
    Shapes     sizes |a|, room (..., input) -> (...); radius (...).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def dual_exponent(p: float) -> float:
    """q with 1/p + 1/q = 1, rounded DOWN so that the l_q norm used is never too small.

    The l_q norm does not increase with q. lemma `dual_norm`.
    """
    if p == math.inf:
        return 1.0
    if p == 1:
        return math.inf
    if p == 2:
        return 2.0
    exact = p / (p - 1)
    return max(1.0, exact * (1 - 2.0**-50))


def dual_norm(size: Tensor, p: float) -> Tensor:
    """||a||_q for sizes |a_i| >= 0 along the last axis, 1/p + 1/q = 1; scaled so that nothing overflows."""
    q = dual_exponent(p)
    if q == 1:
        return size.sum(-1)
    if q == math.inf:
        return size.amax(-1)
    largest = size.amax(-1, keepdim=True)
    scale = torch.where(largest > 0, largest, 1.0)
    if q == 2:
        return scale[..., 0] * torch.square(size / scale).sum(-1).sqrt()
    return scale[..., 0] * ((size / scale) ** q).sum(-1) ** (1 / q)


def cut_ball(size: Tensor, room: Tensor, radius: Tensor, p: float, *, exact: bool = True) -> Tensor:
    """Minus the least value of a.x on a cut ball, see the method card; p < infinity.

    exact False: the better of whole ball and whole box (`gpu_engine.inputs.CLIP_BOUNDS`).
    """
    room = torch.minimum(room, radius[..., None])  # the ball reaches no further
    best = torch.minimum(radius * dual_norm(size, p), (size * room).sum(-1))  # a'' = 0 and a' = 0
    if not exact:
        return best
    in_ball = torch.minimum(size, _best_share(size, room, radius, p))
    return torch.minimum(best, radius * dual_norm(in_ball, p) + ((size - in_ball) * room).sum(-1))


def _best_share(size: Tensor, room: Tensor, radius: Tensor, p: float) -> Tensor:
    """mu room^(p-1) of the best split, >= 0; rounding costs tightness only."""
    limits = torch.finfo(size.dtype)
    unit = radius[..., None].clamp(min=limits.tiny)
    scale = size.amax(-1, keepdim=True).clamp(min=limits.tiny)
    share, a = (room / unit).clamp(max=1.0), size / scale  # lengths and coefficients in [0, 1]
    if p == 1:
        weight = torch.ones_like(share)
        stops, order = a.expand_as(share * a).sort(dim=-1, descending=True)
        used = share.expand_as(stops).gather(-1, order).cumsum(-1)
        # Spend the radius on the largest coefficients; the one in whose room it ends is mu, none: the whole box.
        full = used >= 1
        last = full.to(torch.uint8).argmax(-1, keepdim=True)
        mu = torch.where(full.any(-1, keepdim=True), stops.gather(-1, last), 0.0)
    else:
        weight = share ** (p - 1)
        stops, order = torch.where(weight > limits.tiny, a / weight, math.inf).sort(dim=-1, descending=True)
        mu = _multiplier(a.expand_as(stops).gather(-1, order), share.expand_as(stops).gather(-1, order), stops, p)
    return torch.nan_to_num(mu, nan=0.0, posinf=0.0, neginf=0.0).clamp(min=0.0) * weight * scale


def _multiplier(a: Tensor, share: Tensor, stops: Tensor, p: float) -> Tensor:
    """mu with sum_capped share^p + mu^-q sum_free a^q = 1, all sorted by falling `stops` = a / share^(p-1)."""
    q = p / (p - 1)
    one = torch.zeros_like(a[..., :1])
    capped = torch.cat([one, (share**p).cumsum(-1)], dim=-1)
    powers = a**q
    free = torch.cat([powers.flip(-1).cumsum(-1).flip(-1), one], dim=-1)
    # With the first k capped. The right k: mu lies between its neighbours' stops. The length of the step falls with
    # mu, so k is the number of stops at which the step is shorter than the radius.
    left = (1 - capped).clamp(min=0.0)
    length_at_stop = capped[..., :-1] + free[..., :-1] / torch.where(stops > 0, stops, math.inf) ** q
    k = (length_at_stop < 1).sum(-1, keepdim=True)
    return (free.gather(-1, k) / left.gather(-1, k)) ** (1 / q)
