"""C&W-Ada: the margin made small until the input is misclassified, then the perturbation's largest frame norm.

Method card
    Source     Ko et al. (2019), POPQORN, appendix B.3: C&W-Ada, which minimises q + (v + c) max_t ||delta_t||_p with
               q = max(margin, 0) and v = 1 where q = 0; Carlini and Wagner (2017), "Towards evaluating the robustness
               of neural networks", section VI: for l_inf a penalty on what exceeds a threshold that shrinks.
    Departure  The largest frame norm moves by proximal steps, not by its subgradient: its proximal map is the
               projection onto the ball of a threshold tau below the present norm. The subgradient of l_inf would move
               one coordinate a step; the map is the shrinking threshold of C&W's l_inf for every norm, and
               soft-thresholding for l_1 (EAD, Chen et al. 2018).
               The trade-off constant is searched for each sample in its dual form, the threshold: it falls where the
               input is misclassified and rises where it is not, by a rate that shrinks (as in DDN, Rony et al. 2019,
               and FMN, Pintor et al. 2021). B.3 fixes c; C&W search it, with a whole run for every value.
               Steps on the margin are the steepest of the norm instead of Adam's, and are made once misclassified,
               too: inside the ball of tau they cost nothing.
               The first run is on the margin, each later one on one row (B.3 has a target as well): first those that
               are nearest to first order. Values are cut to the clip range; a change of variables by tanh would stand
               still at its ends, where most pixels are. At the end the segment to the center is searched.
    Libraries  Foolbox, ART and torchattacks have C&W for l_2 (ART: l_inf, too) over the whole input. As far as known,
               none has a norm for each frame with weights, specification rows or sequences of different lengths, nor
               sizes that are rounded outward, which an upper bound beside certified radii needs. Where both apply (one
               ball around the sequence), mean radii on mnist_04f_032h_1l, the 28 right ones of the first 30 samples:
               l_2 0.782 here; Foolbox 3.3.4: C&W 0.908, DDN 0.790, FMN 1.461; l_inf 0.0509 here, FMN 0.0549.
    Sound?     the radius is the measured size of an input whose margin was computed afresh; it is an upper bound of the
               true one. That nothing was found proves nothing.
    Shapes     inputs and results (batch, time, input).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gpu_engine.attacks.base import RadiusAttack
from gpu_engine.attacks.bisection import nearest_on_segment
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest, smallest_at
from gpu_engine.attacks.goals import goal_gradient, goals
from gpu_engine.attacks.perturbation import Perturbation
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SpecificationError

STEPS = 150
TARGETS = 5
# Lengths of steps on the margin in shares of the threshold, and rates at which the threshold moves: first and last.
STEP_LENGTHS = (1.0, 0.01)
RATES = (0.05, 0.002)
# For l_1, the shares of a frame's coordinates that one step moves; at least one does.
COORDINATES = (0.05, 0.0)
# Rows, least ones first, whose distance to first order is computed.
RANKED = 16
# The least threshold, as a share of the largest radius: one that fell to 0 could not rise again.
LEAST_THRESHOLD = 1e-9


@dataclass(frozen=True)
class CWAda(RadiusAttack):
    """steps: gradients a run; targets: runs on single rows, after the one on the margin. Raises SpecificationError.

    Randomness enters only where a gradient vanishes, and is the same for all samples of a batch.
    """

    name: ClassVar[str] = "cw"

    steps: int = STEPS
    targets: int = TARGETS

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise SpecificationError(f"C&W-Ada: steps is {self.steps}; give a whole number from 1 on")
        if self.targets < 0:
            raise SpecificationError(f"C&W-Ada: targets is {self.targets}; give a whole number from 0 on")

    def smallest(self, question: Question, family: BallFamily, generator: torch.Generator) -> Smallest:
        """See `RadiusAttack.smallest`: radius 0 where the center is misclassified, infinity where nothing was found."""
        moved = Perturbation(family, question.lengths)
        # Drawn for all samples alike, and whether needed or not: no sample's result depends on the others.
        stirs = [moved.random_direction(generator) for _ in range(1 + self.targets)]
        index = ((question.center_margins(family.center) > 0) & moved.movable).nonzero()[:, 0]
        x = family.center.clone()
        if len(index) > 0:
            search = _Search(question.select(index), family.select(index), self.steps)
            for goal, stir in zip(search.aims(self.targets), stirs, strict=False):
                search.run(goal, stir[index])
            x[index] = nearest_on_segment(search.question, search.family.center, search.best)
        return smallest_at(question, family, x)


class _Search:
    """One run after the other; best (batch, time, input), size (batch,): the smallest misclassified input so far."""

    def __init__(self, question: Question, family: BallFamily, steps: int) -> None:
        self.question, self.family, self.steps = question, family, steps
        self.moved, self.largest = Perturbation(family, question.lengths), family.reaches()
        self.best = family.center.clone()
        self.size = torch.full((len(family),), math.inf, dtype=torch.float64, device=family.center.device)

    def aims(self, targets: int) -> list[Tensor]:
        """Goals of the runs, each (batch,): -1, the margin, and then the nearest rows."""
        center = self.family.center
        with torch.no_grad():
            values = goals(self.question, self.question.rows(center))
        margin = torch.full_like(values[:, 0], -1, dtype=torch.int64)
        if values.shape[1] == 1:
            return [margin]
        least = values.argsort(dim=1, stable=True)[:, :RANKED]
        distances = torch.stack([self._distance(goal) for goal in least.T], dim=1)
        nearest = least.gather(1, distances.argsort(dim=1, stable=True))
        return [margin, *nearest[:, :targets].T]

    def _distance(self, goal: Tensor) -> Tensor:
        """The radius at which the goal's value would be 0 if it were linear, (batch,); infinity without a slope."""
        _, value, slope = goal_gradient(self.question, self.family.center, goal)
        way = self.moved.steepest(slope, self.family.center, COORDINATES[0])
        fall = -(way * slope).sum((1, 2))
        return torch.where(fall > 0, value / torch.where(fall > 0, fall, 1.0), math.inf).clamp(min=0.0)

    def run(self, goal: Tensor, stir: Tensor) -> None:
        """From the center; stir (batch, time, input): the direction taken where the gradient vanishes."""
        center, moved = self.family.center, self.moved
        least = LEAST_THRESHOLD * self.largest
        x, own = center, torch.full_like(self.size, math.inf)
        threshold = torch.minimum(self._distance(goal), self.size).clamp(least, self.largest)
        for step in range(self.steps):
            length, rate, coordinates = (_cooled(ends, step / self.steps) for ends in _SCHEDULES)
            margin, _, slope = goal_gradient(self.question, x, goal)
            broken = margin <= 0
            size = torch.where(broken, self.family.size(x), math.inf)
            self._keep(x, size)
            own = torch.minimum(own, size)
            threshold = torch.where(broken, torch.minimum(threshold, own) * (1 - rate), threshold * (1 + rate))
            threshold = torch.minimum(torch.minimum(threshold, own * (1 - RATES[1])), self.size)
            threshold = threshold.clamp(least, self.largest)
            way = moved.steepest(slope, x, coordinates)
            way = torch.where((way == 0).all(-1).all(-1)[:, None, None], stir, way)
            x = moved.within(x + length * threshold[:, None, None] * way, threshold)
        self._keep(x, torch.where(self.question.plain_margins(x) <= 0, self.family.size(x), math.inf))

    def _keep(self, x: Tensor, size: Tensor) -> None:
        smaller = size < self.size
        self.best = torch.where(smaller[:, None, None], x, self.best)
        self.size = torch.where(smaller, size, self.size)


_SCHEDULES = (STEP_LENGTHS, RATES, COORDINATES)


def _cooled(ends: tuple[float, float], share: float) -> float:
    """From the first end to the last along half a cosine."""
    first, last = ends
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
