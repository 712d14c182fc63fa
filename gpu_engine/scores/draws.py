"""Points drawn uniformly from one l_p ball for every frame, or from one ball around the sequence.

Method card
    Source     uniform in l_p balls: Barthe et al. (2005), through coordinates whose density falls with |g|^p.
    Idea       many points of one set, as scores need them. `attacks.geometry` draws points for attacks: one a set, and
               brought inside exactly at ten times the cost.
    Clip       l_inf: uniform in the cut box. Other norms: a coordinate outside the range is reflected at its end, which
               moves it nearer to the center, and cut where that leads out at the other end. Not uniform any more, but
               any part of the cut ball can be drawn.
    Sound?     points lie in the set: the length of an offset leaves room for its rounding. Nothing is proved by them.
    Random     by numpy from one seed: the same points on every device, the same noise for every question.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily

# Room for the roundings of an offset and of its norm, as a share of the radius.
_ROOM = 1e-9


class Draws:
    """Points of the one ball (of this radius) of a family of a single question; batch after batch from one seed."""

    def __init__(self, family: BallFamily, radius: float, seed: int) -> None:
        self.p, self.clip, self.shared = family.p, family.clip, family.shared
        self.center = family.center[0]
        self.moves = family.weight[0] > 0
        self.radius = radius * family.weight[0]
        self.rng = np.random.default_rng(seed)

    def batch(self, count: int) -> Tensor:
        """The next points, (count, time, input)."""
        time, size = self.center.shape
        if self.p == math.inf:
            share = self._tensor(self.rng.random((count, time, size)))
            return self._boxed(share)
        noise = self._tensor(self._noise((count, time, size)))
        reach = self._tensor(self.rng.random((count, 1 if self.shared else time)))
        noise = torch.where(self.moves[:, None], noise, 0.0)
        if self.shared:
            norm = torch.linalg.vector_norm(noise.flatten(1), self.p, dim=1)[:, None]
            values = size * int(self.moves.sum())
            largest = self.center.abs().max()
        else:
            norm = torch.linalg.vector_norm(noise, self.p, dim=2)
            values = size
            largest = self.center.abs().amax(1)
        length = self._length(values, largest) * reach ** (1 / max(values, 1))
        scale = torch.where(norm > 0, length / torch.where(norm > 0, norm, 1.0), 0.0)
        x = self.center + noise * scale[..., None]
        if self.clip is not None:
            low, high = self.clip
            x = torch.where(x < low, 2 * low - x, torch.where(x > high, 2 * high - x, x)).clamp(low, high)
        return torch.where(self.moves[:, None], x, self.center)

    def _length(self, values: int, largest: Tensor) -> Tensor:
        """Radii (time,) less the room for the rounding of `values` coordinates as large as `largest`."""
        lost: Tensor = 4 * values ** (1 / self.p) * torch.finfo(torch.float64).eps * (largest + self.radius)
        length: Tensor = self.radius * (1 - _ROOM) - lost
        return length.clamp(min=0.0)

    def _boxed(self, share: Tensor) -> Tensor:
        reach = self._length(1, self.center.abs().amax(1))[:, None]
        low, high = self.center - reach, self.center + reach
        if self.clip is not None:
            low, high = low.clamp(min=self.clip[0]), high.clamp(max=self.clip[1])
        return torch.where(self.moves[:, None], low + share * (high - low), self.center)

    def _noise(self, shape: tuple[int, ...]) -> np.ndarray:
        """Independent coordinates with a density proportional to exp(-|g|^p)."""
        if self.p == 2:
            return self.rng.standard_normal(shape)  # a scale that the normalisation takes out
        if self.p == 1:
            return self.rng.laplace(size=shape)
        # A gamma variable of shape 1/p is one of shape 1 + 1/p times the p-th power of a uniform one.
        size = self.rng.standard_gamma(1 + 1 / self.p, shape) ** (1 / self.p) * self.rng.random(shape)
        return np.where(self.rng.random(shape) < 0.5, -size, size)

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(self.center.device)
