"""Where training bounds a network: one l_p ball a frame, perhaps cut to the data's range."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Clip, check_clip, check_norm, require_finite

# Under the root of a dual norm, so that the gradient at a row of zeros is a number.
_SMALLEST = 1e-30


@dataclass(frozen=True)
class Region:
    """Frame t of sample b moves within ||x - center[b, t]||_p <= radius, inside clip where one is given.

    center (batch, time, input) floating point, inside clip; radius >= 0, in the data's unit. Raises
    SpecificationError.
    """

    center: Tensor
    radius: float
    p: float = math.inf
    clip: Clip | None = None

    def __post_init__(self) -> None:
        if self.center.ndim != 3 or 0 in self.center.shape:
            raise SpecificationError(f"the sequences have shape {tuple(self.center.shape)}; give (batch, time, input)")
        if not 0 <= self.radius < math.inf:
            raise SpecificationError(f"radius {self.radius}; give a finite number >= 0")
        require_finite("the sequences", self.center)
        check_norm(self.p)
        if self.clip is not None:
            check_clip(self.clip)

    @property
    def time(self) -> int:
        return self.center.shape[1]

    def frame(self, t: int) -> Box:
        """The smallest box around frame t's ball and inside the range, (batch, input)."""
        low, high = self.center[:, t] - self.radius, self.center[:, t] + self.radius
        if self.clip is None:
            return Box(low, high)
        return Box(low.clamp(*self.clip), high.clamp(*self.clip))

    def affine(self, t: int, weight: Tensor) -> Box:
        """Bounds of weight @ frame t; weight (rows, input) -> (batch, rows), (batch, rows, input) alike.

        The better of ball (Hoelder's inequality) and box.
        """
        box = self.frame(t)
        middle, half = (box.lower + box.upper) / 2, (box.upper - box.lower) / 2
        at_middle, reach = times(weight, middle), times(weight.abs(), half)
        if self.p == math.inf:
            return Box(at_middle - reach, at_middle + reach)
        at_center, ball = times(weight, self.center[:, t]), self.radius * dual_norm(weight, self.p)
        return Box(
            torch.maximum(at_middle - reach, at_center - ball), torch.minimum(at_middle + reach, at_center + ball)
        )


def times(weight: Tensor, value: Tensor) -> Tensor:
    """weight (rows, in) or (batch, rows, in) times value (batch, in) -> (batch, rows)."""
    return value @ weight.T if weight.ndim == 2 else (weight @ value[:, :, None])[:, :, 0]


def dual_norm(weight: Tensor, p: float) -> Tensor:
    """||row||_q with 1/p + 1/q = 1, (..., in) -> (...); never below, and differentiable at rows of zeros."""
    size = weight.abs()
    if p == math.inf:
        return size.sum(-1)
    if p == 1:
        return size.amax(-1)
    q = p / (p - 1)
    return ((size**q).sum(-1) + _SMALLEST) ** (1 / q)
