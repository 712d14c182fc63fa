"""Interval arithmetic of the unrolled network: a box for every variable.

claim     Every variable stays inside its interval for every input of the set. Rigorous: affine rows are summed in exact
          rational arithmetic and rounded outward once; functions are evaluated in ball arithmetic and rounded outward.
sound     yes; tight: no (every dependency between variables is lost).
source    POPQORN (Ko et al. 2019), appendix: the bounds of pre-activations that planes need; monotonicity of each kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from refcert.kernel import ball, functions
from refcert.reference.equations import Affine, Equation, Program, Variable
from refcert.reference.errors import ReferenceFailureError
from refcert.reference.rounding import above, below


class Interval(NamedTuple):
    """All numbers from lower to upper."""

    lower: float
    upper: float

    @property
    def magnitude(self) -> float:
        """The largest absolute value in it."""
        return max(abs(self.lower), abs(self.upper))


POINT_ZERO = Interval(0.0, 0.0)


def intersect(one: Interval, other: Interval, what: object = "") -> Interval:
    """What is in both. Raises ReferenceFailureError where nothing is left: then one of them is not sound."""
    result = Interval(max(one.lower, other.lower), min(one.upper, other.upper))
    if not result.lower <= result.upper:
        raise ReferenceFailureError(
            f"{what}: the bounds {one} and {other} do not meet; one of them, or a plane behind it, does not hold"
        )
    return result


def affine_interval(equation: Affine, boxes: Mapping[Variable, Interval]) -> Interval:
    """The range of an affine row over independent intervals, rounded outward."""
    lower, upper = affine_range(equation, boxes)
    return Interval(below(lower), above(upper))


def affine_range(equation: Affine, boxes: Mapping[Variable, Interval]) -> tuple[Fraction, Fraction]:
    """The exact range of an affine row over independent intervals."""
    lower = upper = sum((Fraction(value) for value in equation.constants), Fraction(0))
    for weight, variable in equation.terms:
        ends = [Fraction(weight) * Fraction(end) for end in boxes[variable]]
        lower += min(ends)
        upper += max(ends)
    return lower, upper


def kind_interval(kind: str, v: Interval, z: Interval = POINT_ZERO) -> Interval:
    """The range of a nonlinearity over a box, rounded outward.

    sigmoid, tanh and relu increase. sigmoid(v) g(z) increases with z, and is monotone in v for each z: its extremes
    are at corners, the least at z.lower, the greatest at z.upper.
    """
    if kind == "relu":
        return Interval(max(v.lower, 0.0), max(v.upper, 0.0))
    lows = [_enclose(kind, end, z.lower).lower for end in v]
    highs = [_enclose(kind, end, z.upper).upper for end in v]
    return Interval(min(lows), max(highs))


def _enclose(kind: str, v: float, z: float) -> Interval:
    """Floats around the real value at a point."""
    if kind == "tanh":
        value = functions.tanh(ball.exact(v)).value
    else:
        value = functions.sigmoid(ball.exact(v)).value
        if kind == "sigmoid_times_tanh":
            value *= functions.tanh(ball.exact(z)).value
        elif kind == "sigmoid_times_identity":
            value *= ball.exact(z)
    return Interval(ball.float_below(value), ball.float_above(value))


def equation_interval(equation: Equation, boxes: Mapping[Variable, Interval]) -> Interval:
    """The interval of one equation's variable from those of its operands."""
    if isinstance(equation, Affine):
        return affine_interval(equation, boxes)
    return kind_interval(equation.kind, boxes[equation.v], POINT_ZERO if equation.z is None else boxes[equation.z])


def interval_boxes(program: Program, inputs: Mapping[Variable, Interval]) -> dict[Variable, Interval]:
    """An interval for every variable, from those of the inputs."""
    boxes = dict(inputs)
    for equation in program.equations:
        boxes[equation.variable] = equation_interval(equation, boxes)
    return boxes
