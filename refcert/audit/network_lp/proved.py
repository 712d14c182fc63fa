"""Planes as the program takes them: proved by the audit on the boxes derived here, or refused.

claim     Every plane that `sound_pair` and `sound_plane` return is PROVED on the box v, z, cut by bounds of v + z and
          v - z where a plane was made for an octagon: all that the network reaches.
idea      A given plane is taken as it is where it is proved on the derived box. Where its own box does not hold the
          derived one and it is not proved there, its slopes are kept and its offset is taken anew, exact on that
          domain.
          A plane that is REFUTED on a part of the box it was made for is an error: no bound may rest on it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from refcert.audit.judge import judge
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status
from refcert.reference.equations import Nonlinear
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.exact_planes import Plane, PlanePair, plane_above, plane_below
from refcert.reference.given_planes import ZERO_PLANE, Given
from refcert.reference.intervals import POINT_ZERO, Interval
from refcert.reference.octagons import Diagonals, extreme_on_octagon
from refcert.reference.rounding import UNIT

# Roundings by which an offset on an octagon is pushed outward, tried in turn.
_UNITS: Final = (64.0, 4096.0)


class SoundPair(NamedTuple):
    """planes, PROVED on the derived box; moved: how many of the two got another offset than the given one."""

    planes: PlanePair
    moved: int


def sound_pair(
    given: Given | None,
    equation: Nonlinear,
    v: Interval,
    z: Interval,
    prove: bool = True,
    diagonals: Diagonals | None = None,
) -> SoundPair:
    """The given planes of a nonlinearity for the box v, z of its arguments.

    diagonals: derived ones, for planes that were made for an octagon; without them these are asked of the box.
    prove: False takes planes as they are where their box holds v, z, for tests of what a fault does. Raises
    ReferenceInputError where planes are missing or of another kind, ReferenceFailureError where one is refuted.
    """
    if given is None and equation.kind == "sigmoid_times_identity" and z == POINT_ZERO:
        return SoundPair(PlanePair(ZERO_PLANE, ZERO_PLANE), 0)  # sigmoid(v) * 0: an engine need not mention it
    if given is None or given.kind != equation.kind:
        kind = "missing" if given is None else f"of {given.kind}"
        raise ReferenceInputError(f"the planes of {equation.variable} are {kind}; give those of {equation.kind}")
    inside = _inside(v, given.v) and (equation.z is None or _inside(z, given.z))
    if given.diagonals is None:
        diagonals = None
    else:
        inside = inside and diagonals is not None and given.diagonals.holds(diagonals)
    moved, planes = 0, []
    for side, plane in zip(("lower", "upper"), given.planes, strict=True):
        if inside and not prove:
            planes.append(plane)
            continue
        judgement = _judge(equation.kind, side, v, z, plane, diagonals)
        if judgement.status is Status.REFUTED and inside:
            raise ReferenceFailureError(
                f"the {side} plane of {equation.variable} does not hold: at {judgement.point} it is off by at least "
                f"{judgement.violation}; audit the planes, no bound rests on this one"
            )
        if judgement.status is not Status.PROVED:
            plane = sound_plane(equation, side, v, z, float(plane.slope_v), float(plane.slope_z), diagonals)
            moved += 1
        planes.append(plane)
    return SoundPair(PlanePair(planes[0], planes[1]), moved)


def sound_plane(
    equation: Nonlinear,
    side: str,
    v: Interval,
    z: Interval,
    slope_v: float,
    slope_z: float,
    diagonals: Diagonals | None = None,
) -> Plane:
    """The tightest plane with these slopes, PROVED on v, z. Raises ReferenceFailureError where it is not."""
    plane = (plane_above if side == "upper" else plane_below)(equation.kind, v, z, slope_v, slope_z)
    if diagonals is not None:
        plane = _on_octagon(equation.kind, side, v, z, plane, diagonals)
    judgement = _judge(equation.kind, side, v, z, plane, diagonals)
    if judgement.status is not Status.PROVED:
        raise ReferenceFailureError(
            f"the {side} plane of {equation.variable} with slopes {slope_v!r}, {slope_z!r} is {judgement.status}; give "
            "other slopes"
        )
    return plane


def _on_octagon(kind: str, side: str, v: Interval, z: Interval, plane: Plane, diagonals: Diagonals) -> Plane:
    """The plane moved inward to the octagon; where its exact offset is not proved there, as it is on the box."""
    lost = abs(plane.offset) + abs(plane.slope_v) * v.magnitude + abs(plane.slope_z) * z.magnitude + z.magnitude
    low, high = extreme_on_octagon(kind, v, z, diagonals, plane.slope_v, plane.slope_z)
    for units in _UNITS:
        slack = units * UNIT * lost
        moved = plane._replace(offset=high.value + slack if side == "upper" else low.value - slack)
        if _judge(kind, side, v, z, moved, diagonals).status is Status.PROVED:
            return moved
    return plane


def _judge(
    kind: str, side: str, v: Interval, z: Interval, plane: Plane, diagonals: Diagonals | None = None
) -> Judgement:
    box = float(v.lower), float(v.upper), float(z.lower), float(z.upper)
    slope_v, slope_z, offset = (float(value) for value in plane)
    ends = None if diagonals is None else tuple(float(end) for interval in diagonals for end in interval)
    return judge(PlaneClaim(kind, side, *box, slope_v, slope_z, offset, diagonals=ends))  # type: ignore[arg-type]


def _inside(derived: Interval, given: Interval) -> bool:
    return given.lower <= derived.lower and derived.upper <= given.upper
