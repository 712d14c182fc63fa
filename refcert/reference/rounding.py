"""Exact rational numbers, and the floats next to them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from refcert.reference.errors import ReferenceFailureError

UNIT: Final = 2.0**-53
"""Half the gap between 1 and the next float: a rounded sum or product is off by at most UNIT times itself."""


def below(value: Fraction) -> float:
    """The largest float that is not above `value`."""
    nearest = to_float(value)
    return math.nextafter(nearest, -math.inf) if Fraction(nearest) > value else nearest


def above(value: Fraction) -> float:
    """The smallest float that is not below `value`."""
    return -below(-value)


def to_float(value: Fraction) -> float:
    """The nearest float. Raises ReferenceFailureError where there is none."""
    try:
        return float(value)
    except OverflowError as error:
        raise ReferenceFailureError("a bound is larger than any float; scale the weights or the inputs down") from error
