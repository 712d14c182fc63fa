"""Any number of planes per nonlinearity, and boxes, as the rows of G y <= h.

A lower plane a v + b z + g of y_k is the row -y_k + a v + b z <= -g, an upper one y_k - a v - b z <= g. A box of y_j
is a pair of planes without slopes. Rows are sorted by the variable that they bound (`owner`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from refcert.audit.network_lp.system import Indices, System
from refcert.reference.equations import Nonlinear, Variable
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.exact_planes import Plane, PlanePair
from refcert.reference.intervals import Interval
from refcert.reference.networks import Array


class PlaneSet(NamedTuple):
    """Planes of one nonlinearity, at least one on each side."""

    lower: tuple[Plane, ...]
    upper: tuple[Plane, ...]

    def with_more(self, other: PlaneSet) -> PlaneSet:
        """These planes and, behind them, those that are new."""
        return PlaneSet(
            tuple(dict.fromkeys((*self.lower, *other.lower))), tuple(dict.fromkeys((*self.upper, *other.upper)))
        )


PlaneSets = Mapping[Variable, PlaneSet]
Boxes = Mapping[Variable, Interval]


def single(planes: Mapping[Variable, PlanePair]) -> dict[Variable, PlaneSet]:
    """One pair per nonlinearity."""
    return {variable: PlaneSet((pair.lower,), (pair.upper,)) for variable, pair in planes.items()}


def joined(several: Iterable[PlaneSets]) -> dict[Variable, PlaneSet]:
    """All planes together; the first of the first comes first."""
    result: dict[Variable, PlaneSet] = {}
    for planes in several:
        for variable, more in planes.items():
            result[variable] = result[variable].with_more(more) if variable in result else more
    return result


@dataclass(frozen=True)
class Inequalities:
    """G (rows, variables) y <= h (rows,). owner (rows,): the variable that a row bounds; upper (rows,): from above?

    first_lower, first_upper (variables,): the row of a nonlinearity's first plane of each side, -1 elsewhere.
    """

    G: csr_array
    h: Array
    owner: Indices
    upper: NDArray[np.bool_]
    first_lower: Indices
    first_upper: Indices

    def rows(self, start: int, stop: int) -> slice:
        """The rows that bound the variables start..stop - 1."""
        first, last = np.searchsorted(self.owner, (start, stop))
        return slice(int(first), int(last))


def inequalities(system: System, planes: PlaneSets, boxes: Boxes | None, known: int | None = None) -> Inequalities:
    """The rows of all planes, and of the boxes of all variables but the inputs where `boxes` is given.

    known: leave out variables from this number on. Raises ReferenceInputError where a nonlinearity has no planes.
    """
    stop = system.size if known is None else known
    equations = {equation.variable: equation for equation in system.nonlinear}
    found = _Rows(system.size)
    for k in range(system.inputs, stop):
        variable = system.variables[k]
        equation = equations.get(variable)
        if equation is not None:
            if variable not in planes:
                raise ReferenceInputError(f"no planes are given for {variable}; give a lower and an upper one")
            found.planes(k, equation, planes[variable], system.number)
        if boxes is not None:
            found.add(k, False, boxes[variable].lower, ())
            found.add(k, True, boxes[variable].upper, ())
    return found.finished()


class _Rows:
    def __init__(self, size: int) -> None:
        self.size = size
        self.owner: list[int] = []
        self.upper: list[bool] = []
        self.h: list[float] = []
        self.entries: tuple[list[int], list[int], list[float]] = ([], [], [])
        self.first = np.full((2, size), -1, dtype=np.int64)

    def planes(self, k: int, equation: Nonlinear, planes: PlaneSet, number: Mapping[Variable, int]) -> None:
        if not (planes.lower and planes.upper):
            raise ReferenceInputError(f"{equation.variable} has planes on one side only; give a lower and an upper one")
        for upper, side in ((False, planes.lower), (True, planes.upper)):
            self.first[int(upper), k] = len(self.h)
            for plane in side:
                slopes = [(number[equation.v], float(plane.slope_v))]
                if equation.z is not None:
                    slopes.append((number[equation.z], float(plane.slope_z)))
                self.add(k, upper, float(plane.offset), slopes)

    def add(self, k: int, upper: bool, offset: float, slopes: Iterable[tuple[int, float]]) -> None:
        """One row."""
        sign = 1.0 if upper else -1.0
        row, merged = len(self.h), {k: sign}
        for j, slope in slopes:
            if j in merged:
                raise ReferenceInputError(f"variable {k} reads variable {j} twice; give it two arguments")
            merged[j] = -sign * slope
        self.owner.append(k)
        self.upper.append(upper)
        self.h.append(sign * offset)
        self.entries[0].extend([row] * len(merged))
        self.entries[1].extend(merged)
        self.entries[2].extend(merged.values())

    def finished(self) -> Inequalities:
        rows, columns, values = self.entries
        h = np.array(self.h, dtype=np.float64)
        if not (np.isfinite(h).all() and np.isfinite(values).all()):
            raise ReferenceFailureError("a plane or a box is not finite; a linear program needs finite numbers")
        G = csr_array((values, (rows, columns)), shape=(len(h), self.size), dtype=np.float64)
        return Inequalities(
            G, h, np.array(self.owner, dtype=np.int64), np.array(self.upper, dtype=bool), self.first[0], self.first[1]
        )
