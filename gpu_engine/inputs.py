"""Input sets: all the sequences that one question is about.

A frame is the vector of `input` values that the network reads at one time step. Radii are in the unit of the data
as the network reads it. Every set holds float64 tensors with one set per sample of the batch; `select` takes some of
the samples, `first_frames` some of the frames, `to` moves the tensors to a device, `center` is a point of the set,
(batch, time, input).
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context, Decimal, localcontext
from typing import Final

import torch
from torch import Tensor

from gpu_engine.errors import SpecificationError

Clip = tuple[float, float]
"""The valid range (low, high) of the data; it cuts a ball."""

CLIP_BOUNDS: Final = ("exact", "simple")
"""How the minimum over a ball cut by a clip range is bounded, for every norm but l_inf, where the cut is a box and
the bound exact: `exact`, the minimum itself; `simple`, the better of the whole ball and the whole box, which is sound
(the cut ball lies in both), faster, and below the minimum wherever the cut matters for only a part of the coordinates.
"""


@dataclass(frozen=True)
class FrameBalls:
    """Every frame t of sample b may move inside an l_p ball of its own radius around center[b, t].

    center (batch, time, input) float64; radius (batch, time) float64, zero fixes a frame;
    p: any real >= 1 or math.inf; clip: an optional valid range (low, high) that cuts every ball; clip_bound: one of
    CLIP_BOUNDS. Raises SpecificationError. Source: POPQORN (Ko et al. 2019), section 2, with one radius per frame.
    """

    center: Tensor
    radius: Tensor
    p: float = math.inf
    clip: Clip | None = None
    clip_bound: str = "exact"

    def __post_init__(self) -> None:
        _check_ball(self.center, self.p, self.clip, self.clip_bound)
        _check_radius(self.radius, self.center.shape[:2], "one value per sample and frame")

    @property
    def time(self) -> int:
        return self.center.shape[1]

    def __len__(self) -> int:
        return self.center.shape[0]

    def select(self, index: Tensor | slice) -> FrameBalls:
        """The input sets of some of the samples."""
        return FrameBalls(self.center[index], self.radius[index], self.p, self.clip, self.clip_bound)

    def first_frames(self, time: int) -> FrameBalls:
        """The same sets, seen on their first frames only; for sequences that end there."""
        return FrameBalls(self.center[:, :time], self.radius[:, :time], self.p, self.clip, self.clip_bound)

    def to(self, device: torch.device) -> FrameBalls:
        return FrameBalls(self.center.to(device), self.radius.to(device), self.p, self.clip, self.clip_bound)


@dataclass(frozen=True)
class SequenceBall:
    """One l_p ball around the whole sequence: the frames share one budget.

    All x with (sum over t, i of |x[t, i] - center[b, t, i]|^p)^(1/p) <= radius[b], cut to the clip range; frames
    where `moves` is False stay as they are. center (batch, time, input) float64; radius (batch,) float64; p, clip and
    clip_bound as in FrameBalls; moves (batch, time) bool, None for all frames. Raises SpecificationError.
    """

    center: Tensor
    radius: Tensor
    p: float = math.inf
    clip: Clip | None = None
    moves: Tensor | None = None
    clip_bound: str = "exact"

    def __post_init__(self) -> None:
        _check_ball(self.center, self.p, self.clip, self.clip_bound)
        _check_radius(self.radius, self.center.shape[:1], "one value per sample")
        if self.moves is not None:
            _check_mask("moves", self.moves, self.center.shape[:2], "one value per sample and frame")

    @property
    def time(self) -> int:
        return self.center.shape[1]

    def __len__(self) -> int:
        return self.center.shape[0]

    def select(self, index: Tensor | slice) -> SequenceBall:
        """The input sets of some of the samples."""
        moves = None if self.moves is None else self.moves[index]
        return SequenceBall(self.center[index], self.radius[index], self.p, self.clip, moves, self.clip_bound)

    def first_frames(self, time: int) -> SequenceBall:
        """The same sets, seen on their first frames only; for sequences that end there."""
        moves = None if self.moves is None else self.moves[:, :time]
        return SequenceBall(self.center[:, :time], self.radius, self.p, self.clip, moves, self.clip_bound)

    def to(self, device: torch.device) -> SequenceBall:
        moves = None if self.moves is None else self.moves.to(device)
        center, radius = self.center.to(device), self.radius.to(device)
        return SequenceBall(center, radius, self.p, self.clip, moves, self.clip_bound)


@dataclass(frozen=True)
class Boxes:
    """Every value lies between its own two ends: lower <= x <= upper, (batch, time, input) float64, ends included.

    Raises SpecificationError.
    """

    lower: Tensor
    upper: Tensor

    def __post_init__(self) -> None:
        _check_frames("lower", self.lower)
        _check_frames("upper", self.upper)
        if self.lower.shape != self.upper.shape:
            raise SpecificationError(
                f"the boxes' lower ends have shape {tuple(self.lower.shape)}, their upper ends "
                f"{tuple(self.upper.shape)}; both need (batch, time, input)"
            )
        crossed = self.lower > self.upper
        if bool(crossed.any()):
            index = _first(crossed)
            low, high = self.lower[tuple(index)].item(), self.upper[tuple(index)].item()
            raise SpecificationError(f"box{index} is [{low}, {high}], which is empty; give the lower end first")

    @property
    def center(self) -> Tensor:
        """The midpoint, rounded; always a point of the box, (batch, time, input)."""
        middle = self.lower / 2 + self.upper / 2  # the sum itself could overflow
        return torch.minimum(torch.maximum(middle, self.lower), self.upper)

    @property
    def time(self) -> int:
        return self.lower.shape[1]

    def __len__(self) -> int:
        return self.lower.shape[0]

    def select(self, index: Tensor | slice) -> Boxes:
        """The input sets of some of the samples."""
        return Boxes(self.lower[index], self.upper[index])

    def first_frames(self, time: int) -> Boxes:
        """The same sets, seen on their first frames only; for sequences that end there."""
        return Boxes(self.lower[:, :time], self.upper[:, :time])

    def to(self, device: torch.device) -> Boxes:
        return Boxes(self.lower.to(device), self.upper.to(device))


@dataclass(frozen=True)
class Substitutions:
    """Every frame may be replaced, independently of the others, by one of its candidates, or stay as it is.

    center (batch, time, input) float64, the sequence itself; candidates (batch, time, K, input) float64; allowed
    (batch, time, K) bool: candidates that are not allowed are never read (they may hold anything). Bounds hold on the
    convex hull of center and candidates, which a linear form cannot tell from the vectors themselves (lemma
    `substitution_hull`). Raises SpecificationError.
    """

    center: Tensor
    candidates: Tensor
    allowed: Tensor

    def __post_init__(self) -> None:
        _check_frames("center", self.center)
        batch, time, size = self.center.shape
        shape = tuple(self.candidates.shape)
        if len(shape) != 4 or (shape[0], shape[1], shape[3]) != (batch, time, size) or shape[2] == 0:
            raise SpecificationError(
                f"the candidates have shape {shape}; they need (batch, time, K, input) with K >= 1, here "
                f"({batch}, {time}, K, {size})"
            )
        if self.candidates.dtype != torch.float64:
            raise SpecificationError(f"the candidates are {self.candidates.dtype}; give float64")
        _check_mask("allowed", self.allowed, self.candidates.shape[:3], "one value per sample, frame and candidate")
        read = torch.where(self.allowed[..., None], self.candidates, 0.0)
        require_finite("the allowed candidates", read)

    @property
    def time(self) -> int:
        return self.center.shape[1]

    def __len__(self) -> int:
        return self.center.shape[0]

    def select(self, index: Tensor | slice) -> Substitutions:
        """The input sets of some of the samples."""
        return Substitutions(self.center[index], self.candidates[index], self.allowed[index])

    def first_frames(self, time: int) -> Substitutions:
        """The same sets, seen on their first frames only; for sequences that end there."""
        return Substitutions(self.center[:, :time], self.candidates[:, :time], self.allowed[:, :time])

    def to(self, device: torch.device) -> Substitutions:
        return Substitutions(self.center.to(device), self.candidates.to(device), self.allowed.to(device))


InputSet = FrameBalls | SequenceBall | Boxes | Substitutions


def decibel_radius(x: Tensor, decibel: float) -> Tensor:
    """The radius max |x| * 10^(decibel / 20) of each sample, rounded up: a loudness relative to the sample's peak.

    x (batch, time, input) float64 -> (batch,) float64. -90 dB is a radius of 3.2e-5 of the peak.
    Raises SpecificationError. Source: PROVER (Ryou et al. 2021), speech classifiers.
    """
    _check_frames("data", x)
    factor = decibel_factor(decibel)
    peak = x.abs().amax(dim=(1, 2))
    radius = torch.nextafter(peak * factor, torch.full_like(peak, math.inf))  # one rounding, one number up
    radius = torch.where(peak > 0, radius, 0.0)
    require_finite("the decibel radius", radius)
    return radius


def largest_radius(center: Tensor, p: float, clip: Clip | None) -> float:
    """The radius beyond which nothing is tried: its l_p ball holds every frame of the clip range.

    Without a clip range: of a cube of 8 times the largest value of center (batch, time, input), at least 8.
    """
    span = clip[1] - clip[0] if clip is not None else 8 * max(1.0, float(center.abs().max()))
    return float(span * center.shape[2] ** (1 / p))


# Decimal digits in which 10^(decibel / 20) is computed, and the relative error that is allowed for it: decimal powers
# are off by less than one unit in the last of these digits.
_DIGITS: Final = 50
_DIGITS_ERROR: Final = Decimal("1e-45")


def decibel_factor(decibel: float) -> float:
    """A float not below 10^(decibel / 20), and at most two numbers above it."""
    if not math.isfinite(decibel) or decibel > 20 * sys.float_info.max_10_exp:
        raise SpecificationError(f"the loudness is {decibel} dB; give a number that float64 can hold, say -90")
    with localcontext(Context(prec=_DIGITS, rounding=ROUND_CEILING)):
        value = Decimal(10) ** (Decimal(decibel) / 20) * (1 + _DIGITS_ERROR)
    return math.nextafter(float(value), math.inf)


def require_finite(what: str, value: Tensor) -> None:
    """Raise with the index of the first NaN or infinity."""
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        index = _first(bad)
        raise SpecificationError(f"{what}{index} is {value[tuple(index)].item()}; every value must be finite")


def check_norm(p: float) -> None:
    """Raise unless p is a norm's exponent."""
    if not p >= 1:  # catches NaN as well
        raise SpecificationError(f"norm p = {p}: l_p is a norm only for p >= 1; give p >= 1 or inf")


