"""Planes for the hunts, drawn once: least-volume planes, and planes with the slopes of the surface at some point."""

from __future__ import annotations

from functools import cache

import numpy as np

from refcert.audit.families.boxes import draw_boxes
from refcert.audit.families.planted import BOXES, touching_planes
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim
from refcert.reference.exact_planes import plane_above, plane_below
from refcert.reference.intervals import Interval


@cache
def exact_claims(count: int, seed: int, families: tuple[str, ...] = BOXES) -> tuple[PlaneClaim, ...]:
    """`count` least-volume planes for each kind, side and family of boxes."""
    return tuple(touching_planes(count, np.random.default_rng(seed), families))


@cache
def tangent_claims(count: int, seed: int, family: str = "random") -> tuple[PlaneClaim, ...]:
    """`count` planes for each kind and side, with the slopes of the surface at a random point and exact offsets."""
    rng = np.random.default_rng(seed)
    claims = []
    for kind in KINDS:
        for side in SIDES:
            for low_v, high_v, low_z, high_z in draw_boxes(family, kind, count, rng).tolist():
                slopes = _slopes(kind, rng.uniform(low_v, high_v), rng.uniform(low_z, high_z))
                rule = plane_above if side == "upper" else plane_below
                plane = rule(kind, Interval(low_v, high_v), Interval(low_z, high_z), *slopes)
                claims.append(PlaneClaim(kind, side, low_v, high_v, low_z, high_z, *map(float, plane)))
    return tuple(claims)


def _slopes(kind: str, v: float, z: float) -> tuple[float, float]:
    s, t = 1 / (1 + np.exp(-v)), np.tanh(z)
    slopes = {
        "sigmoid_times_tanh": (s * (1 - s) * t, s * (1 - t * t)),
        "sigmoid_times_identity": (s * (1 - s) * z, s),
        "sigmoid": (s * (1 - s), 0.0),
        "tanh": (1 - np.tanh(v) ** 2, 0.0),
        "relu": (float(v > 0), 0.0),
    }[kind]
    return float(slopes[0]), float(slopes[1])
