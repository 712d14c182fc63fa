"""Solving one program with lazily added sign constraints, or with all of them at once.

Method card
    Claim      both give the same optimum: the lazy program's constraints are a part of all, and it ends only where its
               solution breaks none of the others, up to the solver's accuracy.
    Source     Bastani et al. (2016), section 4 (iterative constraint solving).
    Departure  the constraints are added to a model that HiGHS keeps, so that each solve starts from the basis of the
               one before; for p = infinity at a radius that rises to the optimum (`fixed`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpu_engine.attacks.lp.fixed import CLOSED, STALLED, RisingRadius
from gpu_engine.attacks.lp.highs import Deadline, GrowingProgram, RefusedError
from gpu_engine.attacks.lp.program import (
    ACCURACY,
    INFEASIBLE,
    OPTIMAL,
    SOLVER_FAILED,
    Answer,
    Program,
    scale_of,
    unanswered,
)
from gpu_engine.attacks.lp.region import Array


def solve_lazily(program: Program, deadline: Deadline | None = None, most: float = math.inf) -> Answer:
    """Add what is violated until nothing is. most: a larger radius is not wanted (then `infeasible`)."""
    missing = _Missing(program)
    solve = _rise if program.budget.p == math.inf else _grow
    try:
        return solve(program, missing, deadline or Deadline(), most)
    except RefusedError:
        return unanswered(program, SOLVER_FAILED)


def solve_at_once(
    program: Program, deadline: Deadline | None = None, most: float = math.inf, rising: bool = False
) -> Answer:
    """Every sign constraint from the beginning. rising: by rising radii, for p = infinity."""
    try:
        return _at_once(program, deadline or Deadline(), most, rising)
    except RefusedError:
        return unanswered(program, SOLVER_FAILED)


def _at_once(program: Program, deadline: Deadline, most: float, rising: bool) -> Answer:
    missing = _Missing(program)
    if rising:
        return _rise(program, missing, deadline, most, at_once=True)
    growing = GrowingProgram(program, most)
    growing.add(missing.every())
    status, radius, delta = growing.solve(deadline)
    if status != OPTIMAL:
        return unanswered(program, status, len(growing.units))
    return Answer(OPTIMAL, radius, delta, growing.binding(), len(growing.units))


class _Missing:
    """The sign constraints that a program does not have yet."""

    def __init__(self, program: Program) -> None:
        self.region = program.region
        self.scale = scale_of(self.region.slope)
        self.open = self.region.constrained

    def broken(self, delta: Array) -> NDArray[np.int64]:
        """Those that delta breaks, from now on no longer missing."""
        found = np.flatnonzero(self.open & (self.region.signed(delta) < -ACCURACY * self.scale))
        self.open[found] = False
        return found

    def every(self) -> NDArray[np.int64]:
        found = np.flatnonzero(self.open)
        self.open[found] = False
        return found


def _grow(
    program: Program, missing: _Missing, deadline: Deadline, most: float, units: Sequence[int] = (), rounds: int = 0
) -> Answer:
    """units: whose sign constraints are there from the beginning; rounds: that another way has spent."""
    growing = GrowingProgram(program, most)
    if units:
        growing.add(np.array(units, dtype=np.int64))
    while True:
        rounds += 1
        status, radius, delta = growing.solve(deadline)
        if status != OPTIMAL:
            return unanswered(program, status, len(growing.units), rounds)
        broken = missing.broken(delta)
        if not len(broken):
            return Answer(OPTIMAL, radius, delta, growing.binding(), len(growing.units), rounds)
        growing.add(broken)


def _rise(program: Program, missing: _Missing, deadline: Deadline, most: float, at_once: bool = False) -> Answer:
    """By rising radii; where they get no further, as `_grow` does, with the constraints that are there by then."""
    rising = RisingRadius(program)
    if at_once:
        rising.add(missing.every())
    rounds = 0
    while rising.radius <= most and math.isfinite(rising.radius):
        rounds += 1
        radius = rising.radius
        status, share, delta = rising.solve(deadline)
        if status == SOLVER_FAILED:
            return _grow(program, missing, deadline, most, rising.units, rounds)
        if status != OPTIMAL:
            return unanswered(program, status, len(rising.units), rounds)
        broken = missing.broken(delta)
        if len(broken):
            rising.add(broken)
        elif share <= CLOSED:
            return Answer(OPTIMAL, radius, delta, rising.binding(), len(rising.units), rounds)
        elif rising.radius <= radius * (1 + STALLED):
            # An s that stays positive by less than the solver's accuracy, as in a program that is barely infeasible.
            return _grow(program, missing, deadline, most, rising.units, rounds)
    return unanswered(program, INFEASIBLE, len(rising.units), rounds)
