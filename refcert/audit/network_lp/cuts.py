"""The limit of single-neuron relaxations on given boxes: add planes where the solution leaves a neuron's convex hull.

claim     Every value is a bound as in `solve`. Where `left` is zero the solver's solution is inside the convex hull of
          every nonlinearity, up to the tolerance: no further plane on these boxes can move it by more.
idea      Solve; at each neuron ask `hull` for the plane that the solution violates; add them; repeat. Planes serve all
          later forms too.
source    Kelley, The cutting-plane method (1960); Salman et al. (2019): the barrier of single-neuron relaxations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from refcert.audit.network_lp.hull import Hull
from refcert.audit.network_lp.planes import Boxes, PlaneSet, PlaneSets
from refcert.audit.network_lp.solve import NetworkLP, Relaxed
from refcert.audit.network_lp.system import System
from refcert.reference.equations import Variable
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import POINT_ZERO
from refcert.reference.networks import Array

# In units of the variable's box: what still lies outside a hull by less is not cut off.
TOLERANCE: Final = 1e-6
ROUNDS: Final = 20
# Boxes narrower than this share of their magnitude hold a neuron as well as its hull does.
NARROW: Final = 1e-9


@dataclass(frozen=True)
class AtLimit:
    """bound; left: the largest distance from a hull, in units of the variable's box; rounds; cuts: planes added."""

    bound: Relaxed
    left: float
    rounds: int
    cuts: int


class CuttingPlanes:
    """The program with planes added form by form. planes: all so far."""

    def __init__(self, system: System, input_set: InputSet, planes: PlaneSets, boxes: Boxes) -> None:
        self.system, self.input_set, self.boxes = system, input_set, boxes
        self.planes: dict[Variable, PlaneSet] = dict(planes)
        self._hulls = [
            Hull(equation, boxes[equation.v], POINT_ZERO if equation.z is None else boxes[equation.z])
            for equation in system.nonlinear
        ]
        self._program = NetworkLP(system, input_set, self.planes, boxes, True)

    def minimise(self, c: Array, d: float, rounds: int = ROUNDS, tolerance: float = TOLERANCE) -> AtLimit:
        """The least value of c.y + d at the limit; after so many rounds at the latest, with what is left."""
        best = self._program.minimise(c, d)
        cuts, done, left = 0, 0, self._cut(best.point, tolerance)
        while left.cuts and done < rounds:
            done, cuts = done + 1, cuts + left.cuts
            self._program = NetworkLP(self.system, self.input_set, self.planes, self.boxes, True)
            found = self._program.minimise(c, d)
            best = Relaxed(max(best.lower, found.lower), found.primal, found.point)
            left = self._cut(found.point, tolerance)
        return AtLimit(best, left.largest, done, cuts)

    def _cut(self, point: Array, tolerance: float) -> _Left:
        largest, cuts = 0.0, 0
        for hull in self._hulls:
            equation = hull.equation
            v = float(point[self.system.number[equation.v]])
            z = 0.0 if equation.z is None else float(point[self.system.number[equation.z]])
            y = float(point[self.system.number[equation.variable]])
            box = self.boxes[equation.variable]
            width = box.upper - box.lower
            if not width > NARROW * max(box.magnitude, NARROW):
                continue
            found = hull.violated_plane(v, z, y, tolerance * width)
            if found is None:
                continue
            side, plane, excess = found
            largest, cuts = max(largest, excess / width), cuts + 1
            more = PlaneSet((plane,), ()) if side == "lower" else PlaneSet((), (plane,))
            self.planes[equation.variable] = self.planes[equation.variable].with_more(more)
        return _Left(largest, cuts)


@dataclass(frozen=True)
class _Left:
    largest: float
    cuts: int
