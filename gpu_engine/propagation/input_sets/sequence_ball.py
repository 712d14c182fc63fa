"""One ball around the whole sequence.

Method card
    Claim      `concretize_all(rows)` <= sum_t rows[t] . (x_t - center_t) for every x of the ball, cut or not.
    Source     POPQORN (Ko et al. 2019), section 3.2, on the concatenated frames; lemma `sequence_ball`.
    Idea       the dual norm of the concatenation is the dual norm of the frames' dual norms, so rows need not be
               copied. A cut ball: `norms.cut_ball` of the concatenation. p = infinity: frames are independent (`box`).
               Frames that stay are left out; what their center lost by rounding to a narrow dtype is paid as a box.
    Sound?     yes; rounding of the sums is charged by the caller, see `summands`.
    Tight?     yes; with clip_bound `simple` only where the better of whole ball and whole box is.
    Shapes     rows[t] (batch or 1, spec, input) -> (batch, spec).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gpu_engine.inputs import FrameBalls, SequenceBall
from gpu_engine.propagation.input_sets.box import PreparedBox
from gpu_engine.propagation.input_sets.frame_balls import PreparedFrameBalls, prepare_frame_balls
from gpu_engine.propagation.input_sets.norms import cut_ball, dual_norm
from gpu_engine.propagation.input_sets.prepared import (
    PreparedInput,
    ball_ends,
    distance_up,
    outward_box,
    require_rows,
)

# Roundings of the second dual norm and of the sum of a bound's two parts, as summands; lemma `concretize_rounding`.
EXTRA_SUMMANDS = 8


@dataclass(frozen=True)
class PreparedSequenceBall(PreparedInput):
    """radius (batch,); moves (batch, time) as 1 and 0 in the dtype, None for all frames.

    below_center, above_center (batch, time, input): how far a coordinate can lie from the center. fixed_rooms: some
    frame that stays has a center that is not exact in the dtype.
    """

    radius: Tensor
    below_center: Tensor
    above_center: Tensor
    moves: Tensor | None
    fixed_rooms: bool
    p: float
    is_cut: bool
    exact_cut: bool

    per_frame: ClassVar[bool] = False

    @property
    def summands(self) -> int:
        _, time, size = self.center.shape
        return (time * size if self.is_cut else time + size) + EXTRA_SUMMANDS

    def magnitude(self) -> Tensor:
        return torch.maximum(self.below_center, self.above_center)

    def concretize(self, rows: Tensor, t: int) -> Tensor:
        """For this frame alone; the sum over frames is `concretize_all`, not the sum of these."""
        return self.concretize_all({t: rows})

    def concretize_all(self, rows: Mapping[int, Tensor]) -> Tensor:
        require_rows(rows)
        batch = max(on_frame.shape[0] for on_frame in rows.values())
        rows = {t: on_frame.expand(batch, -1, -1) for t, on_frame in rows.items()}
        moving = {t: on_frame.abs() * self._share(t) for t, on_frame in rows.items()}
        radius = self.radius[:, None]
        if self.is_cut:
            size = torch.cat(list(moving.values()), dim=-1)
            room = torch.cat([self._room(on_frame, t) for t, on_frame in rows.items()], dim=-1)
            bound = cut_ball(size, room, radius, self.p, exact=self.exact_cut)
        else:
            norms = torch.stack([dual_norm(size, self.p) for size in moving.values()], dim=-1)
            bound = radius * dual_norm(norms, self.p)
        return -bound - self._fixed(rows) if self.fixed_rooms else -bound

    def _share(self, t: int) -> Tensor | float:
        """1 for samples in which the frame moves, else 0."""
        return 1.0 if self.moves is None else self.moves[:, t, None, None]

    def _room(self, rows: Tensor, t: int) -> Tensor:
        return torch.where(rows > 0, self.below_center[:, t, None, :], self.above_center[:, t, None, :])

    def _fixed(self, rows: Mapping[int, Tensor]) -> Tensor:
        """What the rounded centers of the frames that stay can cost, (batch, spec)."""
        size = self.magnitude()
        if self.moves is None:
            raise ValueError("frames stay only where `moves` says so")
        size = size * (1 - self.moves)[..., None]
        return torch.stack([(row.abs() @ size[:, t, :, None])[..., 0] for t, row in rows.items()]).sum(0)


def prepare_sequence_ball(
    ball: SequenceBall, dtype: torch.dtype
) -> PreparedBox | PreparedFrameBalls | PreparedSequenceBall:
    """Round outward into the engine's dtype."""
    moves = torch.ones_like(ball.center[:, :, 0], dtype=torch.bool) if ball.moves is None else ball.moves
    per_frame = torch.where(moves, ball.radius[:, None], 0.0)
    if math.isinf(ball.p):
        return prepare_frame_balls(FrameBalls(ball.center, per_frame, ball.p, ball.clip), dtype)
    lower, upper = ball_ends(ball.center, per_frame[..., None].expand_as(ball.center), ball.clip)
    center = ball.center.to(dtype)
    exact = center.to(torch.float64)
    # As in `prepare_frame_balls`, over the frames that move.
    shift = ((exact - ball.center).abs() * moves[..., None]).amax((1, 2))
    grown = ball.radius + shift * ball.center[0].numel() ** (1 / ball.p)
    return PreparedSequenceBall(
        center=center,
        box=outward_box(lower, upper, dtype),
        radius=distance_up(grown, shift == 0, dtype),
        below_center=distance_up(exact - lower, lower == exact, dtype),
        above_center=distance_up(upper - exact, upper == exact, dtype),
        moves=None if ball.moves is None else moves.to(dtype),
        fixed_rooms=bool(((exact != ball.center) & ~moves[..., None]).any()),
        p=ball.p,
        is_cut=ball.clip is not None,
        exact_cut=ball.clip_bound == "exact",
    )
