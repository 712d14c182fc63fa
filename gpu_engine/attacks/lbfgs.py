"""L-BFGS with bounds: the baseline of Szegedy et al., sample by sample.

Method card
    Source     Szegedy et al. (2014), "Intriguing properties of neural networks", section 4.1: minimise c |delta| +
               loss(center + delta, target) over the clip range with L-BFGS-B, for the largest c that still gives an
               adversarial input. The optimiser is scipy's (Byrd, Lu, Nocedal and Zhu 1995).
    Departure  the target is a row of the specification, by default the one with the least value at the center (the
               runner-up class); the loss is log(1 + exp(row)), for a margin row the cross-entropy of
               the target against the label; |delta| is the squared l_2 length, each frame's divided by its weight
               squared, which is smooth: l_inf and l_1 are not minimised but measured. Every input that is evaluated on
               the way counts, and the segment from the best one to the center is searched.
    Sound?     the radius is the measured size of an input whose margin was computed afresh; it is an upper bound of the
               true one. That nothing was found proves nothing.
    Shapes     results (batch, time, input); the optimiser sees the frames that move, as one vector.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from gpu_engine.attacks.base import RadiusAttack
from gpu_engine.attacks.bisection import nearest_on_segment
from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest, smallest_at
from gpu_engine.attacks.goals import goals
from gpu_engine.attacks.perturbation import Perturbation
from gpu_engine.attacks.question import Question
from gpu_engine.errors import NumericalError, SpecificationError

STEPS = 40
TARGETS = 1
# The price c: tenfold up or down until an attack succeeds at one price and fails at the next, then halvings (of the
# exponent) between the two.
PRICE_FACTOR = 10.0
PRICE_MOVES = 6
PRICE_HALVINGS = 5

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class LBFGS(RadiusAttack):
    """steps: iterations of the optimiser for each price; targets: rows tried, the least at the center first.

    Nothing is random. Samples are run one at a time, so that no result depends on the batch. Raises SpecificationError.
    """

    name: ClassVar[str] = "lbfgs"

    steps: int = STEPS
    targets: int = TARGETS

    def __post_init__(self) -> None:
        for what, value in (("steps", self.steps), ("targets", self.targets)):
            if value < 1:
                raise SpecificationError(f"L-BFGS: {what} is {value}; give a whole number from 1 on")

    def smallest(self, question: Question, family: BallFamily, generator: torch.Generator) -> Smallest:
        """See `RadiusAttack.smallest`: radius 0 where the center is misclassified, infinity where nothing was found."""
        x = family.center.clone()
        movable = Perturbation(family, question.lengths).movable
        for k in ((question.center_margins(family.center) > 0) & movable).nonzero()[:, 0].tolist():
            one = slice(k, k + 1)
            x[one] = self._one(question.select(one), family.select(one))
        return smallest_at(question, family, x)

    def _one(self, question: Question, family: BallFamily) -> Tensor:
        """The best input (1, time, input) for one sample, the center if there is none."""
        with torch.no_grad():
            values = goals(question, question.rows(family.center))[0]
        least = values.argsort(stable=True)[: self.targets]
        start, size = family.center, math.inf
        for goal in least.tolist():
            descent = _Descent(question, family, goal, self.steps)
            _search_price(descent.succeeds, descent.first_price(float(values[goal])))
            if descent.size < size:
                start, size = descent.best, descent.size
        return nearest_on_segment(question, family.center, start)


def _search_price(succeeds: Callable[[float], bool], price: float) -> None:
    """Close in on the largest price at which an attack succeeds."""
    found = succeeds(price)
    low, high = (price, math.inf) if found else (0.0, price)
    for _ in range(PRICE_MOVES):
        price = price * PRICE_FACTOR if found else price / PRICE_FACTOR
        if succeeds(price):
            low = price
            if not found:
                break
        else:
            high = price
            if found:
                break
    if low == 0 or math.isinf(high):
        return
    for _ in range(PRICE_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if succeeds(middle) else (low, middle)


class _Descent:
    """One sample and one row. best (1, time, input), size: the smallest misclassified input that was evaluated."""

    def __init__(self, question: Question, family: BallFamily, goal: int, steps: int) -> None:
        self.question, self.family, self.goal, self.steps = question, family, goal, steps
        self.best, self.size = family.center, math.inf
        moves = Perturbation(family, question.lengths).moves
        self.place = moves[..., None].expand_as(family.center)
        self.weight = family.weight[..., None].expand_as(family.center)[self.place]
        self.center = family.center[self.place]

    def first_price(self, value: float) -> float:
        """The price at which a perturbation of the largest radius costs what a loss of this value does."""
        largest = self.family.largest()
        price = max(value, 1.0) / largest / largest  # the square itself can overflow
        return price if 0 < price < math.inf else 1.0

    def succeeds(self, price: float) -> bool:
        """Does minimising at this price come across an input that breaks the specification?

        An optimiser that stops before it has converged, for whatever reason, loses nothing: what it evaluated counts.
        """
        self.broken = False
        clip = self.family.clip
        bounds = None if clip is None else [clip] * len(self.center)
        # Where the network overflows at an input too far away, this price ends; what was found stays.
        with contextlib.suppress(NumericalError):
            minimize(
                self._cost,
                self.center.numpy(force=True),
                args=(price,),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": self.steps},
            )
        return self.broken

    def _cost(self, moving: Vector, price: float) -> tuple[float, Vector]:
        x = self.family.center.clone()
        variables = torch.from_numpy(moving).to(x.device).requires_grad_(True)
        with torch.enable_grad():
            x[self.place] = variables
            rows = self.question.rows(x)
            if not bool(torch.isfinite(rows).all()):
                raise NumericalError("the network's outputs overflow at an input that L-BFGS tried")
            loss = torch.nn.functional.softplus(goals(self.question, rows)[0, self.goal])
            cost = loss + price * ((variables - self.center) / self.weight).square().sum()
            (slope,) = torch.autograd.grad(cost, variables)
        self._note(x.detach(), float(self.question.specification.margins(rows.detach())))
        return float(cost.detach()), torch.nan_to_num(slope).numpy(force=True)

    def _note(self, x: Tensor, margin: float) -> None:
        if margin > 0:
            return
        self.broken = True
        size = float(self.family.size(x))
        if size < self.size:
            self.best, self.size = x, size
