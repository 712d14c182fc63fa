"""A ReLU network at one input in exact rational arithmetic: whether the input really breaks a row is no guess."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from refcert.reference.equations import Affine, Program, Variable
from refcert.reference.errors import ReferenceInputError
from refcert.reference.networks import Array


def require_relu(program: Program) -> None:
    """Raises ReferenceInputError for networks with anything but ReLUs."""
    for equation in program.equations:
        if not isinstance(equation, Affine) and equation.kind != "relu":
            raise ReferenceInputError(
                f"{equation.variable} is {equation.kind}; the exact minimum is for networks of ReLUs only"
            )


def exact_rows(program: Program, x: Array, C: Array, d: Sequence[float]) -> list[Fraction]:
    """C F(x) + d at x (time, input), without any rounding. C (rows, outputs), d (rows,)."""
    values = exact_values(program, x)
    outputs = [values[variable] for variable in program.outputs]
    return [
        Fraction(float(constant))
        + sum((Fraction(float(c)) * y for c, y in zip(row, outputs, strict=True)), Fraction(0))
        for row, constant in zip(C, d, strict=True)
    ]


def exact_values(program: Program, x: Array) -> dict[Variable, Fraction]:
    """Every variable at x (time, input)."""
    values = {
        variable: Fraction(float(x[t, i])) for t, frame in enumerate(program.inputs) for i, variable in enumerate(frame)
    }
    for equation in program.equations:
        if isinstance(equation, Affine):
            constants = sum((Fraction(value) for value in equation.constants), Fraction(0))
            terms = (Fraction(weight) * values[other] for weight, other in equation.terms)
            values[equation.variable] = sum(terms, constants)
        else:
            values[equation.variable] = max(values[equation.v], Fraction(0))
    return values


def row_gradient(program: Program, x: Array, row: Array) -> Array:
    """d (row.F) / d x at x (time, input), in floats, forwards; a ReLU at exactly zero counts as off. A hint only."""
    values = exact_values(program, x)
    inputs = [variable for frame in program.inputs for variable in frame]
    slopes: dict[Variable, Array] = dict(zip(inputs, np.eye(len(inputs)), strict=True))
    for equation in program.equations:
        if isinstance(equation, Affine):
            total = np.zeros(len(inputs))
            for weight, other in equation.terms:
                total += float(weight) * slopes[other]
            slopes[equation.variable] = total
        else:
            slopes[equation.variable] = slopes[equation.v] * float(values[equation.v] > 0)
    found = sum((float(c) * slopes[y] for c, y in zip(row, program.outputs, strict=True)), np.zeros(len(inputs)))
    return np.asarray(found).reshape(x.shape)
