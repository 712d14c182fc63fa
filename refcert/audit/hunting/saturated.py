"""The excess at a point where sigmoid or tanh is within 2^-8192 of its limit: the second method's values.

There `f - plane` in the plain order of operations cancels at any precision that is worth trying, as 1 - tanh(5000) is
2e-4343. The values of `branching` are built from the distances to the limits, which do not cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flint import arb

from refcert.audit.branching.excess import PRODUCT_LINE, PRODUCT_TANH, Excess
from refcert.kernel.ball import ZERO, exact, precision
from refcert.kernel.claims import PlaneClaim

# Every finite float is a whole multiple of 2^-1074 below 2^1024: sums of floats are exact at this precision.
EXACT_BITS: Final = 4096


def saturated_excess(claim: PlaneClaim, v: Sequence[float], z: Sequence[float]) -> arb:
    """A ball with the excess at the point (sum of v, sum of z), at the precision in force.

    Raises KernelInputError where the values make no claim.
    """
    form = Excess(claim)
    at_v, at_z = _sum(v), _sum(z)
    if claim.kind in (PRODUCT_TANH, PRODUCT_LINE):
        at_y = at_z if form.sign > 0 else -at_z
    elif claim.kind == "tanh":
        at_v, at_y = ZERO, at_v if form.sign > 0 else -at_v
    else:
        at_y = ZERO
    return form.value(form.place_v(at_v), form.place_y(at_y))


def _sum(parts: Sequence[float]) -> arb:
    with precision(EXACT_BITS):
        return sum(map(exact, parts), ZERO)
