"""Global linear bounds for given planes: substitute backwards through time, one scalar equation at a time.

claim     For every input of the set, row >= `lower`, if the planes hold on the boxes and the boxes are sound.
source    POPQORN (Ko et al. 2019), theorems A.2 (vanilla RNN), A.3 (LSTM) and A.6 (GRU). The theorems' sums over k of
          Lambda^(k), Omega^(k) are this recursion written out: the coefficient of h^(k) (of c^(k)) is complete once
          every later equation has been substituted; a positive one takes the lower plane, a negative one the upper;
          what reaches the inputs is minimised by the dual norm. One direction only: upper(row) = -lower(-row).
sound     yes. exact: in rational arithmetic, no rounding at all. Otherwise in floats, and every rounded product and
          sum is charged UNIT times its size times the largest absolute value of its variable, as it occurs.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from refcert.reference.equations import Affine, Nonlinear, Program, Variable, Weight
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.exact_planes import PlanePair
from refcert.reference.input_sets import InputSet
from refcert.reference.intervals import Interval
from refcert.reference.rounding import UNIT, below

# The charge is itself a rounded sum of positive terms: off by far less than this factor.
CHARGE_SLACK: Final = 2.0
# More than what underflow takes from one product.
UNDERFLOW: Final = sys.float_info.min

Planes = Mapping[Variable, PlanePair]
Boxes = Mapping[Variable, Interval]
Row = Mapping[Variable, Weight]


@dataclass(frozen=True)
class RowBound:
    """A lower bound of one row.

    lower: rigorous; value: the same before the charge for rounding was taken off; charge: that charge; absolute: the
    sum of the absolute values of all terms that were added, what a rounding budget is a multiple of; form, constant:
    the linear bound in the inputs.
    """

    lower: float
    value: Fraction
    charge: float
    absolute: float
    form: dict[tuple[int, int], Fraction]
    constant: Fraction


@dataclass
class _Form:
    """sum of coefficients * variable + constant, while it is being rewritten."""

    exact: bool
    coefficients: dict[Variable, Weight] = field(default_factory=dict)
    constant: Weight = 0.0
    charge: float = 0.0
    absolute: float = 0.0

    def add(self, factor: Weight, weight: Weight, variable: Variable, box: Interval) -> None:
        """Add factor * weight * variable."""
        before = self.coefficients.get(variable, 0.0)
        self.coefficients[variable] = self._sum(before, factor, weight, box.magnitude)

    def add_constant(self, factor: Weight, value: Weight) -> None:
        """Add factor * value."""
        self.constant = self._sum(self.constant, factor, value, 1.0)

    def _sum(self, before: Weight, factor: Weight, weight: Weight, magnitude: float) -> Weight:
        self.absolute += abs(float(factor) * float(weight)) * magnitude
        if self.exact:
            return Fraction(before) + Fraction(factor) * Fraction(weight)
        product = float(factor) * float(weight)
        total = float(before) + product
        if not math.isfinite(total):
            raise ReferenceFailureError(f"a coefficient became {total}; scale the weights or the slopes down")
        # two roundings in the product, since a Fraction's float may be rounded, and one in the sum
        self.charge += (UNIT * (2.0 * abs(product) + abs(total)) + UNDERFLOW) * max(magnitude, 1.0)
        return total


def lower_bound(
    program: Program,
    input_set: InputSet,
    row: Row,
    planes: Planes,
    boxes: Boxes,
    constant: float = 0.0,
    exact: bool = False,
) -> RowBound:
    """The lower bound of sum of row[variable] * variable + constant.

    boxes: an interval for every variable that is met (only the charge and `absolute` use it). Raises
    ReferenceInputError where a plane is missing.
    """
    form = _Form(exact)
    form.add_constant(1.0, constant)
    for variable, weight in row.items():
        form.add(1.0, weight, variable, boxes[variable])
    for equation in reversed(program.equations):
        A = form.coefficients.pop(equation.variable, 0.0)
        if A == 0:
            continue
        if isinstance(equation, Affine):
            for weight, variable in equation.terms:
                form.add(A, weight, variable, boxes[variable])
            for value in equation.constants:
                form.add_constant(A, value)
        else:
            _take_plane(form, A, equation, planes, boxes)
    return _concretize(form, program, input_set)


def _take_plane(form: _Form, A: Weight, equation: Nonlinear, planes: Planes, boxes: Boxes) -> None:
    """A f(v, z) >= A (plane): the lower plane for A > 0, the upper one for A < 0."""
    if equation.variable not in planes:
        raise ReferenceInputError(f"no planes are given for {equation.variable}")
    pair = planes[equation.variable]
    plane = pair.lower if A > 0 else pair.upper
    form.add(A, plane.slope_v, equation.v, boxes[equation.v])
    if equation.z is not None:
        form.add(A, plane.slope_z, equation.z, boxes[equation.z])
    form.add_constant(A, plane.offset)


def _concretize(form: _Form, program: Program, input_set: InputSet) -> RowBound:
    coefficients = {
        (t, i): Fraction(form.coefficients.pop(variable, 0.0))
        for t, frame in enumerate(program.inputs)
        for i, variable in enumerate(frame)
    }
    left = [variable for variable, weight in form.coefficients.items() if weight != 0]
    if left:
        raise ReferenceFailureError(f"{left[0]} was never substituted; the equations are out of order")
    value = Fraction(form.constant) + input_set.least(coefficients)
    charge = CHARGE_SLACK * form.charge
    return RowBound(
        below(value - Fraction(charge)), value, charge, form.absolute, coefficients, Fraction(form.constant)
    )


def interval_of(
    program: Program, input_set: InputSet, variable: Variable, planes: Planes, boxes: Boxes, exact: bool = False
) -> Interval:
    """Both bounds of one variable; the upper one is minus the lower one of its negative."""
    lower = lower_bound(program, input_set, {variable: 1.0}, planes, boxes, exact=exact).lower
    upper = -lower_bound(program, input_set, {variable: -1.0}, planes, boxes, exact=exact).lower
    return Interval(lower, upper)
