"""The one place where balls are compared, converted and given a precision.

A ball (`flint.arb`) stands for every real number in it. So each question here has two answers: "certainly", or
"not known". Never negate a comparison of balls, never use `==`, `max` or `float` on them elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from flint import arb, ctx

ZERO = arb(0)
ONE = arb(1)


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Compute with `bits` bits inside the block, then restore what was."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def exact(x: float) -> arb:
    """The float's exact real value, whatever the precision."""
    return arb(x)


def surely_positive(x: arb) -> bool:
    """True only if every number in the ball is > 0."""
    return bool(x > ZERO)


def surely_not_positive(x: arb) -> bool:
    """True only if every number in the ball is <= 0."""
    return bool(x <= ZERO)


def surely_not_negative(x: arb) -> bool:
    """True only if every number in the ball is >= 0."""
    return bool(x >= ZERO)


def surely_less(x: arb, y: arb) -> bool:
    """True only if every number of x is below every number of y."""
    return bool(x < y)


def upper_of_two(x: arb, y: arb) -> arb:
    """A ball that contains max(x, y) for all numbers in the balls."""
    return x.max(y)


def float_below(x: arb) -> float:
    """A float not above any number in the ball, the largest one known; -inf where there is none."""
    end = x.lower()
    near = float(end)  # rounded to nearest, or in a way that is not documented: one step outward covers it
    for found in (near, math.nextafter(near, -math.inf)):
        if exact(found) <= end:
            return found
    return -math.inf


def float_above(x: arb) -> float:
    """A float not below any number in the ball, the smallest one known; inf where there is none."""
    end = x.upper()
    near = float(end)
    for found in (near, math.nextafter(near, math.inf)):
        if exact(found) >= end:
            return found
    return math.inf


def middle(x: arb) -> arb:
    """The exact centre of the ball: a point, used only as a hint."""
    return x.mid()


def smaller(x: arb, y: arb) -> arb:
    """A ball that contains min(x, y) for all numbers in the balls."""
    return x.min(y)


larger = upper_of_two


def sum_of(values: Iterable[arb]) -> arb:
    """Their sum."""
    total = ZERO
    for value in values:
        total = total + value
    return total


def power(x: arb, exponent: arb) -> arb:
    """x^exponent for x >= 0 and an exponent > 0; of a ball that reaches below 0 only the rest counts."""
    if x > ZERO:
        return x**exponent
    if x <= ZERO:
        return ZERO
    return ZERO.union(x.upper() ** exponent)
