"""Boxes from the relaxation itself: arguments of nonlinearities bounded by the program, not by back-substitution.

claim     Every box returned holds its variable: each end is a bound of `solve`, intersected with the box before.
idea      In order of computation: two programs for each argument, then planes of least volume on the smaller boxes,
          which make the programs of later arguments tighter. Planes of the larger boxes hold there too and stay.
source    optimality-based bound tightening; Salman et al. (2019), LP-ALL.
cost      two programs per argument: for small networks only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

import numpy as np

from refcert.audit.network_lp.planes import Boxes, PlaneSet, PlaneSets
from refcert.audit.network_lp.proved import sound_plane
from refcert.audit.network_lp.solve import NetworkLP
from refcert.audit.network_lp.system import System
from refcert.audit.tightness_lp import Optimum, least_volumes
from refcert.reference.equations import Nonlinear, Variable
from refcert.reference.errors import ReferenceInputError
from refcert.reference.exact_planes import Plane
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import POINT_ZERO, Interval, intersect, kind_interval
from refcert.reference.least_volume import least_volume

MOST_ARGUMENTS: Final = 200
SIDES: Final = ("lower", "upper")


def tightened(
    system: System, input_set: InputSet, planes: PlaneSets, boxes: Boxes
) -> tuple[dict[Variable, Interval], dict[Variable, PlaneSet]]:
    """Smaller boxes, and the given planes with those of least volume on the smaller boxes behind them.

    Raises ReferenceInputError for networks of more than MOST_ARGUMENTS arguments.
    """
    arguments = system.program.arguments()
    if len(arguments) > MOST_ARGUMENTS:
        raise ReferenceInputError(
            f"boxes by linear programs take two for each of {len(arguments)} arguments, which is for at most "
            f"{MOST_ARGUMENTS}; leave this step out"
        )
    smaller, more = dict(boxes), dict(planes)
    for level in system.levels:
        nonlinear = [equation for equation in level.equations if isinstance(equation, Nonlinear)]
        if nonlinear:
            best = _least_volume(nonlinear, smaller)
            for equation in nonlinear:
                more[equation.variable] = more[equation.variable].with_more(best[equation.variable])
                z = POINT_ZERO if equation.z is None else smaller[equation.z]
                image = kind_interval(equation.kind, smaller[equation.v], z)
                smaller[equation.variable] = intersect(smaller[equation.variable], image, equation.variable)
        asked = [equation.variable for equation in level.equations if equation.variable in arguments]
        if not asked:
            continue
        program = NetworkLP(system, input_set, more, smaller, True)
        for variable in asked:
            if smaller[variable].lower < smaller[variable].upper:
                smaller[variable] = intersect(smaller[variable], _range(program, system, variable), variable)
    return smaller, more


def _range(program: NetworkLP, system: System, variable: Variable) -> Interval:
    c = np.zeros(system.size)
    c[system.number[variable]] = 1.0
    return Interval(program.minimise(c, 0.0).lower, -program.minimise(-c, 0.0).lower)


def least_volume_planes(system: System, boxes: Boxes) -> dict[Variable, PlaneSet]:
    """The pair of least volume of every nonlinearity on these boxes."""
    return _least_volume(system.nonlinear, boxes)


def _least_volume(equations: Sequence[Nonlinear], boxes: Boxes) -> dict[Variable, PlaneSet]:
    """Pairs of least volume of some nonlinearities, all solved together."""
    places = [(e, boxes[e.v], POINT_ZERO if e.z is None else boxes[e.z], side) for e in equations for side in SIDES]
    optima = least_volumes(
        np.array([equation.kind for equation, *_ in places], dtype=np.str_),
        np.array([side for *_, side in places], dtype=np.str_),
        np.array([(*v, *z) for _, v, z, _ in places], dtype=np.float64).reshape(-1, 4),
    )
    planes: dict[Variable, list[Plane]] = defaultdict(list)
    for (equation, v, z, side), optimum in zip(places, optima, strict=True):
        # A box without area, or a flat surface: the slow program knows a plane all the same.
        known = optimum.plane if isinstance(optimum, Optimum) else None
        best = known or least_volume(equation.kind, v, z, side).plane
        slope_z = 0.0 if equation.z is None else best.slope_z
        planes[equation.variable].append(sound_plane(equation, side, v, z, best.slope_v, slope_z))
    return {variable: PlaneSet((lower,), (upper,)) for variable, (lower, upper) in planes.items()}
