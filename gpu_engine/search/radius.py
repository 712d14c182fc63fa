"""The certified radius: the largest radius found for which the specification is proved.

Method card
    Claim      at `proved` the specification was proved, so it holds for every smaller radius (lemma
               `radius_monotone`), whatever the search did; at `failed` an attempt to prove it failed.
    Source     POPQORN (Ko et al. 2019), section 4 (bisection on the radius).
    Departure  instead of halving, the margin at both ends is interpolated (the Illinois variant of
               regula falsi), which needs about half as many evaluations; samples run in one batch, each with a
               bracket of its own, and drop out when their bracket is narrow enough.
    Sound?     yes. Tight? up to `tolerance`, unless the bounds are not monotone: then a larger radius may be provable.
    Shapes     center (batch, time, input), direction (batch, time), results (batch,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.errors import SpecificationError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import FrameBalls, Specification

# Where the search begins, as a share of the largest radius; it doubles or shrinks from there.
FIRST_SHARE = 2.0**-7
# A proposal keeps this share of the bracket away from both ends, so that the bracket always shrinks.
KEEP_OFF = 0.05
# No bracket needs more: each evaluation removes at least KEEP_OFF of it, mostly far more.
MAX_EVALUATIONS = 60


@dataclass(frozen=True)
class Radii:
    """Both ends of every bracket, (batch,) float64.

    proved: the largest radius with a proof, 0 where not even the input itself is proved (then failed is 0, too).
    failed: the smallest radius above it that was tried without success, inf where the largest
    allowed radius was proved.
    margin: least row at `proved`. evaluations: bounds computed, over all samples.
    """

    proved: Tensor
    failed: Tensor
    margin: Tensor
    tolerance: float
    evaluations: int


@dataclass
class _Bracket:
    margin: Tensor  # least row at low
    low: Tensor
    low_weight: Tensor  # the margin at low as the interpolation sees it
    high: Tensor
    high_weight: Tensor
    last_side: Tensor


def certified_radius(
    model: RecurrentClassifier,
    center: Tensor,
    direction: Tensor,
    specification: Specification,
    *,
    p: float = math.inf,
    clip: tuple[float, float] | None = None,
    largest: float | None = None,
    tolerance: float = 1e-3,
    options: Options | None = None,
    progress: Callable[[int], None] | None = None,
) -> Radii:
    """Search r so that the frame balls with radii r * direction[b, t] are proved.

    largest: no radius above this is tried; by default the width of the clip range, or 8 times the largest data value.
    tolerance: the bracket's width relative to its upper end. progress: called with the number of samples that finished.
    """
    options = options or Options()
    if not 0 < tolerance < 1:
        raise SpecificationError(f"tolerance is {tolerance}; give a number between 0 and 1, say 0.001")
    if direction.shape != center.shape[:2] or bool((direction < 0).any()):
        raise SpecificationError(
            f"direction has shape {tuple(direction.shape)}; "
            f"it needs one weight >= 0 per sample and frame, {tuple(center.shape[:2])}"
        )
    largest = largest_radius(center, p, clip) if largest is None else largest
    if not (largest > 0 and math.isfinite(largest)):
        raise SpecificationError(f"the largest radius to try is {largest}; give a positive number")

    def margins(index: Tensor, radius: Tensor) -> Tensor:
        balls = FrameBalls(center[index], radius[:, None] * direction[index], p, clip)
        return certify(model, balls, specification.select(index), options).margin

    batch = center.shape[0]
    everything = torch.arange(batch)
    zero = torch.zeros(batch, dtype=torch.float64)
    at_zero = margins(everything, zero)
    bracket = _Bracket(
        at_zero.clone(), zero, at_zero.clone(), torch.full_like(zero, math.inf), zero.clone(), zero.clone()
    )
    active = (at_zero > 0) & (direction.amax(1) > 0)
    if progress is not None:
        progress(int((~active).sum()))
    guess = torch.full_like(zero, largest * FIRST_SHARE)
    evaluations = batch
    for _ in range(MAX_EVALUATIONS):
        index = active.nonzero()[:, 0]
        if len(index) == 0:
            break
        found = margins(index, guess[index])
        evaluations += len(index)
        _update(bracket, index, guess[index], found)
        narrow = torch.isfinite(bracket.high) & (bracket.high - bracket.low <= tolerance * bracket.high)
        done = active & (narrow | (bracket.low >= largest))
        active = active & ~done
        guess = _propose(bracket, largest)
        if progress is not None and bool(done.any()):
            progress(int(done.sum()))
    # Where not even the input itself is proved, no radius above 0 was tried.
    failed = torch.where(at_zero > 0, bracket.high, zero.clone())
    failed = torch.where(bracket.low >= largest, math.inf, failed)
    return Radii(bracket.low, failed, bracket.margin, tolerance, evaluations)


def largest_radius(center: Tensor, p: float, clip: tuple[float, float] | None) -> float:
    """The radius beyond which nothing is tried: its l_p ball holds every frame of the clip range.

    Without a clip range: of a cube of 8 times the largest value of center (batch, time, input), at least 8.
    """
    span = clip[1] - clip[0] if clip is not None else 8 * max(1.0, float(center.abs().max()))
    return float(span * center.shape[2] ** (1 / p))


def _update(bracket: _Bracket, index: Tensor, radius: Tensor, found: Tensor) -> None:
    proved = found > 0
    side = torch.where(proved, 1.0, -1.0).to(found.dtype)
    repeated = bracket.last_side[index] == side
    # Illinois: the end that stays twice in a row has its margin halved, which pulls the next guess to it.
    low_weight = torch.where(~proved & repeated, bracket.low_weight[index] / 2, bracket.low_weight[index])
    high_weight = torch.where(proved & repeated, bracket.high_weight[index] / 2, bracket.high_weight[index])
    bracket.margin[index] = torch.where(proved, found, bracket.margin[index])
    bracket.low[index] = torch.where(proved, radius, bracket.low[index])
    bracket.low_weight[index] = torch.where(proved, found, low_weight)
    bracket.high[index] = torch.where(proved, bracket.high[index], radius)
    bracket.high_weight[index] = torch.where(proved, high_weight, found)
    bracket.last_side[index] = side


def _propose(bracket: _Bracket, largest: float) -> Tensor:
    low, high = bracket.low, bracket.high
    width = high - low
    share = bracket.low_weight / (bracket.low_weight - bracket.high_weight)
    share = torch.nan_to_num(share, nan=0.5).clamp(KEEP_OFF, 1 - KEEP_OFF)
    inside = low + share * width
    growing = (2 * low).clamp(max=largest)
    return torch.where(torch.isinf(high), growing, inside)
