"""The least value of an affine form on the input set, one frame at a time.

Method card
    Claim      `concretize(rows, t)` <= rows . (x_t - center_t) for every x_t of the input set.
    Source     POPQORN (Ko et al. 2019), section 3.2 (dual norm); the clipped ball: inf-convolution
               bound, lemma `clipped_ball`.
    Idea       l_p ball: minus radius times the dual norm. Box: each coordinate at its worst end. Ball cut to a
               box: for ANY split a = a' + a'' with the signs of a, the minimum is at least
               -radius ||a'||_q - sum |a''_i| room_i; the best split has |a'_i| = min(|a_i|, mu room_i^(p-1)), and mu is
               found by bisection. Its accuracy costs tightness only.
    Sound?     yes in exact arithmetic; the rounding of these sums is charged by the caller (`backward`).
    Tight?     exact for a box and for a ball; for a cut ball up to the bisection.
    Shapes     rows (batch or 1, spec, input) -> (batch, spec).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.rounding import INPUT_UNITS, above, below, unit_roundoff
from gpu_engine.spec import FrameBalls, dual_exponent

# Halvings of the bracket for mu in a clipped ball: tightness to 1e-6 of the bracket.
CLIP_BISECTIONS = 24


@dataclass(frozen=True)
class PreparedInput:
    """An input set as float tensors of the engine's dtype, every rounding outward.

    center (batch, time, input); radius (batch, time); box: the smallest box around the set, (batch, time, input).
    below_center, above_center: how far a coordinate can lie under and over the center, (batch, time, input).
    """

    center: Tensor
    radius: Tensor
    below_center: Tensor
    above_center: Tensor
    box: Box
    p: float
    is_box: bool
    is_clipped: bool

    def magnitude(self) -> Tensor:
        """max |x_t - center_t| per coordinate, (batch, time, input)."""
        return torch.maximum(self.below_center, self.above_center)

    def part(self, samples: slice) -> PreparedInput:
        """The input sets of some samples."""
        return replace(
            self,
            center=self.center[samples],
            radius=self.radius[samples],
            below_center=self.below_center[samples],
            above_center=self.above_center[samples],
            box=Box(self.box.lower[samples], self.box.upper[samples]),
        )

    def concretize(self, rows: Tensor, t: int) -> Tensor:
        """Lower bounds (batch, spec) of rows . (x_t - center_t), rows (batch or 1, spec, input)."""
        if self.is_box:
            # below and above are equal here, see `prepare`
            return -(rows.abs() @ self.above_center[:, t, :, None])[..., 0]
        radius = self.radius[:, t, None]
        if not self.is_clipped:
            return -radius * dual_norm(rows.abs(), self.p)
        return -self._clipped(rows, t, radius)

    def _clipped(self, rows: Tensor, t: int, radius: Tensor) -> Tensor:
        size = rows.abs()
        room = torch.where(rows > 0, self.below_center[:, t, None, :], self.above_center[:, t, None, :])
        weight = room ** (self.p - 1) if self.p > 1 else torch.ones_like(room)
        # |a'| = min(|a|, mu weight); bisect on mu so that the matching step has length radius:
        # sum min(room, (|a| / mu)^(1/(p-1)))^p = radius^p (p > 1).
        low = torch.zeros_like(size[..., :1])
        limits = torch.finfo(size.dtype)
        high = (size / torch.where(weight > limits.tiny, weight, math.inf)).amax(-1, keepdim=True)
        high = high.clamp(max=limits.max / 4)  # so that mu stays finite; tightness only
        whole_ball = radius * dual_norm(size, self.p)
        whole_box = (size * room).sum(-1)
        best = torch.minimum(whole_ball, whole_box)  # both hold for any split
        for _ in range(CLIP_BISECTIONS):
            mu = (low + high) / 2
            part = torch.minimum(size, mu * weight)
            bound = radius * dual_norm(part, self.p) + ((size - part) * room).sum(-1)
            best = torch.minimum(best, bound)
            # The bound is convex in mu; its slope's sign is that of (radius - length of the step).
            step = torch.where(size > mu * weight, room, self._free_step(size, mu))
            too_long = self._longer(step, radius)
            # step shrinks as mu grows
            low = torch.where(too_long[..., None], mu, low)
            high = torch.where(too_long[..., None], high, mu)
        return best

    def _free_step(self, size: Tensor, mu: Tensor) -> Tensor:
        if self.p == 1:
            return torch.zeros_like(size)
        return (size / mu.clamp(min=torch.finfo(size.dtype).tiny)) ** (1 / (self.p - 1))

    def _longer(self, step: Tensor, radius: Tensor) -> Tensor:
        scale = step.amax(-1, keepdim=True).clamp(min=torch.finfo(step.dtype).tiny)
        length = scale[..., 0] * ((step / scale) ** self.p).sum(-1) ** (1 / self.p)
        return length > radius


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


def prepare(inputs: FrameBalls, dtype: torch.dtype) -> PreparedInput:
    """Round the input set outward into the engine's dtype."""
    center, radius = inputs.center, inputs.radius[..., None].expand_as(inputs.center)
    moves = radius > 0
    lower = torch.where(moves, below(center - radius), center)
    upper = torch.where(moves, above(center + radius), center)
    if inputs.clip is not None:
        lower, upper = lower.clamp(min=inputs.clip[0]), upper.clamp(max=inputs.clip[1])
    is_box = math.isinf(inputs.p)
    middle = center if not is_box else torch.where(moves, lower + (upper - lower) / 2, center)
    middle = middle.to(dtype)
    exact = middle.to(torch.float64)
    under = _outward(exact - lower, lower == exact, dtype)
    over = _outward(upper - exact, upper == exact, dtype)
    if is_box:
        under = over = torch.maximum(under, over)
    # The centre may have moved by rounding to dtype: the ball grows by that l_p distance, which is at most
    # n^(1/p) times the largest coordinate's.
    shift = (exact - center).abs().amax(-1) if not is_box else torch.zeros_like(inputs.radius)
    grown = inputs.radius + shift * inputs.center.shape[-1] ** (1 / inputs.p)
    ball = _outward(grown, (grown == inputs.radius) & (shift == 0), dtype)
    box = Box(_cast(lower, dtype, up=False), _cast(upper, dtype, up=True))
    return PreparedInput(
        center=middle,
        radius=ball,
        below_center=under,
        above_center=over,
        box=box,
        p=inputs.p,
        is_box=is_box,
        is_clipped=inputs.clip is not None,
    )


def _outward(value: Tensor, exact: Tensor, dtype: torch.dtype) -> Tensor:
    """A number >= 0 of `dtype` not below the real value behind one or two float64 roundings."""
    # In a narrow dtype the centre can lie beyond an end of the box: no room on that side, not a negative one.
    value = value.clamp(min=0.0)
    grown = torch.where(exact, value, value * (1 + INPUT_UNITS * unit_roundoff(torch.float64)))
    grown = torch.where(exact, grown, above(grown))
    return _cast(grown, dtype, up=True)


def _cast(value: Tensor, dtype: torch.dtype, *, up: bool) -> Tensor:
    cast = value.to(dtype)
    back = cast.to(value.dtype)
    if up:
        return torch.where(back < value, above(cast), cast)
    return torch.where(back > value, below(cast), cast)
