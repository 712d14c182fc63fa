"""A ball around every frame.

Method card
    Claim      `concretize(rows, t)` <= rows . (x_t - center_t) for every x_t of the frame's ball, cut or not.
    Source     POPQORN (Ko et al. 2019), section 3.2.
    Idea       p = infinity is a box (`box`); else minus radius times the dual norm; a cut ball: `norms.cut_ball`.
    Sound?     yes; rounding of the sums is charged by the caller.
    Tight?     yes; with clip_bound `simple` only where the better of whole ball and whole box is.
    Shapes     rows (batch or 1, spec, input) -> (batch, spec).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.inputs import FrameBalls
from gpu_engine.propagation.input_sets.box import PreparedBox, between
from gpu_engine.propagation.input_sets.norms import cut_ball, dual_norm
from gpu_engine.propagation.input_sets.prepared import PreparedInput, ball_ends, distance_up, outward_box


@dataclass(frozen=True)
class PreparedFrameBalls(PreparedInput):
    """radius (batch, time).

    below_center, above_center (batch, time, input): how far a coordinate can lie under and over the center.
    """

    radius: Tensor
    below_center: Tensor
    above_center: Tensor
    p: float
    is_cut: bool
    exact_cut: bool

    def magnitude(self) -> Tensor:
        return torch.maximum(self.below_center, self.above_center)

    def concretize(self, rows: Tensor, t: int) -> Tensor:
        radius = self.radius[:, t, None]
        if not self.is_cut:
            return -radius * dual_norm(rows.abs(), self.p)
        room = torch.where(rows > 0, self.below_center[:, t, None, :], self.above_center[:, t, None, :])
        return -cut_ball(rows.abs(), room, radius, self.p, exact=self.exact_cut)


def prepare_frame_balls(balls: FrameBalls, dtype: torch.dtype) -> PreparedBox | PreparedFrameBalls:
    """Round outward into the engine's dtype."""
    radius = balls.radius[..., None].expand_as(balls.center)
    lower, upper = ball_ends(balls.center, radius, balls.clip)
    if math.isinf(balls.p):
        return between(lower, upper, torch.where(radius > 0, lower + (upper - lower) / 2, balls.center), dtype)
    center = balls.center.to(dtype)
    exact = center.to(torch.float64)
    # The centre may have moved by rounding to dtype: the ball grows by that l_p distance, which is at most
    # n^(1/p) times the largest coordinate's.
    shift = (exact - balls.center).abs().amax(-1)
    grown = balls.radius + shift * balls.center.shape[-1] ** (1 / balls.p)
    return PreparedFrameBalls(
        center=center,
        box=outward_box(lower, upper, dtype),
        radius=distance_up(grown, shift == 0, dtype),
        below_center=distance_up(exact - lower, lower == exact, dtype),
        above_center=distance_up(upper - exact, upper == exact, dtype),
        p=balls.p,
        is_cut=balls.clip is not None,
        exact_cut=balls.clip_bound == "exact",
    )
