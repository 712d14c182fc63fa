"""Moves inside l_p balls, cut to a clip range or not: a ball for every frame, or one around the sequence.

Method card
    Source     projected gradient steps: Madry et al. (2018); the steepest direction of a norm: Boyd and Vandenberghe
               (2004), section 9.4; the l_1 ball cut to a box: Croce and Hein (2021).
    Idea       one kind of ball: coordinates come in groups, (batch, groups, n), each with its own radius. A frame ball
               has a group for every frame, a sequence ball one group. Frames that stay have no room.
    Sound?     every point lies in its ball in exact arithmetic: the ends of l_inf boxes are rounded inward, other norms
               are measured rounded up and pulled towards the center until they fit.
    Shapes     points and gradients (batch, time, input).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpu_engine.attacks.geometry.base import Geometry, uniform
from gpu_engine.attacks.geometry.norms import cut_corner, norm_above, shrinkage, steepest
from gpu_engine.inputs import FrameBalls, SequenceBall
from gpu_engine.rounding import above, below, tiny

# A point that rounding left outside is pulled in to this share of what would fit.
_PULL = 1 - 2.0**-40
_PULLS = 4


class BallGeometry(Geometry):
    """center (batch, groups, n); radius (batch, groups); low, high (batch, groups, n): the ends of each coordinate."""

    def __init__(self, balls: FrameBalls | SequenceBall) -> None:
        self.p = balls.p
        self.shape = balls.center.shape
        center, radius = balls.center, balls.radius
        moves = torch.ones(self.shape[:2], dtype=torch.bool, device=center.device)
        if isinstance(balls, SequenceBall):
            moves = moves if balls.moves is None else balls.moves
            reach = radius[:, None, None].expand(self.shape)
            radius = radius[:, None]
        else:
            reach = radius[:, :, None].expand(self.shape)
        room = torch.where(moves[:, :, None], reach, 0.0)
        low, high = above(center - room), below(center + room)
        # Where the ball is thinner than the numbers around its center, only the center is left of it.
        fixed = (room <= 0) | (low > center) | (high < center)
        low, high = torch.where(fixed, center, low), torch.where(fixed, center, high)
        if balls.clip is not None:
            low, high = low.clamp(min=balls.clip[0]), high.clamp(max=balls.clip[1])
        self.radius = radius
        self.center, self.low, self.high = self._grouped(center), self._grouped(low), self._grouped(high)

    def _grouped(self, x: Tensor) -> Tensor:
        return x.reshape(*self.radius.shape, -1)

    def _cut(self, x: Tensor) -> Tensor:
        return torch.minimum(torch.maximum(x, self.low), self.high)

    def inside(self, x: Tensor) -> Tensor:
        return self._inside(self._grouped(x)).reshape(self.shape)

    def _inside(self, x: Tensor) -> Tensor:
        x = torch.where(torch.isnan(x), self.center, x)
        if self.p == math.inf:
            return self._cut(x)
        x = self._cut(self._shrunk(x)) if self.p == 1 else self._cut(x)
        for _ in range(_PULLS):
            size = norm_above(x - self.center, self.p)
            if bool((size <= self.radius).all()):
                return x
            # Towards the center, which is in the range: no coordinate leaves it.
            share = torch.where(size > self.radius, self.radius / size.clamp(min=tiny(x.dtype)) * _PULL, 1.0)
            x = torch.where(share[..., None] < 1, self._cut(self.center + share[..., None] * (x - self.center)), x)
        fits = norm_above(x - self.center, self.p) <= self.radius
        return torch.where(fits[..., None], x, self.center)

    def _shrunk(self, x: Tensor) -> Tensor:
        """The Euclidean projection onto the cut l_1 ball: every offset shrinks by one number, then is cut."""
        outside = norm_above(self._cut(x) - self.center, 1) > self.radius
        center, low, high = self.center[outside], self.low[outside], self.high[outside]
        offset = x[outside] - center
        room = torch.where(offset > 0, high - center, center - low)
        less = shrinkage(offset.abs(), room, self.radius[outside])
        shrunk = x.clone()
        shrunk[outside] = center + offset.sign() * (offset.abs() - less[..., None]).clamp(min=0.0)
        return shrunk

    def random(self, generator: torch.Generator, alike: bool = False) -> Tensor:
        shape, device = self.center.shape, self.center.device
        draw = uniform(shape, generator, device, alike)
        if self.p == math.inf:
            return self._inside(self.low + draw * (self.high - self.low)).reshape(self.shape)
        # Signs and sizes whose density falls with the p-th power make every direction of the sphere possible.
        sign = torch.where(draw < 0.5, -1.0, 1.0)
        size = (-torch.log1p(-((2 * draw) % 1.0))) ** (1 / self.p)
        n = shape[-1]
        length = self.radius * uniform(self.radius.shape, generator, device, alike) ** (1 / n)
        offset = sign * size * (length / norm_above(size, self.p).clamp(min=tiny(draw.dtype)))[..., None]
        return self._inside(self.center + offset).reshape(self.shape)

    def corner(self, gradient: Tensor) -> Tensor:
        slope = self._grouped(gradient)
        room = torch.where(slope > 0, self.center - self.low, self.high - self.center)
        moves = room if self.p == math.inf else cut_corner(slope.abs(), room, self.radius, self.p)
        return self._inside(self.center - slope.sign() * moves).reshape(self.shape)

    def descend(self, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
        slope, point = self._grouped(gradient), self._grouped(x)
        length = step[:, None] * self.radius
        if self.p == math.inf:
            moves = length[..., None].expand_as(slope)
        elif self.p == 1:
            # Room that is left in the range; the ball's own border is the projection's business.
            room = torch.where(slope > 0, point - self.low, self.high - point).clamp(min=0.0)
            moves = cut_corner(slope.abs(), room, length, 1)
        else:
            direction = steepest(slope.abs(), self.p)
            moves = direction * (length / norm_above(direction, self.p).clamp(min=tiny(slope.dtype)))[..., None]
        return self._inside(point - slope.sign() * moves).reshape(self.shape)
