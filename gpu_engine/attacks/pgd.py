"""PGD with restarts and an adaptive step: the least margin on every kind of input set.

Method card
    Source     Madry et al. (2018), projected gradient descent; Croce and Hein (2020), "Reliable evaluation of
               adversarial robustness", algorithm 1 (APGD): momentum, a step that is halved at checkpoints where it
               brought too little, and then a return to the best point.
    Departure  every input set, through its geometry; the loss is the margin itself, which for a reading of all rows
               later restarts replace by one row each: the second smallest at the center, the third, and so on. The
               first restart begins at the center (or at `start`), and steps from the center straight to the corner of
               the set that the gradient points to; the others begin at random points.
    Sound?     the input returned is a point of the set, its margin that of a plain forward pass; that nothing was
               found proves nothing.
    Shapes     inputs and results (batch, time, input); all restarts of all samples run in one batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from gpu_engine.attacks.base import SetAttack
from gpu_engine.attacks.found import Worst, worst_at
from gpu_engine.attacks.geometry.registry import geometry_of
from gpu_engine.attacks.question import Question
from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import InputSet
from gpu_engine.spec import AllRows, Steps

STEPS = 20
RESTARTS = 9
# Croce and Hein (2020), section 3: lengths in shares of the radius, the share of the new direction in the momentum, and
# the share of steps between two checkpoints that must have brought something.
FIRST_STEP = 2.0
FIRST_STEP_FROM_START = 0.5
NEW_DIRECTION = 0.75
MUST_IMPROVE = 0.75
# The run is packed anew when this share of its rows is done: packing costs about as much as a step.
PACK_AT = 0.25


@dataclass(frozen=True)
class PGD(SetAttack):
    """steps: gradients a restart; restarts >= 1; first_success: no more work on a sample once it is broken.

    Samples do not interact: all of them start from the same draws, so that a sample finds in a batch what it finds
    alone, up to the rounding of matrix products, whose order of summation libraries choose by the batch's size.
    Raises SpecificationError.
    """

    name: ClassVar[str] = "pgd"

    steps: int = STEPS
    restarts: int = RESTARTS
    first_success: bool = False

    def __post_init__(self) -> None:
        for what, value in (("steps", self.steps), ("restarts", self.restarts)):
            if value < 1:
                raise SpecificationError(f"PGD: {what} is {value}; give a whole number from 1 on")

    def until_success(self) -> PGD:
        return replace(self, first_success=True)

    def worst(
        self, question: Question, inputs: InputSet, generator: torch.Generator, start: Tensor | None = None
    ) -> Worst:
        """See `SetAttack.worst`. Never worse than the center, or `start`; without `start`, never worse than FGSM."""
        center, geometry = inputs.center, geometry_of(inputs)
        at_center = Worst(center, question.center_margins(center))
        begin = center if start is None else geometry.inside(start)
        points = [begin]
        for _ in range(self.restarts - 1):
            points.append(torch.where(_is_read(question, center), geometry.random(generator, alike=True), center))
        run = _Run(question, inputs, torch.cat(points), _aims(question, center, self.restarts))
        checkpoints = checkpoints_of(self.steps)
        for k in range(1, self.steps + 1):
            if self.first_success:
                run.pack()
            if len(run.sample) == 0:
                break
            run.move(first=k == 1)
            if k in checkpoints:
                run.check(k)
        return at_center.or_better(worst_at(question, run.found_x))


def checkpoints_of(steps: int) -> list[int]:
    """After which of the steps the step's length is reconsidered; Croce and Hein (2020), section 3."""
    percent = [0, 22]
    while percent[-1] < 100:
        percent.append(percent[-1] + max(percent[-1] - percent[-2] - 3, 6))
    return [-(-share * steps // 100) for share in percent[1:] if share <= 100]


def _is_read(question: Question, x: Tensor) -> Tensor:
    """Frames before the sequence's end, (batch, time, 1); the others would only make a perturbation larger."""
    frames = torch.arange(x.shape[1], device=x.device)[None, :, None]
    return frames < (x.shape[1] if question.lengths is None else question.lengths.to(x.device)[:, None, None])


def _aims(question: Question, center: Tensor, restarts: int) -> Tensor:
    """Which row each run goes after, -1 for the margin; (restarts * batch,), restart by restart."""
    batch = len(question)
    aims = torch.full((restarts, batch), -1, dtype=torch.int64, device=center.device)
    if isinstance(question.specification.reading, AllRows | Steps):
        with torch.no_grad():
            order = question.rows(center).argsort(dim=1, stable=True)
        for restart in range(1, restarts):
            aims[restart] = order[:, restart % order.shape[1]]
    return aims.reshape(-1)


class _Run:
    """All restarts of all samples that still run, one row each; and the best input of every sample."""

    def __init__(self, question: Question, inputs: InputSet, x: Tensor, aim: Tensor) -> None:
        batch = len(question)
        self.all_questions, self.all_inputs = question, inputs
        self.found_x, self.found = inputs.center.clone(), torch.full_like(inputs.center[:, 0, 0], math.inf)
        self.sample = torch.arange(len(x), device=x.device) % batch
        self.from_center = (x == inputs.center[self.sample]).flatten(1).all(1)
        self.x, self.aim, self.previous = x, aim, x
        self._pose()
        self.loss, self.slope = self._look()
        self.step = torch.full_like(self.loss, FIRST_STEP)
        self.step[:batch] = torch.where(self.from_center[:batch], FIRST_STEP, FIRST_STEP_FROM_START)
        self.best_x, self.best_loss, self.best_slope = x, self.loss, self.slope
        # Since the last checkpoint, which was step 0.
        self.last, self.improved = 0, torch.zeros_like(self.aim)
        self.loss_then, self.step_then = self.loss, torch.full_like(self.step, math.inf)

    def _pose(self) -> None:
        self.question, self.geometry = (
            self.all_questions.select(self.sample),
            geometry_of(self.all_inputs.select(self.sample)),
        )

    def _look(self) -> tuple[Tensor, Tensor]:
        """Losses and gradients at x, (rows,) and like x; the margins go to the samples' best."""
        x = self.x.detach().requires_grad_(True)
        with torch.enable_grad():
            rows = self.question.rows(x)
            margin = self.question.specification.margins(rows)
            row = rows.gather(1, self.aim.clamp(min=0)[:, None])[:, 0]
            loss = torch.where(self.aim < 0, margin, row)
            (slope,) = torch.autograd.grad(loss.sum(), x)
        self._keep(margin.detach())
        return loss.detach(), steepness(slope)

    def _keep(self, margin: Tensor) -> None:
        least = self.found.scatter_reduce(0, self.sample, margin, "amin")
        taken = ((margin == least[self.sample]) & (margin < self.found[self.sample])).nonzero()[:, 0].flip(0)
        self.found_x[self.sample[taken]] = self.x[taken]
        self.found = least

    def move(self, first: bool) -> None:
        """One step of every row."""
        new = self.geometry.descend(self.x, self.slope, self.step)
        if first:
            corner = self.geometry.corner(self.slope)
            new = torch.where(self.from_center[:, None, None], corner, new)
        elif not self.geometry.discrete:
            ahead = NEW_DIRECTION * (new - self.x) + (1 - NEW_DIRECTION) * (self.x - self.previous)
            new = self.geometry.inside(self.x + ahead)
        before = self.loss
        self.previous, self.x = self.x, new
        self.loss, self.slope = self._look()
        self.improved = self.improved + (self.loss < before)
        better = self.loss < self.best_loss
        self.best_loss = torch.where(better, self.loss, self.best_loss)
        self.best_x = torch.where(better[:, None, None], self.x, self.best_x)
        self.best_slope = torch.where(better[:, None, None], self.slope, self.best_slope)

    def check(self, k: int) -> None:
        """Halve the step where it brought too little since the last checkpoint, and return to the best point there."""
        few = self.improved < MUST_IMPROVE * (k - self.last)
        stuck = (self.step == self.step_then) & (self.best_loss == self.loss_then)
        halve = few | stuck
        self.loss_then, self.step_then = self.best_loss, self.step
        self.step = torch.where(halve, self.step / 2, self.step)
        back = halve[:, None, None]
        self.x = torch.where(back, self.best_x, self.x)
        self.previous = torch.where(back, self.best_x, self.previous)
        self.slope = torch.where(back, self.best_slope, self.slope)
        self.loss = torch.where(halve, self.best_loss, self.loss)
        self.last, self.improved = k, torch.zeros_like(self.improved)

    def pack(self) -> None:
        """Leave the rows of broken samples behind."""
        running = self.found[self.sample] > 0
        if int((~running).sum()) < max(1, PACK_AT * len(running)) and bool(running.any()):
            return
        for name in _PER_ROW:
            setattr(self, name, getattr(self, name)[running])
        if bool(running.any()):
            self._pose()


_PER_ROW = (
    *("sample", "from_center", "aim", "x", "previous", "loss", "slope", "step"),
    *("best_x", "best_loss", "best_slope", "improved", "loss_then", "step_then"),
)


def steepness(slope: Tensor) -> Tensor:
    """A gradient (batch, time, input) in the unit of its largest entry: overflow, where there was one, cut off."""
    slope = torch.nan_to_num(slope)
    largest = slope.abs().amax((1, 2), keepdim=True)
    return torch.where(largest > 0, slope / largest, 0.0)
