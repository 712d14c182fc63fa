"""Snippets for points where sigmoid or tanh is so close to its limit that f - plane cancels: the plane lies at a limit.

Method card
    Claim      As in `snippet`: run, the source computes surface, plane and excess at the point and asserts excess > 0.
    Idea       There the plane is exactly at a number that the surface comes close to and never reaches: 0, 1, -1 or z.
               The distance from it is a formula without cancellation, which the exponents of Python's decimals hold
               down to 1e-999999999999999999. Further down the source asserts what is left: the plane is at the limit
               or beyond it, and the surface is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, NamedTuple

from refcert.kernel.claims import PlaneClaim

# Decimal digits at which a sum of two products of floats and a float is exact.
EXACT_DIGITS: Final = 4000
# Decimal logarithms down to here leave room for the few operations of a formula.
LEAST_EXPONENT: Final = -9e17

_REST_OF_TANH: Final = "2 * rest(2 * {})"  # 1 - tanh
# 1 - sigmoid(v) tanh(z), both near 1.
_REST_OF_BOTH: Final = "rest(v) + (1 - rest(v)) * 2 * rest(2 * {})"

FUNCTIONS: Final = {
    "rest(": '''def rest(x):
    """1 - sigmoid(x); 1 - tanh(x) is 2 rest(2 x)."""
    with localcontext() as few:
        few.prec = 50
        e = (-abs(x)).exp()
        return (e if x > 0 else 1) / (1 + e)''',
    "tanh(": "def tanh(x):\n    e = (-2 * abs(x)).exp()\n    return ((1 - e) / (1 + e)).copy_sign(x)",
}


class Limit(NamedTuple):
    """A number that the surface stays below (for a lower plane) or above. distance: from it, as Python; why: in words.

    sign: of z where it has to have one, else 0.
    """

    text: str
    distance: str
    why: str
    sign: int = 0


# |distance| of the surface from the limit of its side, by (kind, side).
LIMITS: Final[dict[tuple[str, str], tuple[Limit, ...]]] = {
    ("tanh", "lower"): (Limit("1", _REST_OF_TANH.format("v"), "tanh(v) < 1 for every v"),),
    ("tanh", "upper"): (Limit("-1", _REST_OF_TANH.format("-v"), "tanh(v) > -1 for every v"),),
    ("sigmoid", "lower"): (Limit("1", "rest(v)", "sigmoid(v) < 1 for every v"),),
    ("sigmoid", "upper"): (Limit("0", "rest(-v)", "sigmoid(v) > 0 for every v"),),
    ("sigmoid_times_tanh", "lower"): (
        Limit("1", _REST_OF_BOTH.format("z"), "sigmoid(v) tanh(z) < 1 for every v and z"),
        Limit("0", "rest(-v) * tanh(-z)", "sigmoid(v) tanh(z) < 0 for every v, as z < 0", -1),
    ),
    ("sigmoid_times_tanh", "upper"): (
        Limit("-1", _REST_OF_BOTH.format("-z"), "sigmoid(v) tanh(z) > -1 for every v and z"),
        Limit("0", "rest(-v) * tanh(z)", "sigmoid(v) tanh(z) > 0 for every v, as z > 0", 1),
    ),
    ("sigmoid_times_identity", "lower"): (
        Limit("z", "z * rest(v)", "sigmoid(v) z < z for every v, as z > 0", 1),
        Limit("0", "-z * rest(-v)", "sigmoid(v) z < 0 for every v, as z < 0", -1),
    ),
    ("sigmoid_times_identity", "upper"): (
        Limit("z", "-z * rest(v)", "sigmoid(v) z > z for every v, as z < 0", -1),
        Limit("0", "z * rest(-v)", "sigmoid(v) z > 0 for every v, as z > 0", 1),
    ),
}


def limit_of(claim: PlaneClaim, v: Sequence[float], z: Sequence[float]) -> Limit | None:
    """The limit at which the plane is, or which it has passed, at the point (sum of v, sum of z), decided exactly."""
    at_v, at_z = (sum(map(Fraction, parts), Fraction(0)) for parts in (v, z))
    plane = Fraction(claim.slope_v) * at_v + Fraction(claim.offset)
    if claim.kind.startswith("sigmoid_times_"):
        plane += Fraction(claim.slope_z) * at_z
    for limit in LIMITS.get((claim.kind, claim.side), ()):
        number = at_z if limit.text == "z" else Fraction(limit.text)
        passed = plane >= number if claim.side == "lower" else plane <= number
        if passed and (limit.sign == 0 or limit.sign * at_z > 0):
            return limit
    return None
