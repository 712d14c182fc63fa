"""Python source that shows a violation and stands by itself: numpy where float64 resolves it, else exact decimals.

Method card
    Claim      Run, the source computes surface, plane and excess at the point, prints them, and asserts that the point
               is in the box (or octagon) and excess > 0.
    Idea       Evaluated in float64, each of the few terms is wrong by some units in the last place. Where the violation
               is well above that, numpy says so. Elsewhere Python's decimal module computes with the exact values
               of the floats (Decimal(float) is exact), with as many digits as ball arithmetic needed bits to know
               the sign, and more. Where the surface is too close to a limit for that: `snippet_limits`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from flint import arb

from refcert.audit.hunting.excess import PRECISIONS, PRODUCTS, ball_excess, surely_not_beyond
from refcert.audit.hunting.saturated import saturated_excess
from refcert.audit.snippet_limits import EXACT_DIGITS, LEAST_EXPONENT, limit_of
from refcert.audit.snippet_limits import FUNCTIONS as LIMIT_FUNCTIONS
from refcert.audit.verdicts import Judgement
from refcert.kernel.ball import precision, surely_positive
from refcert.kernel.claims import PlaneClaim, Status

# Units of rounding, of all terms together, above which float64 shows a violation: numpy's exp and tanh are good to 4,
# the operations after them to one each, some ten in all.
RESOLVED: Final = 64.0
UNIT: Final = 2.0**-53
# Decimal digits beyond those that the ball's precision and the size of the violation ask for.
GUARD_DIGITS: Final = 30
# Excesses with a decimal logarithm below this are shown by the distance from a limit, where the plane is at one.
NEAR_A_LIMIT: Final = -600.0

_NUMPY: Final = {
    "sigmoid_times_tanh": "sigmoid(v) * np.tanh(z)",
    "sigmoid_times_identity": "sigmoid(v) * z",
    "sigmoid": "sigmoid(v)",
    "tanh": "np.tanh(v)",
    "relu": "np.maximum(v, 0.0)",
}
_DECIMAL: Final = {
    **_NUMPY,
    "sigmoid_times_tanh": "sigmoid(v) * tanh(z)",
    "tanh": "tanh(v)",
    "relu": "max(v, Decimal(0))",
}
_NUMPY_FUNCTIONS: Final = {
    "sigmoid(": "def sigmoid(x):\n    e = np.exp(-abs(x))\n    return (1.0 if x >= 0 else e) / (1.0 + e)",
}
_DECIMAL_FUNCTIONS: Final = {
    "sigmoid(": "def sigmoid(x):\n    e = (-abs(x)).exp()\n    return (1 if x >= 0 else e) / (1 + e)",
    "tanh(": "def tanh(x):\n    e = (-2 * abs(x)).exp()\n    return ((1 - e) / (1 + e)).copy_sign(x)",
}


def snippet(claim: PlaneClaim, judgement: Judgement) -> str:
    """The source, ending in a newline; comments alone where ball arithmetic cannot confirm the violation again.

    Raises ValueError unless the judgement is REFUTED at a point that may be beyond this claim's plane.
    """
    if judgement.status is not Status.REFUTED or judgement.point is None:
        raise ValueError(f"the judgement is {judgement.status!s} with point {judgement.point!r}; give a REFUTED one")
    v, z = (judgement.point[0], *judgement.rest[0]), (judgement.point[1], *judgement.rest[1])
    decided = _decided(claim, v, z, ball_excess)
    if decided is None or (decided[1] < NEAR_A_LIMIT and limit_of(claim, v, z) is not None):
        return _near_a_limit(claim, v, z)
    bits, size = decided
    digits = math.ceil(bits * math.log10(2.0) + max(0.0, -size)) + GUARD_DIGITS
    lost = _lost_in_rounding(claim, v[0], z[0])
    if any(judgement.rest):
        part = "box" if claim.diagonals is None else "octagon"
        why = f"No point of float64 lies in the part of the {part} where the plane fails: the point is a sum of floats."
    elif size <= math.log10(lost):
        why = f"float64 cannot show an excess of about 1e{math.floor(size)}: it rounds off about {lost:.0e} here."
    else:
        head = ["import numpy as np"]
        return _source(claim, v, z, head, _NUMPY_FUNCTIONS, [f"surface = {_NUMPY[claim.kind]}"], "{!r}", ".17g")
    head = [
        f"# {why}",
        "# So: decimals with enough digits. Decimal(x) is the exact value of the float x.",
        "from decimal import Decimal, getcontext",
        "",
        f"getcontext().prec = {digits}",
    ]
    surface = [f"surface = {_DECIMAL[claim.kind]}"]
    return _source(claim, v, z, head, _DECIMAL_FUNCTIONS, surface, "Decimal({!r})", ".40g")


def _near_a_limit(claim: PlaneClaim, v: Sequence[float], z: Sequence[float]) -> str:
    """The source for a point whose excess cancels at every precision in the plain order of operations."""
    decided, limit = _decided(claim, v, z, saturated_excess), limit_of(claim, v, z)
    if decided is None or limit is None:
        if surely_not_beyond(claim, v, z):
            raise ValueError(f"point {v!r}, {z!r} is not beyond the plane {claim!r}; give the judgement of this claim")
        return (
            f"# A point at which the {claim.side} plane of {claim.kind} fails: v = {v!r}, z = {z!r}.\n"
            "# There is nothing to run: the violation is too small to be computed again at this point.\n"
        )
    _, size = decided
    more = ", localcontext" if size > LEAST_EXPONENT else ""
    head = [
        f"# The excess is about 10^{size:.17g}: surface - plane would cancel, as the surface is that close to a limit",
        "# at which the plane is. So: the distance from the limit. Decimal(x) is the exact value of the float x.",
        f"from decimal import MAX_EMAX, MIN_EMIN, Decimal, getcontext{more}",
        "",
        "context = getcontext()",
        f"context.prec, context.Emax, context.Emin = {EXACT_DIGITS}, MAX_EMAX, MIN_EMIN",
    ]
    number = limit.text if limit.text == "z" else f"Decimal({limit.text})"
    lines = [f"limit = {number}  # {limit.why}"]
    lower = claim.side == "lower"
    if size > LEAST_EXPONENT:
        lines += [f"distance = {limit.distance}", f"surface = limit {'-' if lower else '+'} distance"]
        excess = f"({'plane - limit' if lower else 'limit - plane'}) + distance"
        return _source(claim, v, z, head, LIMIT_FUNCTIONS, lines, "Decimal({!r})", ".40g", excess)
    head[1] = "# at which the plane is. No decimal is as small as this distance, so it is left out of the excess."
    between = "plane - limit" if lower else "limit - plane"
    return _source(claim, v, z, head, {}, lines, "Decimal({!r})", ".40g", between, reached=True)


def _decided(
    claim: PlaneClaim,
    v: Sequence[float],
    z: Sequence[float],
    value: Callable[[PlaneClaim, Sequence[float], Sequence[float]], arb],
) -> tuple[int, float] | None:
    """The precision at which the point is certainly beyond the plane, and the violation's decimal logarithm."""
    for bits in PRECISIONS:
        with precision(bits):
            excess = value(claim, v, z)
            if surely_positive(excess):
                return bits, float((excess.mid().log() / math.log(10.0)).mid())
    return None


