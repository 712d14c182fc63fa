"""The certified radius: the largest radius found for which the specification is proved.

Method card
    Claim      at `proved` the specification was proved, so it holds for every smaller radius (lemma
               `radius_monotone`), whatever the search did; at `failed` an attempt to prove it failed.
    Source     POPQORN (Ko et al. 2019), section 4 (bisection on the radius).
    Departure  instead of halving, the margin at both ends is interpolated (the Illinois variant of
               regula falsi), which needs about half as many evaluations; samples run in one batch, each with a
               bracket of its own, and drop out when their bracket is narrow enough; where the interpolation keeps
               falling on one side, the bracket is halved.
    Sound?     yes. Tight? up to `tolerance`, unless the bounds are not monotone: then a larger radius may be provable.
    Shapes     center (batch, time, input), direction (batch, time), results (batch,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from gpu_engine.errors import NumericalError, SpecificationError
from gpu_engine.html_table import sample_table
from gpu_engine.inputs import Boxes, Clip, FrameBalls, InputSet, SequenceBall, largest_radius
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options, certify, check_reading
from gpu_engine.spec import Specification

# Where the search begins, as a share of the largest radius; it doubles or shrinks from there.
FIRST_SHARE = 2.0**-7
# A proposal keeps this share of the bracket away from both ends, so that the bracket always shrinks.
KEEP_OFF = 0.05
# So many outcomes on one side in a row, and the bracket is halved: a margin that jumps, or is infinite, misleads any
# interpolation.
PATIENCE = 3
# A search that goes on from proved radii multiplies them by this, until an attempt fails.
GROWTH_FROM_KNOWN = 1.25
# A bound on the time: a bracket is halved in every PATIENCE + 1 evaluations at least, mostly far sooner.
MAX_EVALUATIONS = 200

Margins = Callable[[Tensor, Tensor], Tensor]
"""Positions of samples (n,) int64 and a radius for each (n,) float64 -> margins (n,) float64, positive where proved."""


@dataclass(frozen=True)
class Radii:
    """Both ends of every bracket, (batch,) float64.

    proved: the largest radius with a proof, 0 where not even the input itself is proved (then failed is 0, too).
    failed: the smallest radius above it that was tried without success, inf where the largest
    allowed radius was proved or where nothing can move.
    margin: least row at `proved`. evaluations: bounds computed, over all samples.
    """

    proved: Tensor
    failed: Tensor
    margin: Tensor
    tolerance: float
    evaluations: int

    def _repr_html_(self) -> str:
        summary = f"certified radii of {len(self.proved)} samples, to a relative {self.tolerance:g}"
        return sample_table(summary, proved=self.proved, failed=self.failed, margin=self.margin)


@dataclass
class _Bracket:
    margin: Tensor  # least row at low
    low: Tensor
    low_weight: Tensor  # the margin at low as the interpolation sees it
    high: Tensor
    high_weight: Tensor
    last_side: Tensor
    repeats: Tensor  # outcomes on that side in a row


def search_radius(
    margins: Margins,
    batch: int,
    largest: float,
    tolerance: float = 1e-3,
    progress: Callable[[int], None] | None = None,
    movable: Tensor | None = None,
    known: Radii | None = None,
) -> Radii:
    """Search the largest radius with a positive margin, for every sample by itself.

    margins: the question at given radii; sets must grow with the radius. largest: no radius above this is tried.
    tolerance: the bracket's width relative to its upper end. progress: called with the number of samples that
    finished. movable (batch,) bool: False for samples whose set is the same at every radius, which need no search.
    known: radii that were proved before, by quicker bounds, to go on from; only signs of margins are used then, because
    a proof by contradiction has no margin to speak of.
    Raises SpecificationError, and NumericalError if a margin is not a number.
    """
    if not 0 < tolerance < 1:
        raise SpecificationError(f"tolerance is {tolerance}; give a number between 0 and 1, say 0.001")
    if not (largest > 0 and math.isfinite(largest)):
        raise SpecificationError(f"the largest radius to try is {largest}; give a positive number")
    zero = torch.zeros(batch, dtype=torch.float64)
    at_zero = _asked(margins, torch.arange(batch), zero) if known is None else known.margin
    bracket = _Bracket(
        margin=at_zero.clone(),
        low=zero.clone() if known is None else known.proved.clone(),
        low_weight=at_zero.clone() if known is None else torch.ones_like(zero),
        high=torch.full_like(zero, math.inf),
        high_weight=zero.clone(),
        last_side=zero.clone(),
        repeats=zero.clone(),
    )
    active = at_zero > 0
    if movable is not None:
        active = active & movable
    if progress is not None:
        progress(int((~active).sum()))
    active = active & (bracket.low < largest)
    if known is not None:
        # Where no radius above 0 was proved there is none to multiply: the sample keeps its bracket.
        stuck = known.proved <= 0
        active, bracket.high = active & ~stuck, torch.where(stuck, known.failed, bracket.high)
    growth = 2.0 if known is None else GROWTH_FROM_KNOWN
    guess = torch.full_like(zero, largest * FIRST_SHARE) if known is None else _propose(bracket, largest, growth)
    evaluations = batch if known is None else known.evaluations
    for _ in range(MAX_EVALUATIONS):
        index = active.nonzero()[:, 0]
        if len(index) == 0:
            break
        found = _asked(margins, index, guess[index])
        evaluations += len(index)
        _update(bracket, index, guess[index], found, known is None)
        narrow = torch.isfinite(bracket.high) & (bracket.high - bracket.low <= tolerance * bracket.high)
        done = active & (narrow | (bracket.low >= largest))
        active = active & ~done
        guess = _propose(bracket, largest, growth)
        if progress is not None and bool(done.any()):
            progress(int(done.sum()))
    # Where not even the input itself is proved, no radius above 0 was tried.
    failed = torch.where(at_zero > 0, bracket.high, zero.clone())
    failed = torch.where(bracket.low >= largest, math.inf, failed)
    return Radii(bracket.low, failed, bracket.margin, tolerance, evaluations)


def certified_radius(
    model: RecurrentClassifier,
    center: Tensor,
    direction: Tensor,
    specification: Specification,
    *,
    p: float = math.inf,
    clip: Clip | None = None,
    clip_bound: str = "exact",
    largest: float | None = None,
    tolerance: float = 1e-3,
    options: Options | None = None,
    progress: Callable[[int], None] | None = None,
    lengths: Tensor | None = None,
) -> Radii:
    """Search r so that the frame balls with radii r * direction[b, t] are proved.

    largest: by default the width of the clip range, or 8 times the largest data value, see `largest_radius`. lengths
    (batch,): how many frames count. Other arguments and errors: `search_radius`, `gpu_engine.inputs.FrameBalls`.
    """
    if direction.shape != center.shape[:2] or bool((direction < 0).any()):
        raise SpecificationError(
            f"direction has shape {tuple(direction.shape)}; "
            f"it needs one weight >= 0 per sample and frame, {tuple(center.shape[:2])}"
        )

    def balls(index: Tensor, radius: Tensor) -> FrameBalls:
        return FrameBalls(center[index], radius[:, None] * direction[index], p, clip, clip_bound)

    largest = largest_radius(center, p, clip) if largest is None else largest
    asked = _Asked(model, balls, specification, lengths)
    return asked.search(options, largest, tolerance, progress, direction.amax(1) > 0)


def certified_sequence_radius(
    model: RecurrentClassifier,
    center: Tensor,
    specification: Specification,
    *,
    p: float = math.inf,
    clip: Clip | None = None,
    moves: Tensor | None = None,
    clip_bound: str = "exact",
    largest: float | None = None,
    tolerance: float = 1e-3,
    options: Options | None = None,
    progress: Callable[[int], None] | None = None,
    lengths: Tensor | None = None,
) -> Radii:
    """Search r so that one ball of radius r around the whole sequence is proved.

    largest: by default a ball that holds every sequence of the clip range, see `largest_radius`. Other arguments
    and errors: `search_radius`, `gpu_engine.inputs.SequenceBall`.
    """

    def ball(index: Tensor, radius: Tensor) -> SequenceBall:
        return SequenceBall(center[index], radius, p, clip, None if moves is None else moves[index], clip_bound)

    largest = largest_radius(center.flatten(1)[:, None], p, clip) if largest is None else largest
    asked = _Asked(model, ball, specification, lengths)
    return asked.search(options, largest, tolerance, progress, None if moves is None else moves.any(1))


def certified_scale(
    model: RecurrentClassifier,
    boxes: Boxes,
    specification: Specification,
    *,
    center: Tensor | None = None,
    largest: float | None = None,
    tolerance: float = 1e-3,
    options: Options | None = None,
    progress: Callable[[int], None] | None = None,
    lengths: Tensor | None = None,
) -> Radii:
    """Search s so that the boxes, scaled by s about a point of theirs, are proved. s = 1 are the boxes themselves.

    center (batch, time, input): the point that stays, by default the midpoint. largest: by default the scale at which
    the widest side is 8 times the largest data value. Other arguments and errors: `search_radius`.
    """
    center = boxes.center if center is None else center
    if center.shape != boxes.lower.shape or bool(((center < boxes.lower) | (center > boxes.upper)).any()):
        raise SpecificationError(
            f"the boxes cannot be scaled about a center of shape {tuple(center.shape)} unless it lies in them; "
            f"give a point of every box, {tuple(boxes.lower.shape)}"
        )

    def scaled(index: Tensor, scale: Tensor) -> Boxes:
        return scaled_boxes(boxes.select(index), center[index], scale)

    width = (boxes.upper - boxes.lower).amax((1, 2))
    if largest is None:
        largest = largest_radius(center, math.inf, None) / (float(width.max()) or 1.0)
    return _Asked(model, scaled, specification, lengths).search(options, largest, tolerance, progress, width > 0)


def scaled_boxes(boxes: Boxes, center: Tensor, scale: Tensor) -> Boxes:
    """center + scale * (boxes - center), rounded outward: it holds the exact scaled box, and at scale 1 the boxes.

    center (batch, time, input), a point of each box; scale (batch,) >= 0. Every operation is monotone, also rounded,
    so a smaller scale gives a smaller box. Sides that end at the center stay there, exactly.
    """
    factor = scale[:, None, None]

    def reach(distance: Tensor) -> Tensor:
        grown = _above(factor * _above(distance))
        return torch.where((distance > 0) & (factor > 0), grown, 0.0)

    under, over = reach(center - boxes.lower), reach(boxes.upper - center)
    lower = torch.where(under > 0, -_above(under - center), center)
    upper = torch.where(over > 0, _above(center + over), center)
    return Boxes(lower, upper)


@dataclass(frozen=True)
class _Asked:
    """The question at every radius. family: the sets of some samples with a radius each."""

    model: RecurrentClassifier
    family: Callable[[Tensor, Tensor], InputSet]
    specification: Specification
    lengths: Tensor | None

    def search(
        self,
        options: Options | None,
        largest: float,
        tolerance: float,
        progress: Callable[[int], None] | None,
        movable: Tensor | None,
    ) -> Radii:
        """Bounds first; then proofs by contradiction, where they are asked for, go on from what bounds have proved."""
        chosen, batch = options or Options(), len(self.specification)
        check_reading(chosen, self.specification)
        quick = replace(chosen, suppose=0)
        told = None if chosen.suppose else progress
        found = search_radius(partial(self.margins, quick), batch, largest, tolerance, told, movable)
        if not chosen.suppose:
            return found
        return search_radius(partial(self.margins, chosen), batch, largest, tolerance, progress, movable, found)

    def margins(self, options: Options, index: Tensor, radius: Tensor) -> Tensor:
        some = None if self.lengths is None else self.lengths[index]
        specification = self.specification.select(index)
        try:
            return certify(self.model, self.family(index, radius), specification, options, lengths=some).margin
        except NumericalError:
            # Bounds overflow at a radius that is far too large for one of the samples: nothing is proved there.
            if len(index) > 1:
                return torch.cat(
                    [self.margins(options, index[k : k + 1], radius[k : k + 1]) for k in range(len(index))]
                )
            if float(radius[0]) == 0:
                raise
            return torch.full_like(radius, -math.inf)


def _asked(margins: Margins, index: Tensor, radius: Tensor) -> Tensor:
    found = margins(index, radius)
    if bool(torch.isnan(found).any()):
        place = int(torch.isnan(found).nonzero()[0, 0])
        raise NumericalError(
            f"sample {int(index[place])}: the margin at radius {radius[place].item()} is not a number; "
            "nothing is claimed"
        )
    return found


def _above(x: Tensor) -> Tensor:
    return torch.nextafter(x, torch.full_like(x, math.inf))


def _update(bracket: _Bracket, index: Tensor, radius: Tensor, margin: Tensor, smooth: bool = True) -> None:
    """smooth: whether the interpolation may use the margins, or their signs alone."""
    proved = margin > 0
    found = margin if smooth else torch.where(proved, 1.0, -1.0).to(margin.dtype)
    side = torch.where(proved, 1.0, -1.0).to(found.dtype)
    repeated = bracket.last_side[index] == side
    # Illinois: the end that stays twice in a row has its margin halved, which pulls the next guess to it.
    low_weight = torch.where(~proved & repeated, bracket.low_weight[index] / 2, bracket.low_weight[index])
    high_weight = torch.where(proved & repeated, bracket.high_weight[index] / 2, bracket.high_weight[index])
    bracket.margin[index] = torch.where(proved, margin, bracket.margin[index])
    bracket.low[index] = torch.where(proved, radius, bracket.low[index])
    bracket.low_weight[index] = torch.where(proved, found, low_weight)
    bracket.high[index] = torch.where(proved, bracket.high[index], radius)
    bracket.high_weight[index] = torch.where(proved, high_weight, found)
    bracket.last_side[index] = side
    bracket.repeats[index] = torch.where(repeated, bracket.repeats[index] + 1, 1.0)


def _propose(bracket: _Bracket, largest: float, growth: float = 2.0) -> Tensor:
    """growth: of the lower end, as long as nothing failed."""
    low, high = bracket.low, bracket.high
    width = high - low
    share = bracket.low_weight / (bracket.low_weight - bracket.high_weight)
    share = torch.nan_to_num(share, nan=0.5).clamp(KEEP_OFF, 1 - KEEP_OFF)
    # Nothing is known of the order of magnitude yet while the lower end is 0.
    halving = torch.where(low > 0, 0.5, KEEP_OFF)
    share = torch.where(bracket.repeats >= PATIENCE, halving, share)
    inside = low + share * width
    growing = (growth * low).clamp(max=largest)
    return torch.where(torch.isinf(high), growing, inside)
