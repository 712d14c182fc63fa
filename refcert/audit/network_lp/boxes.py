"""A box for every variable and sound planes for every nonlinearity, from planes that somebody gave for boxes of theirs.

claim     Every variable stays in its box for every input of the set: each plane used is proved on the boxes derived.
idea      As `reference.bounds.derive_boxes`, depth by depth instead of scalar by scalar: interval arithmetic, and for
          arguments of nonlinearities back-substitution, many rows at once, by `duality`. With several starts (planes
          of several relaxations) a box is the intersection over all of them.
octagons  For planes that were made for one, v + z and v - z are bounded again by back-substitution, too.
moved     How many planes do not hold on the derived boxes as given and got an exact offset there; see `proved`.
source    POPQORN (Ko et al. 2019), section 3 and theorems A.2, A.3, A.6.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from refcert.audit.network_lp.duality import bound_by_multipliers, eliminate
from refcert.audit.network_lp.least import affine_interval
from refcert.audit.network_lp.planes import inequalities, single
from refcert.audit.network_lp.proved import sound_pair
from refcert.audit.network_lp.system import Level, System
from refcert.reference.equations import Affine, Nonlinear, Variable
from refcert.reference.errors import ReferenceInputError
from refcert.reference.exact_planes import PlanePair
from refcert.reference.given_planes import Given
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import POINT_ZERO, Interval, intersect, kind_interval
from refcert.reference.networks import Array
from refcert.reference.octagons import Diagonals, box_diagonals

GivenPlanes = Mapping[Variable, Given]
Pairs = dict[Variable, PlanePair]


@dataclass(frozen=True)
class Derived:
    """boxes of all variables; starts: the planes used, one pair per nonlinearity and start; moved: see above."""

    boxes: dict[Variable, Interval]
    starts: tuple[Pairs, ...]
    moved: int

    def array(self, system: System) -> Array:
        """The boxes as (variables, 2)."""
        return as_array(system, self.boxes)


def as_array(system: System, boxes: Mapping[Variable, Interval]) -> Array:
    """Boxes as (variables, 2); what has none yet is unbounded."""
    unbounded = Interval(-np.inf, np.inf)
    return np.array([boxes.get(variable, unbounded) for variable in system.variables])


def derive(
    system: System,
    input_set: InputSet,
    starts: Sequence[GivenPlanes],
    intervals: bool = True,
    prove: bool = True,
) -> Derived:
    """Boxes and planes from the given planes of one or several starts.

    prove: see `proved.sound_pair`. intervals: False leaves interval arithmetic out of the boxes of arguments: they are
    back-substitution's alone.
    """
    if not starts:
        raise ReferenceInputError("no planes are given; give at least one pair per nonlinearity")
    boxes: dict[Variable, Interval] = {
        variable: input_set.interval(variable.t, variable.unit) for variable in system.variables[: system.inputs]
    }
    pairs: tuple[Pairs, ...] = tuple({} for _ in starts)
    arguments, moved = system.program.arguments(), 0
    for level in system.levels:
        known = as_array(system, boxes)
        row = level.rows.start
        diagonals = [
            _diagonals(system, level, input_set, planes, boxes, start)
            for start, planes in zip(starts, pairs, strict=True)
        ]
        for equation in level.equations:
            if isinstance(equation, Affine):
                boxes[equation.variable] = affine_interval(system, input_set, equation, row, known)
                row += 1
                continue
            v, z = boxes[equation.v], POINT_ZERO if equation.z is None else boxes[equation.z]
            boxes[equation.variable] = kind_interval(equation.kind, v, z)
            for number, (start, planes) in enumerate(zip(starts, pairs, strict=True)):
                given, own = start.get(equation.variable), diagonals[number].get(equation.variable)
                found = sound_pair(given, equation, v, z, prove, own)
                planes[equation.variable] = found.planes
                moved += found.moved
        asked = [equation.variable for equation in level.equations if equation.variable in arguments]
        if asked:
            for number, planes in enumerate(pairs):
                ranges = _by_back_substitution(system, level, input_set, planes, boxes, asked)
                for variable, interval in ranges.items():
                    plain = intervals or number > 0
                    boxes[variable] = intersect(boxes[variable], interval, variable) if plain else interval
    return Derived(boxes, pairs, moved)


def _diagonals(
    system: System,
    level: Level,
    input_set: InputSet,
    planes: Pairs,
    boxes: Mapping[Variable, Interval],
    given: GivenPlanes,
) -> dict[Variable, Diagonals]:
    """Bounds of v + z and v - z, by back-substitution and by the box, of the level's products that were given some."""
    asked = [
        (equation, equation.z)
        for equation in level.equations
        if isinstance(equation, Nonlinear) and equation.z is not None and _has_diagonals(given, equation)
    ]
    if not asked:
        return {}
    C = np.zeros((4 * len(asked), system.size))
    for k, (equation, z) in enumerate(asked):
        C[4 * k : 4 * k + 4, system.number[equation.v]] = 1.0, -1.0, 1.0, -1.0
        C[4 * k : 4 * k + 4, system.number[z]] = 1.0, -1.0, -1.0, 1.0
    rows = inequalities(system, single(planes), None, level.start)
    found = bound_by_multipliers(
        *(system, rows, input_set, as_array(system, boxes), C, np.zeros(len(C)), eliminate(system, rows, C)),
        level.start,
    )
    result = {}
    for (equation, z), ends in zip(asked, found.reshape(-1, 4).tolist(), strict=True):
        derived = Interval(ends[0], -ends[1]), Interval(ends[2], -ends[3])
        plain = box_diagonals(boxes[equation.v], boxes[z])
        what = f"a diagonal of {equation.variable}"
        result[equation.variable] = Diagonals(
            *(intersect(one, other, what) for one, other in zip(plain, derived, strict=True))
        )
    return result


def _has_diagonals(given: GivenPlanes, equation: Nonlinear) -> bool:
    planes = given.get(equation.variable)
    return planes is not None and planes.diagonals is not None


def _by_back_substitution(
    system: System,
    level: Level,
    input_set: InputSet,
    planes: Pairs,
    boxes: Mapping[Variable, Interval],
    asked: Sequence[Variable],
) -> dict[Variable, Interval]:
    """Both bounds of some variables of a level; the upper one is minus the lower one of the negative."""
    rows = inequalities(system, single(planes), None, level.stop)
    C = np.zeros((2 * len(asked), system.size))
    for k, variable in enumerate(asked):
        C[k, system.number[variable]] = 1.0
        C[len(asked) + k, system.number[variable]] = -1.0
    found = bound_by_multipliers(
        system,
        rows,
        input_set,
        as_array(system, boxes),
        C,
        np.zeros(len(C)),
        eliminate(system, rows, C),
        level.stop,
    )
    lower, upper = found[: len(asked)], -found[len(asked) :]
    return {
        variable: Interval(float(low), float(high)) for variable, low, high in zip(asked, lower, upper, strict=True)
    }
