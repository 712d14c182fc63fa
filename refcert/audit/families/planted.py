"""Planes that touch their surface, and faults planted in them: moved inward by a known share of their scale.

Offsets come from `refcert.reference.exact_planes`, exact to some 1e-14 of the scale and pushed outward by that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from refcert.audit.families.boxes import draw_boxes
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim
from refcert.reference.exact_planes import extreme_excess
from refcert.reference.intervals import Interval
from refcert.reference.least_volume import least_volume

BOXES: Final = ("random", "wide")


def touching_planes(count: int, rng: np.random.Generator, families: tuple[str, ...] = BOXES) -> list[PlaneClaim]:
    """`count` least-volume planes for each family of boxes, kind and side: they hold, and touch somewhere."""
    claims = []
    for family in families:
        for kind in KINDS:
            for side in SIDES:
                for low_v, high_v, low_z, high_z in draw_boxes(family, kind, count, rng).tolist():
                    a, b, c = least_volume(kind, Interval(low_v, high_v), Interval(low_z, high_z), side).plane
                    numbers = (low_v, high_v, low_z, high_z, float(a), float(b), float(c))
                    claims.append(PlaneClaim(kind, side, *numbers))
    return claims


def scale_of(claim: PlaneClaim) -> float:
    """The size of the plane's largest term on the box."""
    terms = [abs(claim.offset), *(abs(claim.slope_v * v) for v in (claim.lower_v, claim.upper_v))]
    if claim.kind.startswith("sigmoid_times_"):
        terms += [abs(claim.slope_z * z) for z in (claim.lower_z, claim.upper_z)]
    return max(terms)


def moved_inward(claim: PlaneClaim, share: float) -> PlaneClaim:
    """The plane moved towards the surface, and through it where it touched, by this share of its scale."""
    sign = 1.0 if claim.side == "upper" else -1.0
    return replace(claim, offset=claim.offset - sign * share * scale_of(claim))


def largest_violation(claim: PlaneClaim) -> float:
    """The largest excess over the box by the reference's candidates, to some 1e-14 of the scale; negative if none."""
    v, z = Interval(claim.lower_v, claim.upper_v), Interval(claim.lower_z, claim.upper_z)
    low, high = extreme_excess(claim.kind, v, z, claim.slope_v, claim.slope_z)
    return float(high.value - claim.offset if claim.side == "upper" else claim.offset - low.value)
