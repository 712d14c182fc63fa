"""Planes as the program takes them: proved by the audit on the boxes derived here, or refused.

claim     Every plane that `sound_pair` and `sound_plane` return is PROVED on the box v, z.
idea      A given plane is taken as it is where it is proved on the derived box. Where its own box does not hold the
          derived one and it is not proved there, its slopes are kept and its offset is taken anew, exact on that box.
          A plane that is REFUTED on a part of the box it was made for is an error: no bound may rest on it.
"""

from __future__ import annotations

from typing import NamedTuple

from refcert.audit.judge import judge
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status
from refcert.reference.equations import Nonlinear
from refcert.reference.errors import ReferenceFailureError, ReferenceInputError
from refcert.reference.exact_planes import Plane, PlanePair, plane_above, plane_below
from refcert.reference.given_planes import ZERO_PLANE, Given
from refcert.reference.intervals import POINT_ZERO, Interval


class SoundPair(NamedTuple):
    """planes, PROVED on the derived box; moved: how many of the two got another offset than the given one."""

    planes: PlanePair
    moved: int


def sound_pair(given: Given | None, equation: Nonlinear, v: Interval, z: Interval, prove: bool = True) -> SoundPair:
    """The given planes of a nonlinearity for the box v, z of its arguments.

    prove: False takes planes as they are where their box holds v, z, for tests of what a fault does. Raises
    ReferenceInputError where planes are missing or of another kind, ReferenceFailureError where one is refuted.
    """
    if given is None and equation.kind == "sigmoid_times_identity" and z == POINT_ZERO:
        return SoundPair(PlanePair(ZERO_PLANE, ZERO_PLANE), 0)  # sigmoid(v) * 0: an engine need not mention it
    if given is None or given.kind != equation.kind:
        kind = "missing" if given is None else f"of {given.kind}"
        raise ReferenceInputError(f"the planes of {equation.variable} are {kind}; give those of {equation.kind}")
    inside = _inside(v, given.v) and (equation.z is None or _inside(z, given.z))
    moved, planes = 0, []
    for side, plane in zip(("lower", "upper"), given.planes, strict=True):
        if inside and not prove:
            planes.append(plane)
            continue
        judgement = _judge(equation.kind, side, v, z, plane)
        if judgement.status is Status.REFUTED and inside:
            raise ReferenceFailureError(
                f"the {side} plane of {equation.variable} does not hold: at {judgement.point} it is off by at least "
                f"{judgement.violation}; audit the planes, no bound rests on this one"
            )
        if judgement.status is not Status.PROVED:
            plane = sound_plane(equation, side, v, z, float(plane.slope_v), float(plane.slope_z))
            moved += 1
        planes.append(plane)
    return SoundPair(PlanePair(planes[0], planes[1]), moved)


def sound_plane(equation: Nonlinear, side: str, v: Interval, z: Interval, slope_v: float, slope_z: float) -> Plane:
    """The tightest plane with these slopes, PROVED on v, z. Raises ReferenceFailureError where it is not."""
    plane = (plane_above if side == "upper" else plane_below)(equation.kind, v, z, slope_v, slope_z)
    judgement = _judge(equation.kind, side, v, z, plane)
    if judgement.status is not Status.PROVED:
        raise ReferenceFailureError(
            f"the {side} plane of {equation.variable} with slopes {slope_v!r}, {slope_z!r} is {judgement.status}; give "
            "other slopes"
        )
    return plane


def _judge(kind: str, side: str, v: Interval, z: Interval, plane: Plane) -> Judgement:
    box = float(v.lower), float(v.upper), float(z.lower), float(z.upper)
    slope_v, slope_z, offset = (float(value) for value in plane)
    return judge(PlaneClaim(kind, side, *box, slope_v, slope_z, offset))


def _inside(derived: Interval, given: Interval) -> bool:
    return given.lower <= derived.lower and derived.upper <= given.upper
