"""Drawn planes as claims, and the excess of the surface over a plane in many digits.

Thousands of planes at once, from the families that `refcert.strategies.planes` draws its single ones by.
"""

from __future__ import annotations

from functools import cache

import mpmath
import numpy as np

from refcert.audit.families.planes import PLANE_FAMILIES, draw_planes
from refcert.kernel.claims import PlaneClaim


@cache
def drawn_claims(
    count: int, seed: int, families: tuple[str, ...] = PLANE_FAMILIES
) -> tuple[tuple[PlaneClaim, str], ...]:
    """Claims with their known truth, '' where it is unknown."""
    drawn = draw_planes(count, np.random.default_rng(seed), families)
    return tuple(zip(drawn.table.claims(), drawn.truth.tolist(), strict=True))


def excess_at(claim: PlaneClaim, v: mpmath.mpf, z: mpmath.mpf, digits: int = 400) -> mpmath.mpf:
    """Positive where the point lies beyond the plane; v and z may be sums of floats."""
    with mpmath.workdps(digits):
        s = 1 / (1 + mpmath.exp(-v))
        surface = {
            "sigmoid_times_tanh": lambda: s * mpmath.tanh(z),
            "sigmoid_times_identity": lambda: s * z,
            "sigmoid": lambda: s,
            "tanh": lambda: mpmath.tanh(v),
            "relu": lambda: max(v, mpmath.mpf(0)),
        }[claim.kind]()
        slope_z = claim.slope_z if claim.kind.startswith("sigmoid_times") else 0.0
        plane = mpmath.mpf(claim.slope_v) * v + mpmath.mpf(slope_z) * z + mpmath.mpf(claim.offset)
        return surface - plane if claim.side == "upper" else plane - surface


def exact_point(point: tuple[float, float], rest: tuple[tuple[float, ...], ...], digits: int = 400) -> list[mpmath.mpf]:
    """point + sum of rest, per axis."""
    with mpmath.workdps(digits):
        return [mpmath.fsum([first, *more]) for first, more in zip(point, rest, strict=True)]
