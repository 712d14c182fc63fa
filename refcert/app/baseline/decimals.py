"""Numbers as a baseline's text holds them: few digits, of one width, rounded to the side on which they stay true.

A certified radius and a margin are lower bounds and are rounded down; a gap is a measure of looseness and is rounded
up. `decimal` rounds the float's exact value in the named direction.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Final

BOUND_DIGITS: Final = 6
"""Significant digits of radii and margins: rounding loses less than 1e-5 of the value."""

GAP_DIGITS: Final = 4
"""Significant digits of gaps."""

_DOWN: Final = Context(prec=BOUND_DIGITS, rounding=ROUND_FLOOR)
_UP: Final = Context(prec=GAP_DIGITS, rounding=ROUND_CEILING)


def bound(x: float) -> Decimal:
    """At most x, with BOUND_DIGITS digits. Raises ValueError for NaN and infinity."""
    return _DOWN.create_decimal(_finite(x))


def gap(x: float) -> Decimal:
    """At least x, with GAP_DIGITS digits. Raises ValueError for NaN and infinity."""
    return _UP.create_decimal(_finite(x))


def bound_text(value: Decimal) -> str:
    """' 1.23456e-02': of one width, so that a change in one line leaves the others as they are."""
    return _text(value, BOUND_DIGITS)


def gap_text(value: Decimal) -> str:
    """' 1.235e-02'."""
    return _text(value, GAP_DIGITS)


def _text(value: Decimal, digits: int) -> str:
    if not value:  # its exponent is whatever arithmetic left there
        return f" {0:.{digits - 1}f}e+00"
    mantissa, _, exponent = f"{abs(value):.{digits - 1}e}".partition("e")
    return f"{'-' if value < 0 else ' '}{mantissa}e{int(exponent):+03d}"


def _finite(x: float) -> Decimal:
    if not math.isfinite(x):
        raise ValueError(f"{x} is not a finite number; a baseline holds none")
    return Decimal(x)
