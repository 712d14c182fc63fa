"""A network as a list of scalar equations, each over variables that come before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from refcert.reference.errors import ReferenceInputError
from refcert.reference.networks import FUNCTIONS, Array, sigmoid

PRODUCTS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")
KINDS: Final = (*PRODUCTS, "sigmoid", "tanh", "relu")


class Variable(NamedTuple):
    """One scalar. place: `input`, `before.K`, `layers.LAYER.DIRECTION`, `readout` or `after.K`; t: the frame."""

    place: str
    t: int
    unit: int
    name: str


Weight = float | Fraction
"""A Fraction only where a float would not be exact, as in a mean over three frames."""


@dataclass(frozen=True)
class Affine:
    """variable = sum of weight * variable over `terms` + sum of `constants`."""

    variable: Variable
    terms: tuple[tuple[Weight, Variable], ...]
    constants: tuple[float, ...] = ()


@dataclass(frozen=True)
class Nonlinear:
    """variable = kind(v, z); z is None for the one-dimensional kinds."""

    variable: Variable
    kind: str
    v: Variable
    z: Variable | None = None


Equation = Affine | Nonlinear


@dataclass(frozen=True)
class Program:
    """Equations in order of computation. inputs[t][i], outputs in the order of the specification's columns."""

    inputs: tuple[tuple[Variable, ...], ...]
    equations: tuple[Equation, ...]
    outputs: tuple[Variable, ...]

    def arguments(self) -> set[Variable]:
        """The variables that enter a nonlinearity: what a box is needed of."""
        found: set[Variable] = set()
        for equation in self.equations:
            if isinstance(equation, Nonlinear):
                found.add(equation.v)
                if equation.z is not None:
                    found.add(equation.z)
        return found


def affine_row(
    variable: Variable, parts: Sequence[tuple[Array, Sequence[Variable]]], constants: Sequence[float] = ()
) -> Affine:
    """One row: the sum of several (weights (n,), n variables), plus constants."""
    terms: list[tuple[Weight, Variable]] = []
    for weights, variables in parts:
        if len(weights) != len(variables):
            raise ReferenceInputError(f"{variable}: {len(weights)} weights meet {len(variables)} values")
        terms += [(float(weight), other) for weight, other in zip(weights, variables, strict=True)]
    return Affine(variable, tuple(terms), tuple(float(value) for value in constants))


def evaluate_kind(kind: str, v: float, z: float) -> float:
    """The nonlinearity itself; z matters to the products only."""
    if kind == "sigmoid_times_tanh":
        return sigmoid(v) * math.tanh(z)
    if kind == "sigmoid_times_identity":
        return sigmoid(v) * z
    return FUNCTIONS[kind](v)


def evaluate(program: Program, x: Array) -> dict[Variable, float]:
    """Every variable's value for one input x (time, input)."""
    values: dict[Variable, float] = {}
    for t, frame in enumerate(program.inputs):
        for i, variable in enumerate(frame):
            values[variable] = float(x[t, i])
    for equation in program.equations:
        values[equation.variable] = _value(equation, values)
    return values


def _value(equation: Equation, values: Mapping[Variable, float]) -> float:
    if isinstance(equation, Affine):
        return sum(float(weight) * values[other] for weight, other in equation.terms) + sum(equation.constants)
    return evaluate_kind(equation.kind, values[equation.v], 0.0 if equation.z is None else values[equation.z])
