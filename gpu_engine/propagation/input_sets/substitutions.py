"""Frames that may be replaced by candidates.

Method card
    Claim      `concretize(rows, t)` <= rows . (x_t - center_t) for every x_t in the convex hull of the frame and its
               candidates.
    Source     the least value of a linear form on a hull is at a vertex, lemma `substitution_hull`.
    Idea       the vectors' differences to the center; one product with the rows, then the least.
    Sound?     yes; rounding of differences and sums is charged by the caller.
    Tight?     yes on the hull, and so on the finite set; frames are independent, so their minima add up.
    Shapes     rows (batch or 1, spec, input) -> (batch, spec).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Substitutions
from gpu_engine.propagation.input_sets.prepared import PreparedInput, distance_up, outward_box
from gpu_engine.rounding import tiny


@dataclass(frozen=True)
class PreparedSubstitutions(PreparedInput):
    """differences (batch, time, 1 + K, input): frame and candidates minus center; reach (batch, time, input)."""

    differences: Tensor
    reach: Tensor

    def magnitude(self) -> Tensor:
        return self.reach

    def concretize(self, rows: Tensor, t: int) -> Tensor:
        return (rows @ self.differences[:, t].transpose(-1, -2)).amin(-1)


def prepare_substitutions(inputs: Substitutions, dtype: torch.dtype) -> PreparedSubstitutions:
    """Round outward into the engine's dtype; the differences are rounded to nearest, which the caller charges."""
    itself = inputs.center[:, :, None]
    # A candidate that is not allowed becomes the frame itself, which always is.
    vectors = torch.cat([itself, torch.where(inputs.allowed[..., None], inputs.candidates, itself)], dim=2)
    center = inputs.center.to(dtype)
    exact = center.to(torch.float64)[:, :, None]
    differences = vectors - exact
    lost = (differences != 0) & (differences.abs() < tiny(dtype))
    if bool(lost.any()):
        index = [int(i) for i in lost.nonzero()[0]]
        raise SpecificationError(
            f"candidate{index[:2]} differs from its frame by {differences[tuple(index)].item()!r}, less than the "
            f"smallest normal number of {dtype}, in value {index[3]}; use float64, or make them equal"
        )
    return PreparedSubstitutions(
        center=center,
        box=outward_box(vectors.amin(2), vectors.amax(2), dtype),
        differences=differences.to(dtype),
        reach=distance_up(differences.abs(), vectors == exact, dtype).amax(2),
    )
