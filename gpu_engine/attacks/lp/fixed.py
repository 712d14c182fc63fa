"""The program of `program` for p = infinity, solved at fixed radii that rise to the optimum.

Method card
    Program    S(r) = min s over |delta_i| <= r w_i, low <= delta <= high and all other constraints, each relaxed by s
               times what the center lacks of it. S(0) = 1, S is convex and does not rise, and the least r with
               S(r) <= 0 is the optimum of `program`. At a fixed r the ball is a box of column bounds, and the model has
               only the rows of the sign constraints: a small basis, and bound flips in place of pivots.
    Step       with the multipliers at r, weak duality bounds S from below at every other r' by a concave function in
               closed form. The next radius is where it meets 0: never beyond the optimum (Newton's method for a convex
               piecewise linear function, from the left).
    Lazy       with some sign constraints left out S is only smaller, so radii stay on the left of the optimum while
               constraints are added.
    Source     our own, for the program of Bastani et al. (2016); Newton's method as in Dinkelbach (1967).
    Test       same optimum as `program.solve_spelled_out`.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from gpu_engine.attacks.lp.highs import Deadline, add_rows, new_model, run
from gpu_engine.attacks.lp.program import OPTIMAL, Program, scale_of
from gpu_engine.attacks.lp.region import Array

# s is a share of what the center lacks; a row may stay broken by this times its lack, below the solver's own accuracy.
CLOSED: Final = 1e-10
# A radius that rises by less, relative to itself, does not get there: the solver's accuracy is used up.
STALLED: Final = 1e-13


def radius_of_fall(steep: Array, weight: Array, room: Array, needed: float) -> float:
    """The least r with sum steep_i min(r weight_i, room_i) >= needed; infinity where there is none.

    steep, weight, room (moving,), all >= 0, room perhaps infinite. The sum is linear between the radii at which a
    coordinate meets its room.
    """
    if needed <= 0:
        return 0.0
    kept = steep > 0
    pull, room = steep[kept] * weight[kept], room[kept]
    meets = room / weight[kept]
    order = np.argsort(meets, kind="stable")
    rates = pull.sum() - np.concatenate([[0.0], pull[order].cumsum()])
    met = np.where(np.isfinite(room), steep[kept] * room, 0.0)
    fallen = np.concatenate([[0.0], met[order].cumsum()])
    for rate, before, end in zip(rates, fallen, np.append(meets[order], math.inf), strict=True):
        if rate > 0 and (needed - before) / rate <= end:
            return float((needed - before) / rate)
    return math.inf


class RisingRadius:
    """One program at a radius that rises; `add` adds the sign constraints of some units."""

    def __init__(self, program: Program) -> None:
        assert program.budget.p == math.inf
        self.program = program
        budget, region = program.budget, program.region
        self.moving = region.slope.shape[1]
        self.weight = budget.weight[budget.group]
        self.side = np.where(region.active, 1.0, -1.0) / scale_of(region.slope)
        self.lack = np.where(region.constrained, np.maximum(-self.side * region.value, 0.0), 0.0)
        self.model = new_model()
        self.model.addVars(self.moving + 1, np.append(budget.low, -1.0), np.append(budget.high, 1.0))
        self.model.changeColCost(self.moving, 1.0)
        scale = scale_of(program.target_slope)
        slope, required = program.target_slope / scale[:, None], program.required / scale
        lack = np.maximum(-required, 0.0)
        add_rows(self.model, np.column_stack([slope, -lack]), np.full(len(lack), -math.inf), required)
        self.first = len(lack)
        self.units: list[int] = []
        self.radius = max(
            radius_of_fall(np.abs(row), self.weight, self._room(row), short)
            for row, short in zip(slope, lack, strict=True)
        )

    def add(self, units: NDArray[np.int64]) -> None:
        """The sign constraints of these units."""
        region, side = self.program.region, self.side[units]
        entries = np.column_stack([region.slope[units] * side[:, None], self.lack[units]])
        add_rows(self.model, entries, -region.value[units] * side, np.full(len(units), math.inf))
        self.units += units.tolist()

    def solve(self, deadline: Deadline) -> tuple[str, float, Array]:
        """Status, s and delta (moving,) at the present radius. The radius rises where s is positive."""
        budget = self.program.budget
        reach = self.radius * self.weight
        index = np.arange(self.moving, dtype=np.int32)
        low, high = np.maximum(budget.low, -reach), np.minimum(budget.high, reach)
        self.model.changeColsBounds(self.moving, index, low, high)
        status, found = run(self.model, deadline)
        if status != OPTIMAL:
            return status, math.inf, np.zeros(self.moving)
        share = float(found[-1])
        if share > CLOSED:
            price = np.asarray(self.model.getSolution().col_dual)[: self.moving]
            room, steep = self._room(price), np.abs(price)
            needed = share + float(steep @ np.minimum(reach, room))
            self.radius = max(radius_of_fall(steep, self.weight, room, needed), math.nextafter(self.radius, math.inf))
        return OPTIMAL, share, found[:-1]

    def binding(self) -> Array:
        """The multipliers of the sign constraints by unit, their sizes; zero for those that are not there."""
        found = np.zeros(len(self.side))
        if self.units:
            found[self.units] = np.abs(np.asarray(self.model.getSolution().row_dual)[self.first :])
        return found

    def _room(self, slope: Array) -> Array:
        """How far each coordinate may go against this slope."""
        return np.where(slope < 0, self.program.budget.high, -self.program.budget.low)
