"""One row's smallest perturbation as a mixed-integer linear program.

claim     The optimum is the least r with a point of the ball r, inside the largest ball, where the row is <= 0.
idea      y = max(v, 0) with v in [l, u], l < 0 < u, is y >= 0, y >= v, y <= u z, y <= v - l (1 - z) with z in {0, 1};
          ReLUs that cannot change sign on the largest ball need no z. The row is divided by its value at the center,
          so that a solver's tolerance is relative to what has to be overcome.
source    Tjeng, Xiao, Tedrake (2019), "Evaluating robustness of neural networks with mixed integer programming".
sound     the formula is exact up to one rounding of each stored weight; the solver works in floats: see `minimum`.
cost      exponential in the ReLUs without a sign, at worst.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import cvxpy
import numpy as np

from refcert.audit.exact_minimum.family import BallFamily
from refcert.audit.network_lp.system import System
from refcert.reference.equations import Variable
from refcert.reference.intervals import Interval
from refcert.reference.networks import Array

cp: Any = cvxpy  # its types do not cover what it exports

ACCURACY: Final = 1e-9
# How near the solver has to come; its own default for the gap, 1e-4, is far too wide for a bracket.
_OPTIONS: Final[Mapping[str, float | int]] = {
    "primal_feasibility_tolerance": ACCURACY,
    "dual_feasibility_tolerance": ACCURACY,
    "mip_feasibility_tolerance": ACCURACY,
    "mip_rel_gap": ACCURACY,
    "mip_abs_gap": ACCURACY,
    "random_seed": 0,
    "threads": 1,
}
# Radii are never negative: what is "infeasible or unbounded" is infeasible.
INFEASIBLE: Final = (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE, cp.settings.INFEASIBLE_OR_UNBOUNDED)


@dataclass(frozen=True)
class Solved:
    """What the solver said: status of cvxpy, its dual bound (-inf without one), its input (time, input) or None."""

    status: str
    bound: float
    x: Array | None
    reason: str = ""


class Encoding:
    """The program on the balls up to `largest`. boxes: rigorous, for every variable, on the largest of them."""

    def __init__(self, system: System, family: BallFamily, boxes: Mapping[Variable, Interval], largest: float) -> None:
        self.system, self.family = system, family
        self._y, self._r = cp.Variable(system.size), cp.Variable(nonneg=True)
        self._signs: list[Any] = []
        self._constraints = [self._r <= largest, *self._ball(), *self._relus(boxes)]
        if len(system.e):
            self._constraints.append(system.E @ self._y == system.e)

    @property
    def undecided(self) -> int:
        """How many ReLUs can be on and off."""
        return len(self._signs)

    def solve(self, row: Array, constant: float, scale: float, limit: float, beyond: float = 0.0) -> Solved:
        """The least radius where (row.F + constant) / scale <= -beyond. row (outputs,); limit: seconds."""
        wide = self.system.objective(row[None])[0] / scale
        broken = wide @ self._y + constant / scale <= -beyond
        problem = cp.Problem(cp.Minimize(self._r), [*self._constraints, broken])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # "may be inaccurate": the status says so, and inputs are checked
                problem.solve(solver=cp.HIGHS, time_limit=limit, **_OPTIONS)
        except (cp.error.SolverError, ValueError) as error:
            return Solved("solver_error", -math.inf, None, str(error).splitlines()[0])
        info = None if problem.solver_stats is None else problem.solver_stats.extra_stats
        x = None
        if self._y.value is not None and np.isfinite(self._y.value).all():
            x = np.asarray(self._y.value[: self.system.inputs], dtype=np.float64).reshape(self.family.center.shape)
        return Solved(str(problem.status), self._bound(problem, info), x)

    def _bound(self, problem: Any, info: Any) -> float:
        if self.undecided == 0:
            return float(problem.value) if problem.status == cp.OPTIMAL else -math.inf
        found = float(getattr(info, "mip_dual_bound", -math.inf))
        return found if math.isfinite(found) else -math.inf

    def _ball(self) -> list[Any]:
        found: list[Any] = []
        first, moving = 0, []
        for center, weight in zip(self.family.center, self.family.weights, strict=True):
            frame = self._y[first : first + len(center)]
            first += len(center)
            if weight == 0.0:
                found.append(frame == center)
                continue
            step = frame - center
            if math.isinf(self.family.p):
                found += [step <= float(weight) * self._r, -step <= float(weight) * self._r]
            elif self.family.shared:
                moving.append(cp.norm1(step))
            else:
                found.append(cp.norm1(step) <= float(weight) * self._r)
        if moving:
            found.append(cp.sum(cp.hstack(moving)) <= self._r)
        if self.family.clip is not None:
            x = self._y[:first]
            found += [x >= self.family.clip[0], x <= self.family.clip[1]]
        return found

    def _relus(self, boxes: Mapping[Variable, Interval]) -> list[Any]:
        found: list[Any] = []
        for equation in self.system.nonlinear:
            y, v = (self._y[self.system.number[variable]] for variable in (equation.variable, equation.v))
            low, high = boxes[equation.v]
            if high <= 0.0:
                found.append(y == 0)
            elif low >= 0.0:
                found.append(y == v)
            else:
                z = cp.Variable(boolean=True)
                self._signs.append(z)
                found += [y >= 0, y >= v, y <= high * z, y <= v - low * (1 - z)]
        return found
