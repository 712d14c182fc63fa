"""The smallest perturbation of a tiny ReLU network that breaks a specification row, as a bracket.

Method card
    Claim      `upper` is the size of an actual float64 input at which the row is <= 0 in exact rational arithmetic:
               rigorous. `lower` is the solver's dual bound less TOLERANCE: as good as the solver's floats, no proof.
    Source     Tjeng et al. (2019); see `encoding`.
    Idea       solve on the largest balls; then again on balls hardly larger than the input found: smaller boxes make
               smaller constants, so the second bound is the more exact one. Nothing is claimed where solver and exact
               arithmetic contradict each other.
    Sound?     the upper end; Tight? both ends, up to TOLERANCE, where the status is `optimal`.
    Shapes     C (rows, outputs), d (rows,), inputs (time, input).
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import cvxpy
import numpy as np

from refcert.audit.exact_minimum.encoding import INFEASIBLE, Encoding, Solved
from refcert.audit.exact_minimum.family import BallFamily
from refcert.audit.exact_minimum.rational import exact_rows, require_relu, row_gradient
from refcert.audit.network_lp.system import System, system_of
from refcert.reference.bounds import input_boxes
from refcert.reference.errors import ReferenceInputError
from refcert.reference.intervals import interval_boxes
from refcert.reference.networks import Array, Network
from refcert.reference.unrolling import unroll

TOLERANCE: Final = 1e-6
"""What is taken off the solver's bound, of the larger of it and 1: a thousand times what the solver is asked for."""

TIME_LIMIT: Final = 60.0
# The second program's balls, of the size of the input that the first one found.
_ROOM: Final = 1.001
# How far an input at the border is moved on, relative to its size, until exact arithmetic has it on the other side.
_STEPS: Final = (0.0, *(10.0**k for k in range(-14, -5)))
# Of the row at the center: how far beyond the border the solver has to go where such moves do not help.
_BEYOND: Final = (1e-8, 1e-6)


class Status(StrEnum):
    """How the search for one row ended."""

    OPTIMAL = "optimal"
    CENTER_BROKEN = "center broken"
    NONE_IN_RANGE = "no adversarial input in range"
    TIME_LIMIT = "time limit"
    FAILED = "solver failed"


@dataclass(frozen=True)
class RowMinimum:
    """lower <= the row's smallest perturbation <= upper; x (time, input): the input behind `upper`, or None.

    upper is inf without an input. With NONE_IN_RANGE lower is the range itself, less the tolerance. undecided: ReLUs
    that could be on and off in the last program. reason: what went wrong, if anything.
    """

    status: Status
    lower: float
    upper: float
    x: Array | None
    undecided: int
    seconds: float
    reason: str = ""


@dataclass(frozen=True)
class Minimum:
    """Every row by itself, and the least: the specification breaks where the first row does."""

    rows: tuple[RowMinimum, ...]

    @property
    def lower(self) -> float:
        return min(row.lower for row in self.rows)

    @property
    def upper(self) -> float:
        return min(row.upper for row in self.rows)

    @property
    def x(self) -> Array | None:
        """The smallest adversarial input found, (time, input)."""
        return min(self.rows, key=lambda row: row.upper).x

    @property
    def complete(self) -> bool:
        """Whether every row's search came to its end."""
        return all(row.status not in (Status.TIME_LIMIT, Status.FAILED) for row in self.rows)


def exact_minimum(
    network: Network,
    family: BallFamily,
    C: Array,
    d: Array | None = None,
    *,
    largest: float,
    time_limit: float = TIME_LIMIT,
    maximum: str = "tree",
) -> Minimum:
    """The least radius of the family with an input where a row of C F(x) + d is <= 0, searched up to `largest`.

    time_limit: seconds for each program, of which a row takes up to four; maximum: see `unrolling.MAXIMA`.
    Raises ReferenceInputError for networks, rows and ranges that make no sense.
    """
    if not (largest > 0 and math.isfinite(largest)):
        raise ReferenceInputError(f"the largest radius is {largest}; give a positive number")
    if not time_limit > 0:
        raise ReferenceInputError(f"the time limit is {time_limit} seconds; give a positive number")
    frames, inputs = family.center.shape
    system = system_of(unroll(network, frames, inputs, maximum))
    require_relu(system.program)
    if C.ndim != 2 or len(C) == 0 or C.shape[1] != len(system.program.outputs):
        raise ReferenceInputError(f"C has shape {C.shape}; it needs (rows, {len(system.program.outputs)}), rows >= 1")
    constants = np.zeros(len(C)) if d is None else d
    if constants.shape != (len(C),) or not (np.isfinite(C).all() and np.isfinite(constants).all()):
        raise ReferenceInputError(f"C and d need finite values and one constant a row; d has shape {constants.shape}")
    search = _Search(system, family, largest, time_limit)
    return Minimum(tuple(search.row(row, float(constant)) for row, constant in zip(C, constants, strict=True)))