def check_clip(clip: Clip) -> None:
    """Raise unless clip is a range of finite numbers."""
    low, high = clip
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SpecificationError(
            f"clip range [{low}, {high}] is not a range; give two finite numbers, the lower one first"
        )


def check_clip_bound(clip_bound: str) -> None:
    """Raise unless the name is known."""
    if clip_bound not in CLIP_BOUNDS:
        raise SpecificationError(f"clip bound {clip_bound!r} is not known; known: {', '.join(CLIP_BOUNDS)}")


def _check_ball(center: Tensor, p: float, clip: Clip | None, clip_bound: str) -> None:
    check_norm(p)
    check_clip_bound(clip_bound)
    _check_frames("center", center)
    if clip is None:
        return
    check_clip(clip)
    low, high = clip
    outside = (center < low) | (center > high)
    if bool(outside.any()):
        index = _first(outside)
        raise SpecificationError(
            f"data{index} is {center[tuple(index)].item()}, outside the clip range "
            f"[{low}, {high}]; scale the data or widen the range"
        )


def _check_frames(name: str, value: Tensor) -> None:
    if value.ndim != 3 or 0 in value.shape:
        raise SpecificationError(
            f"the input set's {name} has shape {tuple(value.shape)}; it needs (batch, time, input), none of them zero"
        )
    if value.dtype != torch.float64:
        raise SpecificationError(f"the input set's {name} is {value.dtype}; give float64")
    require_finite(f"the input set's {name}", value)


def _check_radius(radius: Tensor, shape: torch.Size, needed: str) -> None:
    if radius.shape != shape:
        raise SpecificationError(
            f"the input set's radius has shape {tuple(radius.shape)}; it needs {needed}, {tuple(shape)}"
        )
    if radius.dtype != torch.float64:
        raise SpecificationError(f"the input set's radius is {radius.dtype}; give float64")
    require_finite("the input set's radius", radius)
    if bool((radius < 0).any()):
        index = _first(radius < 0)
        raise SpecificationError(f"radius{index} is {radius[tuple(index)].item()}; a radius cannot be negative")


def _check_mask(name: str, mask: Tensor, shape: torch.Size, needed: str) -> None:
    if mask.dtype != torch.bool or mask.shape != shape:
        raise SpecificationError(
            f"the input set's {name} is {mask.dtype} of shape {tuple(mask.shape)}; it needs {needed}, "
            f"bool of shape {tuple(shape)}"
        )


def _first(mask: Tensor) -> list[int]:
    return [int(i) for i in mask.nonzero()[0]]
