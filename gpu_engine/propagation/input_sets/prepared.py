"""What back-substitution needs of an input set: the abstract base of all of them, and rounding outward."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.inputs import Clip
from gpu_engine.rounding import INPUT_UNITS, above, below, tiny, unit_roundoff


@dataclass(frozen=True)
class PreparedInput(ABC):
    """An input set as float tensors of the engine's dtype, every rounding outward.

    center (batch, time, input): the point that constants use, near the set's own center; box: the smallest box
    around the set, (batch, time, input), rounded outward. All tensors begin with the batch.
    per_frame: the frames are independent, so that `concretize_all` is the sum of `concretize`.
    """

    center: Tensor
    box: Box

    per_frame: ClassVar[bool] = True

    @property
    def summands(self) -> int:
        """How many summands the charge for rounding has to count per atom of a bound; lemma `concretize_rounding`."""
        return self.center.shape[2]

    @abstractmethod
    def magnitude(self) -> Tensor:
        """max |x_t - center_t| per coordinate, rounded up, (batch, time, input)."""

    @abstractmethod
    def concretize(self, rows: Tensor, t: int) -> Tensor:
        """Lower bounds (batch, spec) of rows . (x_t - center_t), rows (batch or 1, spec, input)."""

    def concretize_all(self, rows: Mapping[int, Tensor]) -> Tensor:
        """Lower bounds (batch, spec) of the sum of rows[t] . (x_t - center_t) over the frames t that are there.

        rows[t] (batch or 1, spec, input); a frame that is missing has zero rows; at least one frame is needed.
        """
        require_rows(rows)
        bounds = [self.concretize(on_frame, t) for t, on_frame in rows.items()]
        return torch.stack(bounds).sum(0) if len(bounds) > 1 else bounds[0]

    def part(self, samples: slice) -> Self:
        """The input sets of some samples."""
        taken: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Tensor):
                taken[one.name] = value[samples]
            elif isinstance(value, Box):
                taken[one.name] = Box(value.lower[samples], value.upper[samples])
        return replace(self, **taken)


def require_rows(rows: Mapping[int, Tensor]) -> None:
    """Raise unless some frame has rows."""
    if not rows:
        raise ValueError("no frame has rows, so the number of rows is not known; the caller's bound is its constant")


def ball_ends(center: Tensor, radius: Tensor, clip: Clip | None) -> tuple[Tensor, Tensor]:
    """Ends of the smallest box around balls cut to the clip range, outward. center, radius (batch, time, input)."""
    moves = radius > 0
    lower = torch.where(moves, below(center - radius), center)
    upper = torch.where(moves, above(center + radius), center)
    if clip is not None:
        lower, upper = lower.clamp(min=clip[0]), upper.clamp(max=clip[1])
    return lower, upper


def outward_box(lower: Tensor, upper: Tensor, dtype: torch.dtype) -> Box:
    """A box of `dtype` around the float64 ends."""
    return Box(cast(lower, dtype, up=False), cast(upper, dtype, up=True))


def distance_up(value: Tensor, exact: Tensor, dtype: torch.dtype) -> Tensor:
    """A number >= 0 of `dtype` not below the real value behind one or two float64 roundings.

    exact: where `value` is that real value. Rounding: `INPUT_UNITS`.
    """
    # In a narrow dtype the centre can lie beyond an end of the box: no room on that side, not a negative one.
    value = value.clamp(min=0.0)
    grown = torch.where(exact, value, value * (1 + INPUT_UNITS * unit_roundoff(torch.float64)))
    grown = torch.where(exact, grown, above(grown))
    found = cast(grown, dtype, up=True)
    # Devices may read subnormal numbers as zero.
    return torch.where(value > 0, found.clamp(min=tiny(dtype)), found)


def cast(value: Tensor, dtype: torch.dtype, *, up: bool) -> Tensor:
    """The float64 value in `dtype`, not below it (up) or not above it."""
    found = value.to(dtype)
    back = found.to(value.dtype)
    if up:
        return torch.where(back < value, above(found), found)
    return torch.where(back > value, below(found), found)
