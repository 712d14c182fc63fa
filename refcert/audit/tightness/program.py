"""Planes of least height at the centre, by linear programming with constraint generation: many boxes in one program.

Method card
    Claim      none: float64 planes and weights to certify; what they are worth is found in `certificate`.
    Source     POPQORN (Ko et al. 2019), equations 25 and 26. The integral of a plane over a box is the area times its
               height at the centre, so least volume is least height there, subject to f <= plane on the box.
    Idea       Keep f <= plane at finitely many points: a linear program in three unknowns a box. Boxes do not
               interact, so all of them make one block-diagonal program. Points where the surface rises above the
               plane (`separation`) are added and the program is solved again. Its dual solution is the weights
               with which touching points average to the centre.
    Shapes     one entry a box (boxes,); touching points and weights (boxes, 3).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final

import cvxpy as cp
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array

from refcert.audit.tightness.contacts import CONTACTS, Contacts, empty
from refcert.audit.tightness.polish import polish
from refcert.audit.tightness.separation import separate
from refcert.audit.tightness.surfaces import Bools, Floats, Surface, grid

# Boxes in one program: enough to hide what a call costs.
BATCH: Final = 1000
ROUNDS: Final = 30
# The solver's own tolerances, the tightest it takes; the touching set is polished afterwards.
_TOLERANCE: Final = 1e-10
# A box is solved when its gap is this, in units of the surface's size.
CLOSED_ENOUGH: Final = 1e-13
# Rounds that a box gets to reach it from here: rounding may stand in its way.
_NEARLY: Final = 1e-10
_IDLE: Final = 5
# Rounds before the first polish: further from the optimum it seldom helps.
_FIRST_POLISH: Final = 2
# Only what exceeds the plane by more becomes a constraint: less is rounding.
_FLOOR: Final = 1e-13
# From here on a box is solved for what is to be added to its plane, leaving out constraints this far from active.
_REFINE: Final = 1e-6
_FAR: Final = 1e6
# Candidates that exceed the plane by this share of the worst become constraints, too.
_NEAR_WORST: Final = 1e-3


@dataclass
class _Rows:
    """The constraints height + alpha x + beta y >= rise: the box of each, its point and its right side."""

    box: NDArray[np.int64]
    x: Floats
    y: Floats
    rise: Floats

    def joined(self, other: _Rows) -> _Rows:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Rows(*(np.concatenate(pair) for pair in pairs))

    def of(self, chosen: Bools) -> _Rows:
        return _Rows(*(column[chosen] for column in vars(self).values()))


def least_height(surface: Surface) -> Contacts:
    """Solve for all boxes of the surface; those that the tangent plane at the centre solves need no program.

    Boxes of no usable `size`, and those that the solver fails on, keep that plane.
    """
    found = empty(len(surface.size))
    usable = np.flatnonzero(np.isfinite(surface.size) & (surface.size > 0))
    found.put(usable, _tangent(surface.rows(usable)))
    todo = usable[found.height[usable] > _FLOOR]
    for start in range(0, len(todo), BATCH):
        _solve_part(surface, todo[start : start + BATCH], found)
    return found


def _solve_part(surface: Surface, rows: NDArray[np.int64], found: Contacts) -> None:
    """Write the solutions of some boxes; where one of them spoils their common program, part by part."""
    try:
        found.put(rows, _generate(surface.rows(rows)))
    except cp.SolverError:
        if len(rows) > 1:
            middle = len(rows) // 2
            _solve_part(surface, rows[:middle], found)
            _solve_part(surface, rows[middle:], found)


def _tangent(surface: Surface) -> Contacts:
    """The tangent plane at the centre, touching there."""
    found = empty(len(surface.size))
    found.height[:] = np.maximum(separate(surface, found.alpha, found.beta).highest()[0], 0.0)
    found.weight[:, 0] = 1.0
    return found


def _generate(surface: Surface) -> Contacts:
    """Constraint generation until nothing rises above the planes, polished after every round."""
    count = len(surface.size)
    x, y = grid(surface.two_axes)
    rise = surface.rise(np.broadcast_to(x, (count, len(x))), np.broadcast_to(y, (count, len(y))))
    rows = _Rows(np.repeat(np.arange(count), len(x)), np.tile(x, count), np.tile(y, count), rise.ravel())
    best = empty(count)
    best.below[:] = -np.inf
    todo, idle = np.arange(count), np.zeros(count, dtype=np.int64)
    around, unit = np.zeros((count, 3)), np.ones(count)
    for number in range(ROUNDS):
        some = surface.rows(todo)
        plane, dual = _solve(rows, around, unit)
        found = separate(some, plane[:, 0], plane[:, 1])
        over = found.excess - plane[:, 2:]
        height = plane[:, 2] + np.maximum(over.max(1), 0.0)
        solved = _with_contacts(plane, height, rows, dual)
        if number >= _FIRST_POLISH:
            solved = polish(some, solved)
        better = solved.gap < best.gap[todo]
        best.put(todo[better], solved.rows(better))
        at = np.nonzero(over > np.maximum(_FLOOR, _NEAR_WORST * over.max(1, keepdims=True)))
        new_x, new_y = found.x[at], found.y[at]
        rise = found.excess[at] + plane[at[0], 0] * new_x + plane[at[0], 1] * new_y
        rows = rows.joined(_Rows(at[0], new_x, new_y, rise))
        idle[todo] += best.gap[todo] < _NEARLY
        going_on = (best.gap[todo] > CLOSED_ENOUGH) & (idle[todo] < _IDLE) & (over.max(1) > _FLOOR)
        if not going_on.any():
            break
        rows = rows.of(going_on[rows.box])
        rows.box = (np.cumsum(going_on) - 1)[rows.box]
        todo, around = todo[going_on], plane[going_on]
        worst = over.max(1)[going_on]
        unit = np.where(worst < _REFINE, worst, 1.0)
    return best


def _solve(rows: _Rows, around: Floats, unit: Floats) -> tuple[Floats, Floats]:
    """The program over all boxes: planes (boxes, 3) as alpha, beta, height, and the weight of every constraint.

    It is solved for what is to be added to the planes `around`, in the `unit` of each box, so that the solver's
    tolerance is one of the unit: iterative refinement.
    """
    count = len(unit)
    short = rows.rise - (around[rows.box] * np.stack((rows.x, rows.y, np.ones(len(rows.x))), axis=1)).sum(1)
    short /= unit[rows.box]
    # Constraints as far from active as this only spoil the numbers; those that held the plane are not among them.
    near = np.flatnonzero(short > -_FAR)
    box, x, y = rows.box[near], rows.x[near], rows.y[near]
    number = np.arange(len(near))
    entries = np.concatenate((x, y, np.ones(len(near))))
    columns = np.concatenate([3 * box + k for k in range(3)])
    matrix = coo_array((entries, (np.tile(number, 3), columns)), shape=(len(number), 3 * count)).tocsr()
    plane = cp.Variable(3 * count)
    above = matrix @ plane >= short[near]
    program = cp.Problem(cp.Minimize(np.tile((0.0, 0.0, 1.0), count) @ plane), [above])
    options = {f"{part}_feasibility_tolerance": _TOLERANCE for part in ("primal", "dual")}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an inaccurate solution is one to polish like any other
        program.solve(solver=cp.HIGHS, highs_options=options)  # type: ignore[no-untyped-call]
    if plane.value is None:
        raise cp.SolverError(f"the program over {count} boxes ended as {program.status}")
    dual = np.zeros(len(rows.box))
    dual[near] = np.maximum(np.asarray(above.dual_value), 0.0)
    return around + unit[:, None] * np.asarray(plane.value).reshape(count, 3), dual


def _with_contacts(plane: Floats, height: Floats, rows: _Rows, dual: Floats) -> Contacts:
    """The planes of a program with the three constraints of largest weight of every box."""
    order = np.lexsort((-dual, rows.box))
    heaviest = order[np.searchsorted(rows.box[order], np.arange(len(height)))[:, None] + np.arange(CONTACTS)]
    planes = (plane[:, 0], plane[:, 1], height, plane[:, 2])
    return Contacts(*planes, rows.x[heaviest], rows.y[heaviest], dual[heaviest])
