"""Counter-examples that people can read: a simpler point of a refuted plane, whose violation is confirmed again.

Method card
    Claim      What `minimise` returns is REFUTED at a point whose violation ball arithmetic confirms, at least SHARE of
               the worst that is known. Nothing else is claimed of the point.
    Idea       Climb from the given point to a local worst one. Around it and in the corners, try numbers by the
               count of their decimal digits: ends of the box (which the reader has before their eyes), zero, and
               roundings. The fewest digits in all win, then the larger violation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from typing import Final

import numpy as np

from refcert.audit.domain import in_domain
from refcert.audit.hunting.excess import Excess, Found, confirm, confirmed_violation, surely_not_beyond
from refcert.audit.hunting.hunt import Axis, Hunt, Point, in_last_place, worst_confirmed
from refcert.audit.hunting.polish import polish
from refcert.audit.snippet import snippet
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status

__all__ = ["minimise", "shrunk", "snippet"]

# A simpler point may give up this much of the worst violation.
SHARE: Final = 0.5
# What an end of the box counts as: its digits are printed beside it anyway.
DIGITS_OF_AN_END: Final = 3
# Every float64 is told apart by so many digits.
MOST_DIGITS: Final = 17


def minimise(claim: PlaneClaim, judgement: Judgement) -> Judgement:
    """The same judgement at a simpler point, where one is confirmed; unchanged if it is not REFUTED.

    Unchanged, too, where its point cannot be confirmed again. Raises ValueError for a REFUTED judgement whose point is
    certainly not beyond the plane.
    """
    if judgement.status is not Status.REFUTED or judgement.point is None:
        return judgement
    known = confirmed_violation(claim, *_parts(judgement))
    if known is None:
        if not surely_not_beyond(claim, *_parts(judgement)):
            return judgement
        raise ValueError(
            f"point {judgement.point!r} is not beyond the plane {claim!r}; give the judgement of this claim"
        )
    hunt = Hunt(Excess(claim), 0, 0)
    start = _nearest_inside(hunt, judgement)
    corners = [(v, z) for v in hunt.excess.box[0] for z in hunt.excess.box[1]]
    worst = worst_confirmed(claim, [start, in_last_place(hunt, polish(hunt, start)), *corners], "")
    if worst is None or worst.violation < SHARE * known:
        return _with_less_rest(claim, judgement, known)
    simple = _simplest(claim, hunt, worst)
    return judgement._replace(point=(simple.v, simple.z), violation=simple.violation, rest=((), ()))


def shrunk(claim: PlaneClaim, judgement: Judgement) -> PlaneClaim:
    """The same plane on the least box of floats that holds the point: a point itself unless the point needs a rest.

    An octagon stays one: then the domain is what it leaves of that box.

    Raises ValueError unless the judgement is REFUTED with a point.
    """
    if judgement.status is not Status.REFUTED or judgement.point is None:
        raise ValueError(f"the judgement is {judgement.status!s} with point {judgement.point!r}; give a REFUTED one")
    ends = [_hull(part) for part in _parts(judgement)]
    (low_v, high_v), (low_z, high_z) = ends
    return replace(claim, lower_v=low_v, upper_v=high_v, lower_z=low_z, upper_z=high_z)


def _with_less_rest(claim: PlaneClaim, judgement: Judgement, known: float) -> Judgement:
    """No float near the point violates as much: as few floats per axis as their sum needs."""
    parts = _parts(judgement)
    for count in range(1, max(map(len, parts))):
        v, z = (part[:count] for part in parts)
        violation = confirmed_violation(claim, v, z) if in_domain(claim, v, z) else None
        if violation is not None and violation >= SHARE * known:
            return judgement._replace(point=(v[0], z[0]), violation=violation, rest=(v[1:], z[1:]))
    return judgement._replace(violation=known)


def _parts(judgement: Judgement) -> tuple[tuple[float, ...], tuple[float, ...]]:
    assert judgement.point is not None
    v, z = judgement.point
    return (v, *judgement.rest[0]), (z, *judgement.rest[1])


def _hull(parts: tuple[float, ...]) -> tuple[float, float]:
    """The floats on both sides of the sum, or the sum itself if it is a float."""
    nearest = math.fsum(parts)
    beside = math.fsum((*parts, -nearest))
    if beside == 0.0:
        return nearest, nearest
    other = math.nextafter(nearest, math.copysign(math.inf, beside))
    return min(nearest, other), max(nearest, other)


def _nearest_inside(hunt: Hunt, judgement: Judgement) -> Point:
    """The point in floats, moved into the domain; where that has no float there, only into the box around it."""
    point = tuple(map(math.fsum, _parts(judgement)))
    v, z = (float(x) for x in hunt.inside(*point))
    return (v, z) if not math.isnan(z) else (v, float(hunt.axes[1].clip(point[1])))


def _simplest(claim: PlaneClaim, hunt: Hunt, worst: Found) -> Found:
    """The point with the fewest digits of those with SHARE of the worst violation."""
    columns = [list(_simple_numbers(axis, x)) for axis, x in zip(hunt.axes, (worst.v, worst.z), strict=True)]
    v, z = np.meshgrid(*([x for _, x in column] for column in columns))
    # float64 sorts out what is hopeless, ball arithmetic decides on the rest
    hopeful = hunt.excess.at(worst.v, worst.z)(v, z) >= SHARE * SHARE * worst.violation
    digits = np.add.outer([n for n, _ in columns[1]], [n for n, _ in columns[0]])
    for count in np.unique(digits[hopeful]):
        here = hopeful & (digits == count)
        tried = (confirm(claim, float(x), float(y)) for x, y in zip(v[here], z[here], strict=True))
        enough = [found for found in tried if found is not None and found.violation >= SHARE * worst.violation]
        if enough:
            return max(enough, key=lambda found: found.violation)
    return worst


def _simple_numbers(axis: Axis, x: float) -> Iterator[tuple[int, float]]:
    """Numbers of the axis that may stand for x, with their digits."""
    seen = {}
    for end in (axis.low, axis.high):
        seen[end] = min(_digits(end), DIGITS_OF_AN_END)
    for digits in range(1, MOST_DIGITS + 1):
        for rounding in (ROUND_FLOOR, ROUND_CEILING):
            near = float(Context(prec=digits, rounding=rounding).create_decimal_from_float(x))
            if axis.low <= near <= axis.high:
                seen.setdefault(near, _digits(near))
    if axis.low <= 0.0 <= axis.high:
        seen.setdefault(0.0, 0)
    seen.setdefault(x, _digits(x))
    return ((digits, near) for near, digits in seen.items())


def _digits(x: float) -> int:
    """Decimal digits of the shortest text that means this float; none for zero."""
    return len(Decimal(repr(x)).normalize().as_tuple().digits) if x != 0.0 else 0
