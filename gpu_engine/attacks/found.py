"""What attacks return: actual inputs, with their margins by a plain forward pass in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question


@dataclass(frozen=True)
class Worst:
    """The input with the least margin that was found on each set: x (batch, time, input), margin (batch,)."""

    x: Tensor
    margin: Tensor

    @property
    def found(self) -> Tensor:
        """Where the specification is broken, (batch,) bool."""
        return self.margin <= 0

    def or_better(self, other: Worst) -> Worst:
        """Of two attacks on the same sets the better one, sample by sample."""
        better = other.margin < self.margin
        return Worst(
            torch.where(better[:, None, None], other.x, self.x), torch.where(better, other.margin, self.margin)
        )


def worst_at(question: Question, x: Tensor) -> Worst:
    """The inputs x with their margins, computed afresh."""
    return Worst(x.detach(), question.plain_margins(x))


@dataclass(frozen=True)
class Smallest:
    """The smallest perturbation found that breaks the specification.

    x (batch, time, input): the adversarial input, the center where none was found; margin (batch,) at x; radius
    (batch,): of the smallest ball of the family that holds x, rounded up: 0 where the center itself is broken (a
    misclassified sample), infinity where nothing was found.
    """

    x: Tensor
    margin: Tensor
    radius: Tensor

    @property
    def found(self) -> Tensor:
        """Where an adversarial input, or a broken center, was found, (batch,) bool."""
        return torch.isfinite(self.radius)

    def or_better(self, other: Smallest) -> Smallest:
        """Of two attacks on the same families the better one, sample by sample."""
        better = other.radius < self.radius
        return Smallest(
            torch.where(better[:, None, None], other.x, self.x),
            torch.where(better, other.margin, self.margin),
            torch.where(better, other.radius, self.radius),
        )


def smallest_at(question: Question, family: BallFamily, x: Tensor) -> Smallest:
    """Inputs x as results: sizes and margins are computed afresh, and what breaks nothing becomes the center."""
    margin, size = question.plain_margins(x), family.size(x)
    broken = (margin <= 0) & torch.isfinite(size)
    at_center = question.plain_margins(family.center)
    broken_center = at_center <= 0
    takes_x = broken & ~broken_center
    radius = torch.where(takes_x, size, math.inf)
    return Smallest(
        torch.where(takes_x[:, None, None], x, family.center).detach(),
        torch.where(takes_x, margin, at_center),
        torch.where(broken_center, 0.0, radius),
    )
