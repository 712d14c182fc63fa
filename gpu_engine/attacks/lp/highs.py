"""The program of `program` as a model of HiGHS that grows: sign constraints are added, and each solve starts warm.

For p = infinity `fixed` is faster; this one serves p = 1, and is what that is compared with.

Columns: for p = infinity delta itself; for p = 1 its positive and negative parts; then r. A side of the box
|delta| <= r w that the clip range implies already (a pixel at its least value can only rise) has no row.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any, Final, cast

import highspy
import numpy as np
from numpy.typing import NDArray

from gpu_engine.attacks.lp.program import (
    ACCURACY,
    INFEASIBLE,
    OPTIMAL,
    SOLVER_FAILED,
    TIME_LIMIT,
    Budget,
    Program,
    scale_of,
)
from gpu_engine.attacks.lp.region import Array

_highs: Any = cast(Any, highspy)  # it has no types
_STATUS: Final = {
    _highs.HighsModelStatus.kOptimal: OPTIMAL,
    _highs.HighsModelStatus.kInfeasible: INFEASIBLE,
    # The objective is at least 0, so that a program that is one of the two is infeasible.
    _highs.HighsModelStatus.kUnboundedOrInfeasible: INFEASIBLE,
    _highs.HighsModelStatus.kTimeLimit: TIME_LIMIT,
}


# HiGHS was seen to circle on a program for half an hour. Far more than programs need; then `solver failed`.
MOST_ITERATIONS: Final = 200_000


@dataclass(frozen=True)
class Deadline:
    """A moment on a clock; None is never. What is under way is stopped there."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        return cls(None if seconds is None else time.monotonic() + seconds)

    def left(self) -> float:
        """Seconds left, infinity without a limit; negative afterwards."""
        return math.inf if self.at is None else self.at - time.monotonic()

    @property
    def passed(self) -> bool:
        return self.left() <= 0


def new_model() -> Any:
    """An empty model of HiGHS with the options that all programs have."""
    model = _highs.Highs()
    for option, value in (
        ("output_flag", False),
        ("threads", 1),
        ("primal_feasibility_tolerance", ACCURACY),
        ("dual_feasibility_tolerance", ACCURACY),
        ("simplex_iteration_limit", MOST_ITERATIONS),
    ):
        model.setOptionValue(option, value)
    return model


class RefusedError(Exception):
    """HiGHS refuses a row: an entry of 1e15 or more, or one that is no number. The program cannot be stated."""


def add_rows(model: Any, entries: Array, lower: Array, upper: Array) -> None:
    """Rows lower <= entries @ columns <= upper, entries (rows, columns from the first one on). Raises RefusedError."""
    row, column = np.nonzero(entries)
    starts = np.searchsorted(row, np.arange(len(entries))).astype(np.int32)
    said = model.addRows(len(entries), lower, upper, len(row), starts, column.astype(np.int32), entries[row, column])
    if said == _highs.HighsStatus.kError:
        raise RefusedError


def run(model: Any, deadline: Deadline) -> tuple[str, Array]:
    """Status and the columns' values; HiGHS begins at the basis that its last solve left."""
    left = deadline.left()
    if left <= 0:
        return TIME_LIMIT, np.zeros(0)
    model.setOptionValue("time_limit", model.getRunTime() + left)
    model.run()
    found = np.asarray(model.getSolution().col_value, dtype=np.float64)
    status = _STATUS.get(model.getModelStatus(), SOLVER_FAILED)
    if status == OPTIMAL and not np.isfinite(found).all():
        return SOLVER_FAILED, found
    return status, found


class GrowingProgram:
    """One program without its sign constraints; `add` adds those of some units.

    most: a radius beyond which no answer is wanted: the program is then infeasible.
    """

    def __init__(self, program: Program, most: float = math.inf) -> None:
        self.program = program
        self.model = new_model()
        budget, moving = program.budget, program.region.slope.shape[1]
        self.moving = moving
        self.split = budget.p == 1
        low, high = budget.low, budget.high
        if self.split:
            lower, upper = np.zeros(2 * moving), np.concatenate([np.maximum(high, 0), np.maximum(-low, 0)])
        else:
            lower, upper = low, high
        self.columns = len(lower) + 1
        self.model.addVars(self.columns, np.append(lower, 0.0), np.append(upper, most))
        self.model.changeColCost(self.columns - 1, 1.0)
        self._budget_rows(budget)
        scale = scale_of(program.target_slope)
        self._linear_rows(
            program.target_slope / scale[:, None], np.full(len(scale), -math.inf), program.required / scale
        )
        self.first = self.model.getNumRow()
        self.units: list[int] = []

    def add(self, units: NDArray[np.int64]) -> None:
        """The sign constraints of these units."""
        region = self.program.region
        slope = region.slope[units]
        scale = scale_of(slope)
        side = np.where(region.active[units], 1.0, -1.0) / scale
        self._linear_rows(slope * side[:, None], -region.value[units] * side, np.full(len(units), math.inf))
        self.units += units.tolist()

    def solve(self, deadline: Deadline) -> tuple[str, float, Array]:
        """Status, optimum and delta (moving,)."""
        status, found = run(self.model, deadline)
        if status != OPTIMAL:
            return status, math.inf, np.zeros(self.moving)
        delta = found[: self.moving] - found[self.moving : 2 * self.moving] if self.split else found[: self.moving]
        return OPTIMAL, float(found[-1]), delta

    def binding(self) -> Array:
        """The multipliers of the sign constraints by unit, their sizes; zero for those that are not there."""
        found = np.zeros(len(self.program.region.value))
        if self.units:
            found[self.units] = np.abs(np.asarray(self.model.getSolution().row_dual)[self.first :])
        return found

    def _budget_rows(self, budget: Budget) -> None:
        r = self.columns - 1
        if self.split:
            for g, weight in enumerate(budget.weight):
                members = np.flatnonzero(budget.group == g)
                index = np.concatenate([members, members + self.moving, [r]]).astype(np.int32)
                entries = np.append(np.ones(2 * len(members)), -weight)
                self.model.addRow(-math.inf, 0.0, len(index), index, entries)
            return
        weight = budget.weight[budget.group]
        for sign, free in ((1.0, budget.high > 0), (-1.0, budget.low < 0)):
            members = np.flatnonzero(free)
            index = np.stack([members, np.full(len(members), r)], axis=1).astype(np.int32).ravel()
            entries = np.stack([np.full(len(members), sign), -weight[members]], axis=1).ravel()
            starts = np.arange(len(members), dtype=np.int32) * 2
            none, zero = np.full(len(members), -math.inf), np.zeros(len(members))
            self.model.addRows(len(members), none, zero, len(index), starts, index, entries)

    def _linear_rows(self, slope: Array, lower: Array, upper: Array) -> None:
        """Rows lower <= slope @ delta <= upper."""
        if self.split:
            slope = np.concatenate([slope, -slope], axis=1)
        add_rows(self.model, slope, lower, upper)
