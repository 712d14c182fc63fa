"""LP search: the nearest adversarial input in the linear region of the center, and then over neighbouring regions.

Method card
    Claim      each input found is confirmed by the plain forward pass in float64; its radius is an upper end of the
               true one. Inside one region and for one target it is the smallest; over all regions nothing is claimed,
               and that nothing was found proves nothing.
    Source     Bastani et al. (2016), "Measuring Neural Net Robustness with Constraints": the network restricted to the
               region of the input, the program with lazily added constraints, the second most likely label as target
               (here by default all labels), rounding to whole pixels.
    Departure  with steps > 0 also the region of a point found by a cheap attack, and walks over neighbouring regions
               from both (`walk`); steps = 0 is the search of the paper.
    Networks   piecewise linear: ReLU MLPs (`gpu_engine.feedforward`) and ReLU RNNs, layers and ReLUs in front and
               behind, every readout. Others, and norms other than inf and 1, are refused by name.
    Shapes     inputs and results (batch, time, input); samples are searched one after the other, in float64, on the
               CPU.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from gpu_engine.attacks.base import RadiusAttack
from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest, smallest_at
from gpu_engine.attacks.lp.grid import on_grid
from gpu_engine.attacks.lp.program import INFEASIBLE, SOLVER_FAILED, TIME_LIMIT
from gpu_engine.attacks.lp.region import require_piecewise_linear
from gpu_engine.attacks.lp.sample import Sample
from gpu_engine.attacks.lp.targets import ALL, SECOND, TARGETS, targets_of
from gpu_engine.attacks.lp.walk import walk
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.cells.unroll import unroll
from gpu_engine.errors import SpecificationError
from gpu_engine.steps import Tape

STEPS: Final = 40

FOUND: Final = "found"
MISCLASSIFIED: Final = "misclassified"
NOTHING_MOVES: Final = "nothing may move"
UNCONFIRMED: Final = "not confirmed by the forward pass"


@dataclass(frozen=True)
class LPFound(Smallest):
    """What the search found, and how it ended for each sample.

    status: `found`; `misclassified` (radius 0); `infeasible`: no region that was tried holds an adversarial input;
    `time limit`, `solver failed`, `not confirmed by the forward pass`: nothing was found, and at least one program
    ended so; `nothing may move`. programs: how many programs ended how, by `program.STATUSES`; a program that could not
    improve on what is known ends as infeasible. seconds: elapsed. restricted (batch,): the radius in the center's own
    region, infinity where there was none: Bastani et al.'s. grid: the smallest input on the grid, where one was asked
    for.
    """

    status: tuple[str, ...] = ()
    programs: tuple[Mapping[str, int], ...] = ()
    seconds: tuple[float, ...] = ()
    restricted: Tensor | None = None
    grid: Smallest | None = None


class LPSearch(RadiusAttack):
    """See the module's method card.

    steps: programs for walking, per walk; 0 stays in the center's region. targets: `second` (the rows nearest to
    breaking at the center) or `all`. seconds: a time limit for each sample's programs, None for none. grid: also round
    to multiples of 1/grid. start: where a second walk begins; None for a short PGD. Raises SpecificationError.
    """

    name: ClassVar[str] = "lp"

    def __init__(
        self,
        steps: int = STEPS,
        targets: str = ALL,
        seconds: float | None = None,
        grid: int | None = None,
        start: RadiusAttack | None = None,
    ) -> None:
        if targets not in TARGETS:
            raise SpecificationError(f"targets {targets!r} are not known; known: {', '.join(TARGETS)}")
        if steps < 0:
            raise SpecificationError(f"steps is {steps}; give a whole number from 0 on")
        if seconds is not None and not seconds > 0:
            raise SpecificationError(f"the time limit is {seconds} s; give a positive number, or None")
        if grid is not None and grid < 1:
            raise SpecificationError(f"the grid has {grid} levels; give a whole number from 1 on, 255 for images")
        self.steps, self.targets, self.seconds, self.grid = steps, targets, seconds, grid
        self.start = Bisected(PGD(steps=20, restarts=3), tolerance=0.05) if start is None else start

    def smallest(self, question: Question, family: BallFamily, generator: torch.Generator) -> LPFound:
        """See `RadiusAttack.smallest`. Raises ModelError and SpecificationError for what it cannot search."""
        if family.p not in (1, math.inf):
            raise SpecificationError(
                f"LP search knows the norms inf and 1, not {family.p:g}: its program would not be linear. Use another "
                "attack for this norm"
            )
        frames = family.center.shape[1]
        lengths = [frames] * len(family) if question.lengths is None else [int(n) for n in question.lengths]
        tapes = {n: unroll(question.model, n) for n in set(lengths)}
        for tape in tapes.values():
            require_piecewise_linear(tape)
        at_center = question.center_margins(family.center)
        points = self.start.smallest(question, family, generator) if self.steps else None
        runs = []
        for b, length in enumerate(lengths):
            here = slice(b, b + 1)
            began = None if points is None or not bool(points.found[b]) else points.x[b]
            known = question.select(here), family.select(here), float(at_center[b])
            runs.append(self._one(*known, tapes[length], length, began))
        device = family.center.device
        found = smallest_at(question, family, torch.stack([run.x for run in runs]).to(device))
        grid = None
        if self.grid is not None:
            grid = smallest_at(question, family, torch.stack([run.grid for run in runs]).to(device), as_given=True)
        return LPFound(
            found.x,
            found.margin,
            found.radius,
            tuple(run.status for run in runs),
            tuple(run.programs for run in runs),
            tuple(run.seconds for run in runs),
            torch.tensor([run.restricted for run in runs], dtype=torch.float64, device=device),
            grid,
        )

    def _one(
        self, question: Question, family: BallFamily, margin: float, tape: Tape, frames: int, began: Tensor | None
    ) -> _Run:
        """One sample; nothing that goes wrong here touches the others."""
        clock = time.monotonic()
        center = family.center[0].cpu()
        if margin <= 0:
            return _Run(center, center, MISCLASSIFIED, {}, 0.0, 0.0)
        sample = Sample(question, family, tape, frames, self.seconds)
        if not sample.moves.any():
            return _Run(center, center, NOTHING_MOVES, {}, 0.0, math.inf)
        self._search(sample, began)
        best = sample.best
        x = rounded = center
        if best is not None:
            x = torch.from_numpy(best.x)
            on_levels = None if self.grid is None else on_grid(sample, best, self.grid)
            rounded = center if on_levels is None else torch.from_numpy(on_levels)
        return _Run(x, rounded, _status(sample), dict(sample.ends), time.monotonic() - clock, sample.restricted)

    def _search(self, sample: Sample, began: Tensor | None) -> None:
        region = sample.region(point=sample.center)
        targets = targets_of(sample.question.specification, region.output_value, self.targets)
        for target in targets:
            sample.attempt(region, target)
        sample.restricted = math.inf if sample.best is None else sample.best.size
        if not self.steps:
            return
        walk(sample, self.steps)
        if began is not None:
            point = began.cpu().numpy()
            there = sample.region(point=point)
            outputs = there.output_value + there.output_slope @ (point - sample.center)[sample.moves]
            (nearest,) = targets_of(sample.question.specification, outputs, SECOND)
            if sample.attempt(there, nearest):
                walk(sample, self.steps)


@dataclass(frozen=True)
class _Run:
    """One sample's outcome. x, grid (time, input): the center where nothing was found."""

    x: Tensor
    grid: Tensor
    status: str
    programs: Mapping[str, int]
    seconds: float
    restricted: float


def _status(sample: Sample) -> str:
    if sample.best is not None:
        return FOUND
    for status in (TIME_LIMIT, SOLVER_FAILED):
        if sample.ends[status]:
            return status
    return UNCONFIRMED if sample.unconfirmed else INFEASIBLE
