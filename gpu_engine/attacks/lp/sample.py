"""One sample of an LP search: its network, its budget, its clock, and the best input so far.

Every program's solution is an input first: it is clipped, run through the plain forward pass in float64, and kept only
where it breaks the specification and is smaller than what was kept before.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.lp.highs import Deadline
from gpu_engine.attacks.lp.lazy import solve_lazily
from gpu_engine.attacks.lp.program import OPTIMAL, STATUSES, Answer, Budget, Program
from gpu_engine.attacks.lp.region import Array, Flags, Region, region_of
from gpu_engine.attacks.lp.targets import Target
from gpu_engine.attacks.question import Question
from gpu_engine.steps import Tape

# How far the row has to break, in units of its steepest coordinate; the next one is tried where the forward pass, which
# rounds in another order, does not confirm the sign.
STRICTNESS: Final = (1e-8, 1e-6, 1e-4)
# An improvement has to be larger than this, relative to the radius; smaller ones are the solver's inaccuracy.
GAIN: Final = 1e-6


@dataclass(frozen=True)
class Best:
    """A confirmed input, and the program whose optimum it is. x (time, input); size: of the ball that holds it."""

    x: Array
    size: float
    region: Region
    target: Target
    answer: Answer


class Sample:
    """question and family of one sample; frames: how many of its frames count; seconds: for all its programs."""

    def __init__(
        self, question: Question, family: BallFamily, tape: Tape, frames: int, seconds: float | None = None
    ) -> None:
        self.question, self.family, self.tape, self.frames = question, family, tape, frames
        self.deadline = Deadline.after(seconds)
        self.center: Array = family.center[0].cpu().numpy()
        weight = family.weight[0].cpu().numpy()
        self.moves: Flags = np.zeros(self.center.shape, dtype=bool)
        self.moves[:frames] = (weight[:frames] > 0)[:, None]
        self.budget = _budget(family, weight, self.moves, self.center)
        self.ends: Counter[str] = Counter(dict.fromkeys(STATUSES, 0))
        self.unconfirmed = 0
        self.restricted = math.inf
        self.best: Best | None = None

    @property
    def most(self) -> float:
        """The radius that an answer has to stay below."""
        return math.inf if self.best is None else self.best.size * (1 - GAIN)

    def region(self, point: Array | None = None, active: Flags | None = None) -> Region:
        """The region of a point (time, input), or with these sides."""
        point = None if point is None else point[: self.frames]
        return region_of(self.tape, self.center[: self.frames], self.moves[: self.frames], point, active)

    def attempt(self, region: Region, target: Target) -> bool:
        """Solve one program; whether its input is confirmed and better than the best, which it then replaces."""
        for strictness in STRICTNESS:
            program = Program(region, self.budget, target.rows, target.offset, strictness)
            answer = solve_lazily(program, self.deadline, self.most)
            self.ends[answer.status] += 1
            if answer.status != OPTIMAL:
                return False
            x = self.input_of(answer.delta)
            margin, size = self.judge(x)
            if margin <= 0 and math.isfinite(size):
                if size >= self.most:
                    return False
                self.best = Best(x, size, region, target, answer)
                return True
        self.unconfirmed += 1
        return False

    def input_of(self, delta: Array) -> Array:
        """center + delta inside the clip range, (time, input)."""
        x = self.center.copy()
        x[self.moves] += delta
        if self.family.clip is not None:
            x[self.moves] = x[self.moves].clip(*self.family.clip)
        return x

    def judge(self, x: Array) -> tuple[float, float]:
        """Margin by the plain forward pass, infinity where that overflows, and size of the least ball that holds x."""
        given = torch.from_numpy(x)[None].to(self.family.center.device)
        return float(self.question.plain_margins(given)[0]), float(self.family.size(given)[0])


def _budget(family: BallFamily, weight: Array, moves: Flags, center: Array) -> Budget:
    """The family as a budget over the moving coordinates; a ball around the sequence is one group."""
    frame = np.nonzero(moves)[0]
    if family.shared:
        group, shares = np.zeros(len(frame), dtype=np.int64), np.ones(min(len(frame), 1))
    else:
        present, group = np.unique(frame, return_inverse=True)
        group, shares = group.astype(np.int64), weight[present]
    low, high = (-math.inf, math.inf) if family.clip is None else family.clip
    return Budget(family.p, group, shares, low - center[moves], high - center[moves])