class _Search:
    def __init__(self, system: System, family: BallFamily, largest: float, limit: float) -> None:
        self.system, self.family, self.largest, self.limit = system, family, largest, limit
        self._first = self._encoding(largest)

    def _encoding(self, radius: float) -> Encoding:
        inputs = input_boxes(self.system.program, self.family.box(radius))
        return Encoding(self.system, self.family, interval_boxes(self.system.program, inputs), radius)

    def row(self, row: Array, constant: float) -> RowMinimum:
        began = time.perf_counter()
        found = self._searched(row, constant)
        status, lower, upper, x, undecided, reason = found
        if lower > upper:
            status, lower = Status.FAILED, 0.0
            reason = f"the solver's bound {found[1]!r} is above the size {upper!r} of an input that breaks the row"
        return RowMinimum(status, lower, upper, x, undecided, time.perf_counter() - began, reason)

    def _searched(self, row: Array, constant: float) -> tuple[Status, float, float, Array | None, int, str]:
        center = self.family.center
        scale = float(self._exact(center, row, constant))
        if scale <= 0.0:
            return Status.CENTER_BROKEN, 0.0, 0.0, center, 0, ""
        first = self._first.solve(row, constant, scale, self.limit)
        undecided = self._first.undecided
        if first.status in INFEASIBLE:
            return Status.NONE_IN_RANGE, _less(self.largest), math.inf, None, undecided, ""
        x = self._confirmed(self._first, first, row, constant, scale)
        lower = _less(first.bound)
        if x is None:
            return _without_input(first), lower, math.inf, None, undecided, first.reason or _UNCONFIRMED
        upper = self.family.size(x)
        if first.status != cvxpy.OPTIMAL or upper == 0.0 or upper * _ROOM >= self.largest:
            return _ended(first), lower, upper, x, undecided, first.reason
        small = self._encoding(upper * _ROOM)
        second = small.solve(row, constant, scale, self.limit)
        if second.status in INFEASIBLE:
            reason = f"the solver finds no input up to {upper * _ROOM!r}, where one breaks the row"
            return Status.FAILED, 0.0, upper, x, small.undecided, reason
        better = self._confirmed(small, second, row, constant, scale)
        if better is not None and self.family.size(better) < upper:
            x, upper = better, self.family.size(better)
        # The first program's bound holds, too, whatever became of the second.
        return Status.OPTIMAL, max(lower, _less(second.bound)), upper, x, small.undecided, second.reason

    def _exact(self, x: Array, row: Array, constant: float) -> float:
        """The row at x; its sign is exact."""
        value = exact_rows(self.system.program, x, row[None], [constant])[0]
        nearest = float(value)
        return nearest if nearest != 0.0 or value == 0 else math.copysign(math.ulp(0.0), float(value > 0) - 0.5)

    def _confirmed(self, encoding: Encoding, solved: Solved, row: Array, constant: float, scale: float) -> Array | None:
        """An input near the solver's that breaks the row in exact arithmetic; None where there is none."""
        for x in self._candidates(encoding, solved, row, constant, scale):
            if self._exact(x, row, constant) <= 0.0 and math.isfinite(self.family.size(x)):
                return x
        return None

    def _candidates(
        self, encoding: Encoding, solved: Solved, row: Array, constant: float, scale: float
    ) -> Iterator[Array]:
        """From near to far: the input itself, moved on from the center, moved along the row's slope, another one."""
        if solved.x is None:
            return
        for step in _STEPS:
            yield from self._moved(solved.x, step, row)
        if solved.status == cvxpy.OPTIMAL:
            for beyond in _BEYOND:
                further = encoding.solve(row, constant, scale, self.limit, beyond).x
                if further is not None:
                    yield from self._moved(further, 0.0, row)

    def _moved(self, x: Array, step: float, row: Array) -> Iterator[Array]:
        center, moves = self.family.center, (self.family.weights > 0)[:, None]
        offset = np.where(moves, x - center, 0.0)
        yield self._cut(center + (1.0 + step) * offset)
        if step > 0.0:
            slope = row_gradient(self.system.program, x, row)
            yield self._cut(
                center + offset - np.where(moves, np.sign(slope) * step * (1.0 + np.abs(offset).max()), 0.0)
            )

    def _cut(self, x: Array) -> Array:
        return x if self.family.clip is None else np.clip(x, *self.family.clip)


_UNCONFIRMED: Final = "no input near the solver's breaks the row in exact arithmetic"


def _less(bound: float) -> float:
    """The bound less the tolerance; zero where there is none."""
    return max(0.0, bound - TOLERANCE * max(1.0, abs(bound))) if math.isfinite(bound) else 0.0


def _ended(solved: Solved) -> Status:
    if solved.status == cvxpy.OPTIMAL:
        return Status.OPTIMAL
    return Status.TIME_LIMIT if solved.status == cvxpy.USER_LIMIT else Status.FAILED


def _without_input(solved: Solved) -> Status:
    return Status.TIME_LIMIT if solved.status == cvxpy.USER_LIMIT else Status.FAILED
