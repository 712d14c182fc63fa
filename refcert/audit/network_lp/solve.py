"""The convex relaxation of the whole unrolled network: one program, solved for any linear form of its variables.

Method card
    Claim      `Relaxed.lower` is a rigorous lower bound of the form over the network's values on the input set
               (`duality`); `Relaxed.primal` is the solver's own optimum, not rigorous. Their difference bounds what the
               solver and rounding lost.
    Source     Salman et al. (2019), section 4: minimise a linear form subject to the relaxation of every neuron, here
               of POPQORN's planes (Ko et al. 2019, eq. 5, 6).
    Solvers    HiGHS for polyhedral input sets, Clarabel for second-order and power cones, both through cvxpy.
    Errors     ReferenceFailureError where no point satisfies all planes and boxes: one of them does not hold.
    Test       never looser than back-substitution, equal to it for one pair on its own boxes, never above a sample.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any, Final

import cvxpy
import numpy as np

from refcert.audit.network_lp.duality import bound_by_multipliers, eliminate
from refcert.audit.network_lp.planes import Boxes, PlaneSets, inequalities
from refcert.audit.network_lp.sets import constraints_of, is_conic
from refcert.audit.network_lp.system import System
from refcert.reference.errors import ReferenceFailureError
from refcert.reference.input_sets import InputSet
from refcert.reference.networks import Array

cp: Any = cvxpy  # its types do not cover what it exports

# Of the solver, for how near its optimum is. Nothing rests on it: bounds come from multipliers, whatever they are.
ACCURACY: Final = 1e-9
_HIGHS: Final = {"primal_feasibility_tolerance": ACCURACY, "dual_feasibility_tolerance": ACCURACY}
_CLARABEL: Final = {"tol_gap_abs": ACCURACY, "tol_gap_rel": ACCURACY, "tol_feas": ACCURACY}
# One after the other, should one give up: on very thin boxes HiGHS may, at this accuracy. Conic sets: the last one.
_SOLVERS: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    (cp.HIGHS, _HIGHS),
    (cp.HIGHS, {}),
    (cp.CLARABEL, _CLARABEL),
)
SOLVED: Final = (cp.OPTIMAL, cp.OPTIMAL_INACCURATE)
EMPTY: Final = (cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE)


@dataclass(frozen=True)
class Relaxed:
    """One form's bound: lower (rigorous) <= what the network takes; primal and point (variables,) of the solver."""

    lower: float
    primal: float
    point: Array

    @property
    def gap(self) -> float:
        """What lies between the rigorous bound and the solver's optimum."""
        return self.primal - self.lower


class NetworkLP:
    """All planes, and boxes if `with_boxes`, as one program. boxes: rigorous, for every variable."""

    def __init__(self, system: System, input_set: InputSet, planes: PlaneSets, boxes: Boxes, with_boxes: bool) -> None:
        self.system, self.input_set = system, input_set
        self.boxes = np.array([boxes[variable] for variable in system.variables])
        self.rows = inequalities(system, planes, boxes if with_boxes else None)
        self._y = cp.Variable(system.size)
        self._c = cp.Parameter(system.size)
        limits = [self.rows.G @ self._y <= self.rows.h] if len(self.rows.h) else []
        equations = [system.E @ self._y == system.e] if len(system.e) else []
        self._limits = limits[0] if limits else None
        inputs = constraints_of(system, input_set, self._y)
        self._problem = cp.Problem(cp.Minimize(self._c @ self._y), [*limits, *equations, *inputs])
        self._conic = is_conic(input_set)

    def minimise(self, c: Array, d: float) -> Relaxed:
        """The least value of c.y + d, c (variables,). Raises ReferenceFailureError where there is no point at all."""
        self._c.value = c
        self._solve()
        m = np.zeros(0) if self._limits is None else np.asarray(self._limits.dual_value, dtype=np.float64)
        C = c[None]
        multipliers = eliminate(self.system, self.rows, C, m[:, None])
        lower = bound_by_multipliers(self.system, self.rows, self.input_set, self.boxes, C, np.array([d]), multipliers)
        return Relaxed(float(lower[0]), float(self._problem.value) + d, np.asarray(self._y.value, dtype=np.float64))

    def _solve(self) -> None:
        tried: list[str] = []
        for solver, options in _SOLVERS[2:] if self._conic else _SOLVERS:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # "may be inaccurate": the rigorous bound says how much
                    self._problem.solve(solver=solver, **options)
                break
            except cp.error.SolverError as error:
                tried.append(f"{solver}: {error}")
        else:
            raise ReferenceFailureError(f"no solver solved the program ({'; '.join(tried)}); scale the model down")
        status = self._problem.status
        if status in EMPTY:
            raise ReferenceFailureError(
                "no values satisfy the planes, the boxes and the input set together, though the network's own must: a "
                "plane or a box does not hold; audit the planes"
            )
        if status not in SOLVED or not math.isfinite(self._problem.value):
            raise ReferenceFailureError(f"the solver ended with {status}; scale the model down or give fewer planes")
