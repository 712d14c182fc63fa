"""Sets that are boxes: every coordinate at its worst end.

Method card
    Claim      `concretize(rows, t)` <= rows . (x_t - center_t) for every x of the box.
    Source     POPQORN (Ko et al. 2019), section 3.2, p = infinity.
    Idea       center is the rounded midpoint, so one half-width serves both ends: a.x >= -|a| . half_width.
    Sound?     yes; rounding of the sum is charged by the caller. Tight? yes, up to the rounding of the midpoint.
    Shapes     rows (batch or 1, spec, input) -> (batch, spec).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.inputs import Boxes
from gpu_engine.propagation.input_sets.prepared import PreparedInput, distance_up, outward_box


@dataclass(frozen=True)
class PreparedBox(PreparedInput):
    """half_width (batch, time, input): how far a coordinate can lie from the center."""

    half_width: Tensor

    def magnitude(self) -> Tensor:
        return self.half_width

    def concretize(self, rows: Tensor, t: int) -> Tensor:
        return -(rows.abs() @ self.half_width[:, t, :, None])[..., 0]


def prepare_boxes(boxes: Boxes, dtype: torch.dtype) -> PreparedBox:
    """Round outward into the engine's dtype."""
    return between(boxes.lower, boxes.upper, boxes.center, dtype)


def between(lower: Tensor, upper: Tensor, middle: Tensor, dtype: torch.dtype) -> PreparedBox:
    """The box with these float64 ends, seen from about `middle`, all (batch, time, input)."""
    center = middle.to(dtype)
    exact = center.to(torch.float64)
    under = distance_up(exact - lower, lower == exact, dtype)
    over = distance_up(upper - exact, upper == exact, dtype)
    return PreparedBox(center, outward_box(lower, upper, dtype), torch.maximum(under, over))
