"""What attacks return: actual inputs, with their margins by a plain forward pass in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.html_table import sample_table


@dataclass(frozen=True)
class Worst:
    """The input with the least margin that was found on each set: x (batch, time, input), margin (batch,)."""

    x: Tensor
    margin: Tensor

    @property
    def found(self) -> Tensor:
        """Where the specification is broken, (batch,) bool."""
        return self.margin <= 0

    def _repr_html_(self) -> str:
        summary = f"{int(self.found.sum())} of {len(self.margin)} samples broken in their sets"
        return sample_table(summary, found=self.found, margin=self.margin)

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

    def _repr_html_(self) -> str:
        summary = f"an adversarial input found for {int(self.found.sum())} of {len(self.radius)} samples"
        return sample_table(summary, found=self.found, radius=self.radius, margin=self.margin)

    def or_better(self, other: Smallest) -> Smallest:
        """Of two attacks on the same families the better one, sample by sample."""
        better = other.radius < self.radius
        return Smallest(
            torch.where(better[:, None, None], other.x, self.x),
            torch.where(better, other.margin, self.margin),
            torch.where(better, other.radius, self.radius),
        )


OUTWARD: Final = (2.0**-50, 2.0**-46, 2.0**-42, 2.0**-36)
"""Shares by which an input on the border itself is moved on from the center until its margin is not positive."""


def smallest_at(question: Question, family: BallFamily, x: Tensor, *, as_given: bool = False) -> Smallest:
    """Inputs x as results: sizes and margins are computed afresh, and what breaks nothing becomes the center.

    A margin of 0 in one batch can be a last place above 0 in another one, whose matrix products are summed in another
    order: x is moved on by the shares of OUTWARD before it is given up; not where it is to be taken as_given, such as
    on a grid.
    """
    at_center = question.center_margins(family.center)
    broken_center = at_center <= 0
    margin, size = question.plain_margins(x), family.size(x)
    broken = (margin <= 0) & torch.isfinite(size)
    for share in () if as_given else OUTWARD:
        lost = ~broken & ~broken_center & (x != family.center).any(-1).any(-1)
        if not bool(lost.any()):
            break
        further = x + share * (x - family.center)
        if family.clip is not None:
            further = further.clamp(*family.clip)
        margin_there, size_there = question.plain_margins(further), family.size(further)
        hit = lost & (margin_there <= 0) & torch.isfinite(size_there)
        x = torch.where(hit[:, None, None], further, x)
        margin, size = torch.where(hit, margin_there, margin), torch.where(hit, size_there, size)
        broken = broken | hit
    takes_x = broken & ~broken_center
    radius = torch.where(takes_x, size, math.inf)
    return Smallest(
        torch.where(takes_x[:, None, None], x, family.center).detach(),
        torch.where(takes_x, margin, at_center),
        torch.where(broken_center, 0.0, radius),
    )