def _lost_in_rounding(claim: PlaneClaim, v: float, z: float) -> float:
    """What float64 may lose of the excess at this point."""
    slope_z = claim.slope_z if claim.kind in PRODUCTS else 0.0
    surface = {"sigmoid_times_identity": abs(z), "relu": abs(v)}.get(claim.kind, 1.0)
    with np.errstate(over="ignore"):
        terms = surface + abs(claim.slope_v * v) + abs(slope_z * z) + abs(claim.offset)
    return RESOLVED * (UNIT * terms + math.ulp(0.0))


def _octagon(diagonals: Sequence[float], v: Sequence[float], z: Sequence[float]) -> list[str]:
    """Lines that assert, exactly, that v + z and v - z are between their ends."""
    low_plus, high_plus, low_minus, high_minus = diagonals
    parts_v, parts_z = ([f"Fraction({x!r})" for x in parts] for parts in (v, z))
    return [
        f"plus = {' + '.join((*parts_v, *parts_z))}",
        f"assert {low_plus!r} <= plus <= {high_plus!r}  # the octagon: v + z",
        f"minus = {' + '.join(parts_v)} - {' - '.join(parts_z)}",
        f"assert {low_minus!r} <= minus <= {high_minus!r}  # the octagon: v - z",
    ]


def _source(
    claim: PlaneClaim,
    v: Sequence[float],
    z: Sequence[float],
    head: list[str],
    functions: dict[str, str],
    surface: list[str],
    number: str,
    width: str,
    excess: str = "",
    reached: bool = False,
) -> str:
    """surface: lines that compute it; excess: how, if not as the plain difference; reached: the excess may be 0, as
    the surface does not reach its limit, and is not computed itself.
    """
    axes = [("v", v, claim.lower_v, claim.upper_v, claim.slope_v)]
    if claim.kind in PRODUCTS:
        axes.append(("z", z, claim.lower_z, claim.upper_z, claim.slope_z))
    lines = [f"# A point at which the {claim.side} plane of {claim.kind} fails.", *head, ""]
    used = "\n".join(line.partition("#")[0] for line in surface)
    defined = [text for name, text in functions.items() if re.search(rf"\b(?<!\.){re.escape(name)}", used)]
    for text in defined:
        lines += ["", text, ""]
    lines += [""] * bool(defined)
    for name, parts, low, high, _ in axes:
        lines.append(f"{name} = {' + '.join(number.format(x) for x in parts)}")
        lines.append(f"assert {number.format(low)} <= {name} <= {number.format(high)}  # the box")
    if claim.diagonals is not None:
        lines += _octagon(claim.diagonals, v, z)
        lines.insert(1, "from fractions import Fraction  # of a float, or of a decimal, it is the exact value")
    terms = [f"{number.format(slope)} * {name}" for name, _, _, _, slope in axes]
    difference = "surface - plane" if claim.side == "upper" else "plane - surface"
    lines += [*surface, f"plane = {' + '.join(terms)} + {number.format(claim.offset)}"]
    shown = ("limit", "plane") if reached else ("surface", "plane", "excess")
    lines += [] if reached else [f"excess = {excess or difference}"]
    lines += [f'print(f"{name:<7} {{{name}:{width}}}")' for name in shown]
    asserted = f"{excess} >= 0  # and the surface does not reach its limit" if reached else "excess > 0"
    lines.append(f"assert {asserted}")
    return "\n".join(lines) + "\n"
