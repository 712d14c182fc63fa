"""Balls that grow with a radius, and how large a ball has to be to hold a given input."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.attacks.geometry.norms import norm_above
from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Clip, FrameBalls, SequenceBall, largest_radius
from gpu_engine.rounding import above


@dataclass(frozen=True)
class BallFamily:
    """One ball for every radius r: frame balls of radii r * weight[b, t], or one ball r around the sequence.

    center (batch, time, input) float64; weight (batch, time) float64 >= 0, zero fixes a frame; `shared`: one ball
    around the sequence, whose weights are 0 or 1. p, clip as in `gpu_engine.inputs.FrameBalls`.
    Raises SpecificationError.
    """

    center: Tensor
    weight: Tensor
    p: float = math.inf
    clip: Clip | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        if self.weight.shape != self.center.shape[:2] or bool((self.weight < 0).any()):
            raise SpecificationError(
                f"the weights have shape {tuple(self.weight.shape)}; they need one >= 0 per sample and frame, "
                f"{tuple(self.center.shape[:2])}"
            )
        if self.shared and bool(((self.weight != 0) & (self.weight != 1)).any()):
            raise SpecificationError("one ball around the sequence needs weights of 0 and 1: frames move or stay")
        self.at(torch.zeros(len(self), dtype=torch.float64))  # checks the rest

    def __len__(self) -> int:
        return self.center.shape[0]

    def at(self, radius: Tensor) -> FrameBalls | SequenceBall:
        """The balls of these radii, (batch,)."""
        radius = radius.to(self.center.device)
        if self.shared:
            return SequenceBall(self.center, radius, self.p, self.clip, self.weight > 0)
        return FrameBalls(self.center, radius[:, None] * self.weight, self.p, self.clip)

    def size(self, x: Tensor) -> Tensor:
        """A radius, rounded up, whose ball holds x, (batch, time, input) -> (batch,); infinity where none does."""
        offset = x - self.center
        moved = (offset != 0).any(-1)
        misplaced = (moved & (self.weight == 0)).any(1)
        if self.clip is not None:
            misplaced |= ((x < self.clip[0]) | (x > self.clip[1])).any(-1).any(-1)
        if self.shared:
            found = norm_above(offset.flatten(1), self.p)
        else:
            norms = norm_above(offset, self.p)
            ratio = torch.where(self.weight == 1, norms, above(norms / torch.where(self.weight > 0, self.weight, 1.0)))
            found = torch.where(norms > 0, ratio, 0.0).amax(1)
        return torch.where(misplaced, math.inf, found)

    def largest(self) -> float:
        """The radius beyond which nothing is tried; see `gpu_engine.inputs.largest_radius`."""
        return float(self.reaches().max())

    def reaches(self) -> Tensor:
        """`largest` of every sample by itself, (batch,): what a sample is asked must not depend on the others."""
        center = self.center.flatten(1)[:, None] if self.shared else self.center
        radii = [largest_radius(one[None], self.p, self.clip) for one in center]
        return torch.tensor(radii, dtype=torch.float64, device=self.center.device)

    def select(self, index: Tensor | slice) -> BallFamily:
        """The families of some of the samples; an index may name one more than once."""
        return BallFamily(self.center[index], self.weight[index], self.p, self.clip, self.shared)
