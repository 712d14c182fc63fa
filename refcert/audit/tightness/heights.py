"""The upper end of the least volume: planes that are proved.

Method card
    Claim      `proved_plane`: a float64 plane that holds on the whole box. `real_height`: the height at the centre of a
               plane that holds on the whole box and whose coefficients need not be floats.
    Idea       The offset that the touching points ask for, rounded outward, is proved as any audited plane is
               (`judge`); where it is refuted, the violation is added. In thin and saturated boxes the least volume is
               smaller than what float64 offsets can tell apart. There slopes and offset are numbers of ball
               arithmetic, and the kernel's proofs run on them; where sigmoid(v) tanh(z) is concave on the whole box
               (lemma `concave_region`) the tangent plane at the centre is sound by concavity.
    Sound?     yes: nothing is returned that is not proved.
    Shapes     one plane at a time, in its original orientation.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from flint import arb

from refcert.audit.judge import judge
from refcert.audit.tightness.certificate import Rational, Support, axes, exact, value
from refcert.kernel.ball import (
    float_above,
    float_below,
    middle,
    precision,
    surely_less,
    surely_not_negative,
    upper_of_two,
)
from refcert.kernel.claims import PlaneClaim, Status, as_upper
from refcert.kernel.functions import sigmoid, tanh
from refcert.kernel.inside_proof import border
from refcert.kernel.plane_proof import POLISH_STEPS, PROOFS, Proof

# Offsets tried, each further out by what was found missing.
_TRIES: Final = 8
# Precisions of proofs about planes whose coefficients are no floats, as multiples of that of the volume.
_PRECISIONS: Final = (2, 4, 8)


class FloatPlane(NamedTuple):
    """slope_v v + slope_z z + offset."""

    slope_v: float
    slope_z: float
    offset: float


def offset_at(support: Support, slope_v: arb, slope_z: arb) -> arb:
    """The largest (upper side) or least value of f less the plane's slopes at the touching points."""
    sign = 1 if support.side == "upper" else -1
    worst: arb | None = None
    for v, z in support.points:
        at = sign * (value(support.kind, v, z) - slope_v * arb(v) - slope_z * arb(z))
        worst = at if worst is None else upper_of_two(worst, at)
    assert worst is not None  # a support has a point
    return sign * worst


def proved_plane(support: Support, slope_v: float, slope_z: float) -> FloatPlane | None:
    """The plane with these slopes on the touching points, its offset rounded outward until it is proved."""
    upper = support.side == "upper"
    outward = math.inf if upper else -math.inf
    ball = offset_at(support, arb(slope_v), arb(slope_z))
    offset = float_above(ball) if upper else float_below(ball)
    for _ in range(_TRIES):
        if not all(map(math.isfinite, (slope_v, slope_z, offset))):
            return None
        verdict = judge(PlaneClaim(support.kind, support.side, *support.box, slope_v, slope_z, offset))
        if verdict.status is Status.PROVED:
            return FloatPlane(slope_v, slope_z, offset)
        missing = verdict.violation or 0.0
        offset = math.nextafter(offset + missing if upper else offset - missing, outward)
    return None


def height(support: Support, plane: FloatPlane) -> arb:
    """The plane's height at the centre of the box."""
    (v, _), (z, _) = axes(support.kind, support.box)
    slope_v, slope_z, offset = (exact(number) for number in plane)
    return arb(slope_v * v + (slope_z * z if z else Rational(0)) + offset)


def real_height(support: Support, tilt: tuple[float, float], room: float, bits: int) -> arb | None:
    """The height at the centre of a sound plane with slopes that float64 cannot hold; None where none is proved.

    tilt: the plane's slopes less those of f at the centre (less the chord's for relu). room: how much higher (lower,
    for a lower plane) than the touching points it may be: positive, so that a proof at finite precision can succeed.
    bits: at which the volume is known.
    """
    (v, _), (z, _) = axes(support.kind, support.box)
    if _concave(support):
        return value(support.kind, v, z)
    if not all(map(math.isfinite, tilt)):
        return None
    for attempt, factor in enumerate(_PRECISIONS):
        with precision(factor * bits):
            at_v, at_z = _slopes_near(support, v, z)
            slope_v, slope_z = middle(at_v + arb(tilt[0])), middle(at_z + arb(tilt[1]))
            sign = 1 if support.side == "upper" else -1
            offset = middle(offset_at(support, slope_v, slope_z)) + sign * arb(room)
            if _is_sound(support, slope_v, slope_z, middle(offset), polish=(1 + attempt) * POLISH_STEPS):
                return slope_v * arb(v) + slope_z * arb(z) + middle(offset)
    return None


def _slopes_near(support: Support, v: Rational, z: Rational) -> tuple[arb, arb]:
    """The derivatives of f at the centre (v, z); for relu the slope of its chord, which is the upper line."""
    kind = support.kind
    if kind == "relu":
        low, high = (exact(end) for end in support.box[:2])
        return arb(max(high, Rational(0)) / (high - low)), arb(0)
    if kind == "tanh":
        return tanh(arb(v)).slope, arb(0)
    first = sigmoid(arb(v))
    if kind == "sigmoid":
        return first.slope, arb(0)
    if kind == "sigmoid_times_identity":
        return first.slope * arb(z), first.value
    second = tanh(arb(z))
    return first.slope * second.value, first.value * second.slope


def _mirrored(support: Support, slopes: tuple[float, float, float]) -> PlaneClaim:
    return as_upper(PlaneClaim(support.kind, support.side, *support.box, *slopes))


def _concave(support: Support) -> bool:
    """Is sigmoid(v) tanh(z), mirrored for a lower plane, concave on the whole box? Lemma `concave_region`."""
    if support.kind != "sigmoid_times_tanh":
        return False
    box = _mirrored(support, (0.0, 0.0, 0.0))
    if box.lower_z <= 0:
        return False
    return surely_not_negative(arb(box.lower_v) - border(tanh(arb(box.lower_z))))


def _is_sound(support: Support, slope_v: arb, slope_z: arb, offset: arb, polish: int) -> bool:
    """The kernel's proof, with the plane's coefficients as exact balls in place of floats."""
    claim = _mirrored(support, (float_below(slope_v), float_below(slope_z), float_below(offset)))
    if support.kind == "sigmoid_times_tanh" and not _nothing_inside(claim):
        return False
    proof = Proof(claim, polish)
    # As `as_upper` does with floats: which slope changes its sign with the mirror depends on the kind.
    if support.side == "lower":
        product = support.kind.startswith("sigmoid_times_")
        offset = -offset
        slope_v = -slope_v if product or support.kind == "relu" else slope_v
    proof.a, proof.b, proof.c = slope_v, slope_z, offset + claim.shift
    return not PROOFS[support.kind](proof) and proof.worst is None


def _nothing_inside(claim: PlaneClaim) -> bool:
    """Not even the last corner is in the region where interior maxima lie; the kernel's rules for them are idle."""
    if claim.upper_z <= 0 or claim.upper_v <= 0:
        return True
    return surely_less(arb(claim.upper_v), border(tanh(arb(claim.upper_z))))
