"""The unrolled network as sparse matrices: E y = e for its affine equations, and its nonlinear ones as index columns.

Variables are numbered inputs first (frame by frame), then by depth, so that every equation reads smaller numbers only
and all equations of one depth can be handled together. Weights and constants that no float holds exactly (a third, the
sum of two biases) are stored as the nearest float; `duality` charges one rounding for each. Where that rounding is an
underflow, which no relative charge covers, the network is refused.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from refcert.reference.equations import Affine, Equation, Nonlinear, Program, Variable
from refcert.reference.errors import ReferenceInputError
from refcert.reference.networks import Array
from refcert.reference.rounding import to_float

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Level:
    """The equations of one depth: their variables are start..stop - 1, in the same order.

    affine: which of these variables (as numbers) are affine; rows: their rows of E.
    """

    start: int
    stop: int
    affine: Indices
    rows: slice
    equations: tuple[Equation, ...]


@dataclass(frozen=True)
class System:
    """E (affine, variables) = identity - weights, e (affine,); inputs: how many variables are inputs."""

    program: Program
    variables: tuple[Variable, ...]
    number: dict[Variable, int]
    E: csr_array
    e: Array
    levels: tuple[Level, ...]

    @property
    def size(self) -> int:
        """How many variables there are."""
        return len(self.variables)

    @property
    def inputs(self) -> int:
        """How many variables are inputs: they have the smallest numbers."""
        return sum(len(frame) for frame in self.program.inputs)

    @property
    def nonlinear(self) -> list[Nonlinear]:
        """The nonlinear equations, in the order of their variables' numbers."""
        return [equation for level in self.levels for equation in level.equations if isinstance(equation, Nonlinear)]

    def objective(self, C: Array) -> Array:
        """Rows over the outputs, C (rows, outputs), as rows over all variables, (rows, variables)."""
        wide = np.zeros((len(C), self.size))
        for column, variable in enumerate(self.program.outputs):
            wide[:, self.number[variable]] += C[:, column]
        return wide


def system_of(program: Program) -> System:
    """The matrices of an unrolled network."""
    inputs = [variable for frame in program.inputs for variable in frame]
    groups = _by_depth(program)
    variables = (*inputs, *(equation.variable for group in groups for equation in group))
    number = {variable: k for k, variable in enumerate(variables)}
    levels: list[Level] = []
    found: list[Affine] = []
    start = len(inputs)
    for group in groups:
        here = [equation for equation in group if isinstance(equation, Affine)]
        affine = np.array([number[equation.variable] for equation in here], dtype=np.int64)
        rows = slice(len(found), len(found) + len(here))
        levels.append(Level(start, start + len(group), affine, rows, tuple(group)))
        found += here
        start += len(group)
    E, e = _equalities(found, number)
    return System(program, variables, number, E, e, tuple(levels))


def _by_depth(program: Program) -> list[list[Equation]]:
    """Equations grouped by the length of the longest chain of equations before them."""
    depth: dict[Variable, int] = defaultdict(int)
    groups: dict[int, list[Equation]] = defaultdict(list)
    for equation in program.equations:
        depth[equation.variable] = 1 + max((depth[other] for other in _operands(equation)), default=0)
        groups[depth[equation.variable]].append(equation)
    return [groups[k] for k in sorted(groups)]


def _operands(equation: Equation) -> Sequence[Variable]:
    if isinstance(equation, Affine):
        return [variable for _, variable in equation.terms]
    return [equation.v] if equation.z is None else [equation.v, equation.z]


def _equalities(affine: Sequence[Affine], number: dict[Variable, int]) -> tuple[csr_array, Array]:
    rows, columns, values, constants = [], [], [], []
    for k, equation in enumerate(affine):
        weights: dict[int, Fraction] = defaultdict(Fraction)
        for weight, variable in equation.terms:
            weights[number[variable]] += Fraction(weight)
        rows += [k] * (len(weights) + 1)
        columns += [number[equation.variable], *weights]
        values += [1.0, *(-_stored(weight, equation.variable) for weight in weights.values())]
        constants.append(
            _stored(sum((Fraction(value) for value in equation.constants), Fraction(0)), equation.variable)
        )
    shape = len(affine), len(number)
    return csr_array((values, (rows, columns)), shape=shape, dtype=np.float64), np.array(constants, dtype=np.float64)


def _stored(value: Fraction, variable: Variable) -> float:
    """The nearest float, off by at most one unit roundoff of itself. Raises ReferenceInputError where it underflows."""
    nearest = to_float(value)
    if abs(nearest) < sys.float_info.min and Fraction(nearest) != value:
        raise ReferenceInputError(
            f"{variable} has a weight or constant of {value.numerator / value.denominator!r}, which no float holds to "
            "full accuracy; set it to zero or scale the network up"
        )
    return nearest
