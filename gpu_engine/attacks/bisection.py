"""The smallest ball in which an attack finds something, by bisection on the radius.

Method card
    Source     bisection on the radius as in `gpu_engine.search.radius`; the search on the segment as in Brendel et al.
               (2018), "Decision-based adversarial attacks", whose points are also brought back to the boundary.
    Idea       a bracket for every sample: nothing was found at its lower end, an adversarial input of that size at its
               upper end. Each input found is first brought as near to the center as the segment between them allows;
               its actual size, not the radius asked for, is the new upper end, and later runs begin at it.
    Sound?     yes: radii are sizes of actual inputs whose margin was computed afresh. The lower end proves nothing.
    Tight?     as good as the attack; `tolerance` is the width of the bracket relative to its upper end.
    Shapes     center (batch, time, input), results (batch,).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gpu_engine.attacks.base import RadiusAttack, SetAttack
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest, smallest_at
from gpu_engine.attacks.geometry.registry import geometry_of
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SpecificationError

# The first radius, as a share of the largest; it doubles until something is found.
FIRST_SHARE = 2.0**-7
# The first stride from a new upper end of the bracket towards zero, as a share of it; it doubles with every success.
FIRST_STRIDE = 0.04
# Attempts: the doublings, and as many halvings as a float64 has bits; reached only by tolerances near rounding.
MAX_ATTEMPTS = 64
# Points on a segment that are tried first, so that the nearest of several crossings is likely to be found; then
# halvings between two of them.
SEGMENT_POINTS = 16
SEGMENT_HALVINGS = 10


class Bisected(RadiusAttack):
    """attack: what is asked at every radius; tolerance in (0, 1). Raises SpecificationError."""

    def __init__(self, attack: SetAttack, tolerance: float = 0.01) -> None:
        if not 0 < tolerance < 1:
            raise SpecificationError(f"tolerance is {tolerance}; give a number between 0 and 1, say 0.01")
        self.attack, self.tolerance = attack.until_success(), tolerance
        self.name = attack.name  # type: ignore[misc]  # the attack's own, not the class's

    def smallest(self, question: Question, family: BallFamily, generator: torch.Generator) -> Smallest:
        """See `RadiusAttack.smallest`: radius 0 where the center is misclassified, infinity where nothing was found."""
        largest = family.reaches()
        zero = torch.zeros(len(family), dtype=torch.float64, device=family.center.device)
        x, low, high = family.center.clone(), zero.clone(), torch.full_like(zero, math.inf)
        radius, stride = FIRST_SHARE * largest, torch.full_like(zero, FIRST_STRIDE)
        active = (question.center_margins(family.center) > 0) & (family.weight > 0).any(1)
        for attempt in range(MAX_ATTEMPTS):
            index = active.nonzero()[:, 0]
            if len(index) == 0:
                break
            asked, balls = question.select(index), family.select(index)
            if attempt == 0:
                point = _on_rays(asked, balls)
            else:
                point = self.attack.worst(asked, balls.at(radius[index]), generator, x[index]).x
            point = nearest_on_segment(asked, balls.center, point)
            found = asked.plain_margins(point) <= 0
            size = torch.where(found, balls.size(point), math.inf)
            smaller = size < high[index]
            x[index] = torch.where(smaller[:, None, None], point, x[index])
            high[index] = torch.where(smaller, size, high[index])
            if attempt > 0:
                low[index] = torch.where(found, low[index], radius[index])
                stride[index] = torch.where(found, 2 * stride[index], stride[index]).clamp(max=0.5)
            # An input smaller than a radius at which nothing was found: the attack is not perfect.
            low = torch.minimum(low, high)
            # Failures cost the most, so the upper end comes down in growing strides before the bracket is halved.
            within = torch.maximum(high * (1 - stride), low / 2 + high / 2)
            above_low = torch.minimum(torch.where(low > 0, 2 * low, FIRST_SHARE * largest), largest)
            radius = torch.where(torch.isinf(high), above_low, within)
            narrow = torch.isfinite(high) & (high - low <= self.tolerance * high)
            active = active & ~narrow & (low < largest)
        return smallest_at(question, family, x)


def _on_rays(question: Question, family: BallFamily) -> Tensor:
    """The first input that breaks the specification among the corners of growing balls that the gradient at the center
    points to; the center where there is none."""
    _, slope = question.gradient(family.center)
    largest = family.reaches()
    x, open_ = family.center, torch.ones_like(largest, dtype=torch.bool)
    for k in range(1 - int(math.log2(FIRST_SHARE))):
        corner = geometry_of(family.at(largest * FIRST_SHARE * 2.0**k)).corner(slope)
        first = open_ & (question.plain_margins(corner) <= 0)
        x = torch.where(first[:, None, None], corner, x)
        open_ = open_ & ~first
    return x


def nearest_on_segment(question: Question, center: Tensor, x: Tensor) -> Tensor:
    """The points nearest to the center, on the segments from there to x, that were found to break the specification.

    center, x (batch, time, input); where x itself breaks nothing, x. The margin along a segment need not be monotone.
    """
    low, high = torch.minimum(center, x), torch.maximum(center, x)

    def at(share: Tensor) -> Tensor:
        point = torch.minimum(torch.maximum(center + share[:, None, None] * (x - center), low), high)
        return torch.where((share < 1)[:, None, None], point, x)

    def broken(share: Tensor) -> Tensor:
        return question.plain_margins(at(share)) <= 0

    end = torch.ones_like(center[:, 0, 0])
    start, open_ = torch.zeros_like(end), torch.ones_like(end, dtype=torch.bool)
    for k in range(1, SEGMENT_POINTS):
        share = torch.full_like(end, k / SEGMENT_POINTS)
        first = open_ & broken(share)
        end = torch.where(first, share, end)
        open_ = open_ & ~first
        start = torch.where(open_, share, start)
    for _ in range(SEGMENT_HALVINGS):
        middle = start / 2 + end / 2
        hit = broken(middle)
        end, start = torch.where(hit, middle, end), torch.where(hit, start, middle)
    return at(end)
