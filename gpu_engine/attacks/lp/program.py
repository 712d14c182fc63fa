"""The linear program of the nearest adversarial input in one linear region, spelled out with cvxpy.

    minimise    r
    subject to  ||delta_g||_p <= r w_g           for every group g of coordinates (a frame, or the whole sequence)
                low <= delta <= high             (the clip range)
                s_u (value_u + slope_u delta) >= 0                for every ReLU u: its side, s_u = +-1, is kept
                c_j (output_value + output_slope delta) + d_j <= -strictness   for every row j asked to break

This is the reference: written constraint by constraint and solved by HiGHS through cvxpy. `highs` states the same
program directly to HiGHS, for speed; both have the same optimum.

Source     Bastani et al. (2016), section 4; p = infinity and p = 1.
Departure  the budget is weighted by group, coordinates may be fixed or clipped, several rows may have to break at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from gpu_engine.attacks.lp.region import Array, Region
from gpu_engine.errors import SpecificationError

OPTIMAL: Final = "optimal"
INFEASIBLE: Final = "infeasible"
TIME_LIMIT: Final = "time limit"
SOLVER_FAILED: Final = "solver failed"
STATUSES: Final = (OPTIMAL, INFEASIBLE, TIME_LIMIT, SOLVER_FAILED)
"""How a program ends. Nothing but `optimal` says anything about the network."""

# Of the solver, for primal and dual feasibility. Nothing rests on it: inputs are confirmed by a forward pass.
ACCURACY: Final = 1e-9


@dataclass(frozen=True)
class Budget:
    """What may move and at what price; all arrays over the moving coordinates.

    p: math.inf or 1; group (moving,): numbers from 0 on; weight (groups,) > 0: group g may move by r * weight[g]; low,
    high (moving,): the least and largest delta of every coordinate, infinite without a clip range.
    Raises SpecificationError.
    """

    p: float
    group: NDArray[np.int64]
    weight: Array
    low: Array
    high: Array

    def __post_init__(self) -> None:
        if self.p not in (1, math.inf):
            raise SpecificationError(
                f"LP search knows the norms p = inf and p = 1, not p = {self.p:g}; its program would not be linear. "
                "Use another attack for this norm"
            )

    def radius(self, delta: Array) -> float:
        """The least r that allows delta, by plain float64 arithmetic."""
        if not len(delta):
            return 0.0
        size = np.zeros(len(self.weight))
        gather = np.maximum if self.p == math.inf else np.add
        gather.at(size, self.group, np.abs(delta))
        return float((size / self.weight).max())


@dataclass(frozen=True)
class Program:
    """One region, one budget, and the rows that have to break at once.

    rows (targets, outputs), offset (targets,): rows @ outputs + offset <= -strictness, where strictness is in units of
    the row's steepest coordinate: small, and so large that a forward pass in float64 confirms the sign.
    """

    region: Region
    budget: Budget
    rows: Array
    offset: Array
    strictness: float

    @property
    def target_slope(self) -> Array:
        """(targets, moving)."""
        return self.rows @ self.region.output_slope

    @property
    def target_value(self) -> Array:
        """(targets,): the rows at the center, by the region's affine function."""
        return self.rows @ self.region.output_value + self.offset

    @property
    def required(self) -> Array:
        """target_slope @ delta has to be at most this, (targets,)."""
        return -self.target_value - self.strictness * scale_of(self.target_slope)


@dataclass(frozen=True)
class Answer:
    """status: one of STATUSES. radius and delta (moving,): the optimum, infinity and zeros where there is none.

    binding (units,): how much each sign constraint is worth: its multiplier's size, zero where it does not bind.
    signs: how many sign constraints the program had in the end; rounds: how many programs were solved.
    """

    status: str
    radius: float
    delta: Array
    binding: Array
    signs: int = 0
    rounds: int = 1


def unanswered(program: Program, status: str, signs: int = 0, rounds: int = 1) -> Answer:
    """An answer without an optimum."""
    units, moving = program.region.slope.shape
    return Answer(status, math.inf, np.zeros(moving), np.zeros(units), signs, rounds)


def scale_of(slope: Array) -> Array:
    """The largest coordinate of every row, 1 for a row of zeros: rows are divided by it before they are solved."""
    if slope.shape[1] == 0:
        return np.ones(len(slope))
    largest: Array = np.abs(slope).max(1)
    return np.where(largest > 0, largest, 1.0)


def solve_spelled_out(program: Program, seconds: float | None = None) -> Answer:
    """All sign constraints at once, through cvxpy. seconds: the solver's time limit."""
    import cvxpy  # heavy, and only the reference path needs it

    cp: Any = cvxpy  # its types do not cover what it exports
    region, budget = program.region, program.budget
    moving = region.slope.shape[1]
    if moving == 0:
        return unanswered(program, INFEASIBLE, 0)
    delta, r = cp.Variable(moving), cp.Variable(nonneg=True)
    constraints: list[Any] = [
        cp.norm(delta[np.flatnonzero(budget.group == g)], budget.p) <= r * float(weight)
        for g, weight in enumerate(budget.weight)
    ]
    for bound, sign in ((budget.low, 1.0), (budget.high, -1.0)):
        cut = np.flatnonzero(np.isfinite(bound))
        if len(cut):
            constraints.append(sign * delta[cut] >= sign * bound[cut])
    kept = region.constrained
    if kept.any():
        scale = scale_of(region.slope[kept])
        side = np.where(region.active[kept], 1.0, -1.0) / scale
        signs = cp.multiply(side, region.value[kept] + region.slope[kept] @ delta) >= 0
        constraints.append(signs)
    scale = scale_of(program.target_slope)
    constraints.append((program.target_slope / scale[:, None]) @ delta <= program.required / scale)
    problem = cp.Problem(cp.Minimize(r), constraints)
    options: dict[str, Any] = {"primal_feasibility_tolerance": ACCURACY, "dual_feasibility_tolerance": ACCURACY}
    if seconds is not None:
        options["time_limit"] = max(seconds, 0.0)
    try:
        problem.solve(solver=cp.HIGHS, **options)
    except cvxpy.error.SolverError:
        return unanswered(program, SOLVER_FAILED, int(kept.sum()))
    status = {
        cp.OPTIMAL: OPTIMAL,
        cp.INFEASIBLE: INFEASIBLE,
        # The objective is at least 0, so that a program that is one of the two is infeasible.
        cp.settings.INFEASIBLE_OR_UNBOUNDED: INFEASIBLE,
        cp.USER_LIMIT: TIME_LIMIT,
    }.get(problem.status, SOLVER_FAILED)
    if status != OPTIMAL or delta.value is None:
        return unanswered(program, SOLVER_FAILED if status == OPTIMAL else status, int(kept.sum()))
    binding = np.zeros(len(kept))
    if kept.any() and signs.dual_value is not None:
        binding[kept] = np.abs(signs.dual_value)
    return Answer(OPTIMAL, float(problem.value), np.asarray(delta.value, dtype=float), binding, int(kept.sum()))
