"""Perturbations measured by a family of balls: steepest directions of its norm, and the way back below a radius.

Unlike `geometry`, whose points lie in one set exactly, everything here is up to rounding: sizes are measured afterwards
(`BallFamily.size`). Coordinates come in groups, (batch, groups, n): a group for every frame, or one for a shared ball.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.geometry.norms import norm_above
from gpu_engine.rounding import tiny


class Perturbation:
    """moves (batch, time): frames with a weight that the network reads; movable (batch,): samples with such a frame.

    lengths (batch,): how many frames count, None for all.
    """

    def __init__(self, family: BallFamily, lengths: Tensor | None) -> None:
        self.family, self.center = family, family.center
        self.moves = family.weight > 0
        if lengths is not None:
            frame = torch.arange(family.center.shape[1], device=family.center.device)
            self.moves = self.moves & (frame < lengths.to(frame.device)[:, None])
        self.movable = self.moves.any(1)
        groups = torch.ones_like(family.weight[:, :1]) if family.shared else family.weight
        self.unit = groups[..., None]  # (batch, groups, 1): radii at radius 1

    def _grouped(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, None] if self.family.shared else x

    def steepest(self, slope: Tensor, x: Tensor, coordinates: float) -> Tensor:
        """The direction of size 1 in which a value with this slope falls fastest from x; 0 where there is no slope.

        slope, x (batch, time, input). Coordinates at the end of the clip range stay. For l_1 the steepest direction is
        one coordinate; the share `coordinates` of a group with the largest slopes, at least one, moves alike instead.
        """
        free = self.moves[..., None].expand_as(slope)
        if self.family.clip is not None:
            low, high = self.family.clip
            free = free & torch.where(slope > 0, x > low, x < high)
        slope = self._grouped(torch.where(free, slope, 0.0))
        size, p = slope.abs(), self.family.p
        if p == math.inf:
            way = slope.sign()
        elif p == 1:
            count = max(1, int(coordinates * slope.shape[-1]))
            least = size.topk(count, dim=-1).values[..., -1:]
            way = torch.where(size >= least, slope.sign(), 0.0)
        else:
            largest = size.amax(-1, keepdim=True)
            way = slope.sign() * (size / torch.where(largest > 0, largest, 1.0)) ** (1 / (p - 1))
        length = norm_above(way, p)[..., None]
        return -(self.unit * way / torch.where(length > 0, length, 1.0)).reshape(x.shape)

    def random_direction(self, generator: torch.Generator) -> Tensor:
        """A direction of size 1, the same for all samples, in frames that move."""
        shape = self.center.shape[1:]
        draw = torch.randn(shape, generator=generator, dtype=torch.float64, device=generator.device)
        draw = self._grouped(draw.to(self.center.device) * self.moves[..., None])
        length = norm_above(draw, self.family.p)[..., None]
        return (self.unit * draw / torch.where(length > 0, length, 1.0)).reshape(self.center.shape)

    def within(self, x: Tensor, radius: Tensor) -> Tensor:
        """x, cut to the clip range, brought into the balls of these radii, (batch,), up to rounding.

        The Euclidean projection of the perturbation for p = 1, 2 and infinity, radially for other norms. Every value
        moves towards its center only, so it stays in the clip range.
        """
        if self.family.clip is not None:
            x = x.clamp(*self.family.clip)
        offset, reach = self._grouped(x - self.center), radius[:, None, None] * self.unit
        if self.family.p == math.inf:
            offset = torch.minimum(torch.maximum(offset, -reach), reach)
        elif self.family.p == 1:
            offset = _soft_threshold(offset, reach)
        else:
            size = norm_above(offset, self.family.p)[..., None]
            offset = offset * torch.where(size > reach, reach / size.clamp(min=tiny(x.dtype)), 1.0)
        inside = self.center + offset.reshape(x.shape)
        return inside if self.family.clip is None else inside.clamp(*self.family.clip)


def _soft_threshold(offset: Tensor, reach: Tensor) -> Tensor:
    """The Euclidean projection onto l_1 balls: all sizes shrink by one number. offset (..., n), reach (..., 1).

    Source: Duchi et al. (2008), "Efficient projections onto the l_1-ball", figure 1.
    """
    size = offset.abs()
    falling = size.sort(dim=-1, descending=True).values
    excess = falling.cumsum(-1) - reach
    count = torch.arange(1, size.shape[-1] + 1, dtype=size.dtype, device=size.device)
    kept = (falling * count > excess).sum(-1, keepdim=True).clamp(min=1)
    shrink = (excess.gather(-1, kept - 1) / kept).clamp(min=0.0)
    return offset.sign() * (size - shrink).clamp(min=0.0)
