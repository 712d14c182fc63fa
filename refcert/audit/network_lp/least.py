"""The least value of a linear form over intervals or over an input set, rigorous and fast where the set is a box.

claim     Not above any value of the form. Boxes: floats, with every rounding charged; other sets: their own `least`,
          in rational arithmetic.
source    Moore, Interval Analysis (1966): the range of a sum over independent intervals.
lemma     network_lp_rounding
test      against `InputSet.least` and exact rational arithmetic.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from typing import Final

import numpy as np

from refcert.audit.network_lp.system import System
from refcert.reference.equations import Affine
from refcert.reference.errors import ReferenceFailureError
from refcert.reference.input_sets import BoxSet, FrameBalls, InputSet, SequenceBall
from refcert.reference.intervals import Interval
from refcert.reference.networks import Array
from refcert.reference.rounding import UNIT, above, below

# More than what underflow takes from one product.
UNDERFLOW: Final = sys.float_info.min
# Charges are themselves rounded sums of positive terms: off by far less than this factor.
CHARGE_SLACK: Final = 2.0


def least_on_intervals(r: Array, boxes: Array) -> float:
    """Not above r.x for any x with boxes[:, 0] <= x <= boxes[:, 1]. r (n,), boxes (n, 2)."""
    products = np.minimum(r * boxes[:, 0], r * boxes[:, 1])
    return safe_sum(products, 1)


def safe_sum(products: Array, roundings: int) -> float:
    """Not above the exact sum, where each product is off by at most so many roundings of itself."""
    total = math.fsum(products)
    sizes = float(np.abs(products).sum())
    charge = CHARGE_SLACK * (roundings * UNIT * sizes + 2.0 * UNIT * abs(total) + (len(products) + 1) * UNDERFLOW)
    if not math.isfinite(total - charge):
        raise ReferenceFailureError("a sum became infinite; scale the weights, the slopes or the inputs down")
    return total - charge


def is_box(input_set: InputSet) -> bool:
    """Whether the set is all that lies between the ends of its intervals."""
    return isinstance(input_set, BoxSet) or (
        isinstance(input_set, FrameBalls | SequenceBall) and math.isinf(input_set.p)
    )


def least_on_inputs(system: System, input_set: InputSet, boxes: Array, r: Array) -> Fraction:
    """Not above r.x for any x of the input set. r (inputs,); boxes (variables, 2), which hold the inputs."""
    if is_box(input_set):
        return Fraction(least_on_intervals(r, boxes[: len(r)]))
    form = {(x.t, x.unit): Fraction(float(a)) for x, a in zip(system.variables, r.tolist(), strict=False) if a != 0.0}
    return input_set.least(form) if form else Fraction(0)


def affine_interval(system: System, input_set: InputSet, equation: Affine, k: int, boxes: Array) -> Interval:
    """The range of an affine equation, row k of E: inputs over the input set itself, the rest over their boxes."""
    if not equation.terms:
        constant = sum((Fraction(value) for value in equation.constants), Fraction(0))
        return Interval(below(constant), above(constant))
    number = system.number[equation.variable]
    entries = slice(system.E.indptr[k], system.E.indptr[k + 1])
    columns, weights = system.E.indices[entries], -system.E.data[entries]
    columns, weights = columns[columns != number], weights[columns != number]
    at_input = columns < system.inputs
    r = np.zeros(system.inputs)
    r[columns[at_input]] = weights[at_input]
    rest, around = weights[~at_input], boxes[columns[~at_input]]
    # A stored weight, a stored constant: one rounding each, beside that of the product.
    stored = UNIT * float(np.abs(weights) @ np.abs(boxes[columns]).max(1)) + UNIT * abs(float(system.e[k])) + UNDERFLOW
    ends = []
    for sign in (1.0, -1.0):
        least = Fraction(sign * float(system.e[k])) - Fraction(CHARGE_SLACK * stored)
        if at_input.any():
            least += least_on_inputs(system, input_set, boxes, sign * r)
        if len(rest):
            least += Fraction(least_on_intervals(sign * rest, around))
        ends.append(below(least))
    return Interval(ends[0], -ends[1])
