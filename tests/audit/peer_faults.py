"""Faults seen in earlier tools' planes, planted again: each function gives claims that are false."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from refcert.audit.families.planted import largest_violation
from refcert.kernel.claims import PlaneClaim
from tests.audit.hunted_claims import tangent_claims

SAMPLED = 20


def _surface(kind: str, v, z):
    s = 1 / (1 + np.exp(-v))
    return {"sigmoid_times_tanh": s * np.tanh(z), "sigmoid_times_identity": s * z, "sigmoid": s, "tanh": np.tanh(v)}[
        kind
    ]


def sample_repaired(count: int) -> list[PlaneClaim]:
    """Offsets that a 20 x 20 sample of the box was used to repair: the highest point lies between the samples."""
    found = []
    for claim in tangent_claims(12, seed=41):
        if claim.kind not in ("sigmoid_times_tanh", "sigmoid", "tanh"):
            continue
        v, z = np.meshgrid(
            np.linspace(claim.lower_v, claim.upper_v, SAMPLED), np.linspace(claim.lower_z, claim.upper_z, SAMPLED)
        )
        rest = _surface(claim.kind, v, z) - claim.slope_v * v - claim.slope_z * z
        repaired = replace(claim, offset=float(rest.max() if claim.side == "upper" else rest.min()))
        if largest_violation(repaired) > 1e-7:
            found.append(repaired)
    return found[:count]


def float32_tangents(count: int) -> list[PlaneClaim]:
    """Tangents whose slope and offset were computed in float32: they cross the curve."""
    found = []
    for v in np.linspace(0.3, 3.0, 40):
        for kind in ("tanh", "sigmoid"):
            x = np.float32(v)
            value = np.tanh(x) if kind == "tanh" else np.float32(1) / (np.float32(1) + np.exp(-x))
            slope = np.float32(1) - value * value if kind == "tanh" else value * (np.float32(1) - value)
            offset = value - slope * x
            claim = PlaneClaim(kind, "upper", 0.0, 5.0, 0.0, 0.0, float(slope), 0.0, float(offset))
            if largest_violation(claim) > 1e-9:
                found.append(claim)
    return found[:count]


def dropped_double_roots(count: int) -> list[PlaneClaim]:
    """The slope is so near the steepest one that the two roots of s (1 - s) z = slope are one: a filter drops them."""
    found = []
    for k in range(count):
        delta = 10.0 ** -(4 + k % 4)
        z = 1.0 + k
        slope = z * (0.25 - delta)
        root = 4 * math.sqrt(delta)
        # past the dropped maximum the excess falls back to that at 0
        end = math.sqrt(3) * root
        at_ends = (z * 0.5, z / (1 + math.exp(-end)) - slope * end)
        found.append(PlaneClaim("sigmoid_times_identity", "upper", 0.0, end, z, z, slope, 0.0, max(at_ends)))
    return found


def zero_width_as_identity() -> Iterator[PlaneClaim]:
    """`bound = l` instead of f(l) on an interval without width."""
    for kind in ("tanh", "sigmoid"):
        for x in (2.0, 0.7, -1.5):
            lower = "lower" if x > (0 if kind == "tanh" else 0.66) else "upper"
            yield PlaneClaim(kind, lower, x, x, 0.0, 0.0, 0.0, 0.0, x)


def divided_by_a_vanishing_slope() -> Iterator[PlaneClaim]:
    """Lines stored as slope (y + beta): beta was lost where the slope vanishes, and the line is far off."""
    for low in (8.0, 12.0, 19.0):
        slope = float(1 - np.tanh(low) ** 2)
        yield PlaneClaim("tanh", "upper", low, low + 1.0, 0.0, 0.0, slope, 0.0, 0.5)
        yield PlaneClaim("tanh", "lower", -low - 1.0, -low, 0.0, 0.0, slope, 0.0, -0.5)


PEER_FAULTS = {
    "offset repaired from a sample": lambda: sample_repaired(6),
    "float32 tangent": lambda: float32_tangents(6),
    "double root dropped": lambda: dropped_double_roots(6),
    "zero width as the identity": lambda: list(zero_width_as_identity()),
    "vanishing slope": lambda: list(divided_by_a_vanishing_slope()),
}
