"""The whole algorithm: boxes and planes, equation by equation in order of computation, then the rows.

claim     Every row lies between `lower` and `upper` for every input of the set.
source    POPQORN (Ko et al. 2019), section 3 and theorems A.2, A.3, A.6: the planes of frame t need boxes of its
          pre-activations and states, which are outputs of the network cut off there, so the same theorem bounds them.
          Each is intersected with the interval bound.
sound     yes, see `backsubstitution` and `exact_planes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from refcert.reference.backsubstitution import Boxes, Planes, RowBound, interval_of, lower_bound
from refcert.reference.equations import Affine, Nonlinear, Program, Variable
from refcert.reference.errors import ReferenceInputError
from refcert.reference.exact_planes import PlanePair
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import POINT_ZERO, Interval, affine_range, intersect, kind_interval
from refcert.reference.least_volume import METHODS
from refcert.reference.networks import Array, Network
from refcert.reference.rounding import above, below
from refcert.reference.unrolling import unroll


@dataclass(frozen=True)
class Bounds:
    """lower, upper (rows,); the rows' linear bounds; a box per variable and the planes per nonlinearity."""

    lower: Array
    upper: Array
    rows: tuple[RowBound, ...]
    boxes: dict[Variable, Interval]
    planes: dict[Variable, PlanePair]
    program: Program


def bound(
    network: Network,
    input_set: InputSet,
    C: Array,
    d: Array | None = None,
    method: str = "planes",
    maximum: str = "chain",
    exact: bool = False,
) -> Bounds:
    """Bounds of the rows C F(x) + d. C (rows, outputs), d (rows,); outputs are frame by frame for the readout `every`.

    method: one of METHODS; maximum: see `unrolling.MAXIMA`; exact: rational arithmetic (tiny networks).
    """
    if method not in METHODS:
        raise ReferenceInputError(f"method {method!r} is not known; known: {', '.join(METHODS)}")
    program = unroll(network, *input_set.shape, maximum)
    boxes, planes = derive_boxes(program, input_set, lambda equation, v, z: METHODS[method](equation.kind, v, z), exact)
    lower, upper, rows, _ = row_bounds(program, input_set, C, d, planes, boxes, exact)
    return Bounds(lower, upper, rows, boxes, planes, program)


ChoosePlanes = Callable[[Nonlinear, Interval, Interval], PlanePair]


def derive_boxes(
    program: Program, input_set: InputSet, choose: ChoosePlanes, exact: bool = False
) -> tuple[dict[Variable, Interval], dict[Variable, PlanePair]]:
    """A box for every variable and planes for every nonlinearity, in order of computation.

    choose(equation, v, z): the planes for the box v, z of the equation's arguments.
    """
    boxes = input_boxes(program, input_set)
    planes: dict[Variable, PlanePair] = {}
    arguments = program.arguments()
    for equation in program.equations:
        if isinstance(equation, Affine):
            here = joint_range(equation, boxes, input_set)
        else:
            z = POINT_ZERO if equation.z is None else boxes[equation.z]
            planes[equation.variable] = choose(equation, boxes[equation.v], z)
            here = kind_interval(equation.kind, boxes[equation.v], z)
        boxes[equation.variable] = here
        if equation.variable in arguments:
            found = interval_of(program, input_set, equation.variable, planes, boxes, exact)
            boxes[equation.variable] = intersect(here, found, equation.variable)
    return boxes, planes


def joint_range(equation: Affine, boxes: Boxes, input_set: InputSet) -> Interval:
    """The range of an affine row: what comes from the input over the input set itself, the rest over its intervals."""
    frames: dict[tuple[int, int], Fraction] = {}
    rest = []
    for weight, variable in equation.terms:
        if variable.place == "input":
            key = variable.t, variable.unit
            frames[key] = frames.get(key, Fraction(0)) + Fraction(weight)
        else:
            rest.append((weight, variable))
    lower, upper = affine_range(Affine(equation.variable, tuple(rest), equation.constants), boxes)
    if frames:
        lower += input_set.least(frames)
        upper -= input_set.least({key: -weight for key, weight in frames.items()})
    return Interval(below(lower), above(upper))


def input_boxes(program: Program, input_set: InputSet) -> dict[Variable, Interval]:
    """The interval of every input value."""
    return {
        variable: input_set.interval(t, i) for t, frame in enumerate(program.inputs) for i, variable in enumerate(frame)
    }


def row_bounds(
    program: Program,
    input_set: InputSet,
    C: Array,
    d: Array | None,
    planes: Planes,
    boxes: Boxes,
    exact: bool = False,
) -> tuple[Array, Array, tuple[RowBound, ...], tuple[RowBound, ...]]:
    """Lower and upper bounds of C F(x) + d by back-substitution, and in full: of the rows, and of their negatives."""
    if C.ndim != 2 or C.shape[1] != len(program.outputs):
        raise ReferenceInputError(f"C has shape {C.shape}; it needs (rows, {len(program.outputs)})")
    constants = np.zeros(len(C)) if d is None else d
    lowers, uppers = [], []
    for weights, constant in zip(C, constants, strict=True):
        row = _row(program, weights)
        minus = {variable: -weight for variable, weight in row.items()}
        lowers.append(lower_bound(program, input_set, row, planes, boxes, float(constant), exact))
        uppers.append(lower_bound(program, input_set, minus, planes, boxes, -float(constant), exact))
    lower = np.array([result.lower for result in lowers])
    upper = np.array([-result.lower for result in uppers])
    return lower, upper, tuple(lowers), tuple(uppers)


def _row(program: Program, weights: Array) -> Mapping[Variable, float]:
    return {variable: float(weight) for variable, weight in zip(program.outputs, weights, strict=True)}
