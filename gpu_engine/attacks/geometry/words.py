"""Moves among substitutions: a point is one candidate, or the center, for every frame, never a mixture of them.

Source: swaps ranked by the gradient (HotFlip, Ebrahimi et al. 2018).
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from gpu_engine.attacks.geometry.base import Geometry, uniform
from gpu_engine.inputs import Substitutions


class WordGeometry(Geometry):
    """words (batch, time, 1 + K, input): the center and its candidates; allowed (batch, time, 1 + K)."""

    discrete: ClassVar[bool] = True

    def __init__(self, sets: Substitutions) -> None:
        candidates = torch.where(sets.allowed[..., None], sets.candidates, 0.0)
        self.words = torch.cat((sets.center[:, :, None], candidates), dim=2)
        self.allowed = torch.cat((torch.ones_like(sets.allowed[:, :, :1]), sets.allowed), dim=2)

    def _taken(self, choice: Tensor) -> Tensor:
        index = choice[:, :, None, None].expand(-1, -1, 1, self.words.shape[3])
        return self.words.gather(2, index)[:, :, 0]

    def inside(self, x: Tensor) -> Tensor:
        distance = (self.words - x[:, :, None]).square().sum(-1)
        return self._taken(torch.where(self.allowed, _finite(distance), math.inf).argmin(2))

    def random(self, generator: torch.Generator, alike: bool = False) -> Tensor:
        draw = uniform(self.allowed.shape, generator, self.words.device, alike)
        return self._taken(torch.where(self.allowed, draw, -1.0).argmax(2))

    def corner(self, gradient: Tensor) -> Tensor:
        return self._taken(self._values(gradient).argmin(2))

    def _values(self, gradient: Tensor) -> Tensor:
        values = (self.words * gradient[:, :, None]).sum(-1)
        return torch.where(self.allowed, _finite(values), math.inf)

    def descend(self, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
        """The share `step` of the frames, at least one, takes its best candidate: those with the most to gain."""
        best = self._values(gradient)
        gain = (x * gradient).sum(-1) - best.amin(2)
        time = x.shape[1]
        moving = (step * time).ceil().clamp(1, time)
        rank = gain.argsort(1, descending=True).argsort(1)
        return torch.where((rank < moving[:, None])[..., None], self._taken(best.argmin(2)), self.inside(x))


def _finite(values: Tensor) -> Tensor:
    """Below infinity, which is kept for what is not allowed; what is no number comes last of what is."""
    return torch.nan_to_num(values, nan=torch.finfo(values.dtype).max)
