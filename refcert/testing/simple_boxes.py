"""A refuted plane's box, made simpler: the fewest and smallest rounded numbers for which the function still fails.

Method card
    Claim      the plane returned is what the function answered for that box alone, and it is REFUTED there, by at least
               SHARE of the violation that was drawn. Nothing else is claimed: it need not be the simplest of all.
    Idea       rounds; in each, one end or one pair of ends is replaced by simpler numbers (zero, short numbers,
               the other end, roundings to a few digits), the boxes of the round go to the function together, and the
               simplest that still fails is where the next round begins. A box counts by its decimal digits, then by the
               sizes of its numbers.
    Fallback   a function whose planes depend on the other boxes of the call may not fail alone: then nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from decimal import Context, Decimal
from typing import Final

import numpy as np

from refcert.app.audit_sources.function import PlanesFunction
from refcert.app.errors import InputError
from refcert.audit.judge import judge
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status

SHARE: Final = 0.1
"""A simpler box may give up this much of the violation, so that a large fault is not shown as one of rounding."""
ROUNDS: Final = 12
CALL: Final = 64
"""Boxes that the function is asked for at once; the simplest come first, and mostly one of them fails."""
MOST: Final = 640
"""Boxes tried in a round."""
_FAMILY: Final = "made simpler"
_SHORT: Final = (0.0, *(sign * size for size in (0.1, 0.5, 1.0, 2.0, 5.0, 10.0) for sign in (1, -1)))
_DIGITS: Final = (1, 2, 3, 6)

Box = tuple[float, float, float, float]


def simplest_box(
    function: PlanesFunction, claim: PlaneClaim, judgement: Judgement, dtype: str
) -> tuple[PlaneClaim, Judgement]:
    """A claim of the same kind and side, REFUTED, on a box that is not more complicated, with its judgement."""
    least = SHARE * (judgement.violation or 0.0)
    box: Box = (claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z)
    found = claim, judgement
    seen = {box}
    for _ in range(ROUNDS):
        tried = sorted({b for b in _simpler(box, claim.kind, dtype) if b not in seen and _cost(b) < _cost(box)})
        seen |= set(tried)
        inorder = sorted(tried, key=_cost)[:MOST]
        chunks = (inorder[start : start + CALL] for start in range(0, len(inorder), CALL))
        better = next(filter(None, (_failing(function, claim, chunk, least, dtype) for chunk in chunks)), None)
        if better is None:
            break
        box, found = better[0], better[1:]
    return found


def _failing(
    function: PlanesFunction, claim: PlaneClaim, boxes: list[Box], least: float, dtype: str
) -> tuple[Box, PlaneClaim, Judgement] | None:
    """The first box whose plane fails when the function is asked for it alone."""
    if not boxes:
        return None
    for box, together in zip(boxes, _asked(function, claim, boxes, dtype), strict=False):
        if together is None or not _fails(judge(together), least):
            continue
        (alone,) = _asked(function, claim, [box], dtype) or [None]
        if alone is not None and _fails(verdict := judge(alone), least):
            return box, alone, verdict
    return None


def _asked(function: PlanesFunction, claim: PlaneClaim, boxes: list[Box], dtype: str) -> list[PlaneClaim | None]:
    """The function's planes of the claim's side; none where it refuses the boxes."""
    try:
        table = function.planes(_FAMILY, claim.kind, np.array(boxes), 0, dtype)
    except InputError:
        return []
    planes = list(table.claims())
    return list(planes[: len(boxes)] if claim.side == "lower" else planes[len(boxes) :])


def _fails(judgement: Judgement, least: float) -> bool:
    return judgement.status is Status.REFUTED and (judgement.violation or 0.0) >= least


def _simpler(box: Box, kind: str, dtype: str) -> Iterator[Box]:
    """Boxes with one end, one axis, or all numbers replaced; lower <= upper."""
    axes = (0, 2) if kind.startswith("sigmoid_times_") else (0,)
    everything: list[list[tuple[float, float]]] = [[(box[0], box[1])], [(box[2], box[3])]]
    for axis in axes:
        low, high = box[axis], box[axis + 1]
        lows, highs = _numbers(low, dtype), _numbers(high, dtype)
        pairs = {(a, b) for a in (low, *lows) for b in (high, *highs)} | {(x, x) for x in (*lows, *highs, low, high)}
        everything[axis // 2] = sorted(pair for pair in pairs if pair[0] <= pair[1])
    first, second = everything
    for pair in first:
        yield (*pair, box[2], box[3])
    for pair in second:
        yield (box[0], box[1], *pair)
    if len(axes) == 2:  # both at once, where both become points or short numbers
        short = [[pair for pair in pairs if _cost((*pair, 0.0, 0.0))[0] <= 2] for pairs in everything]
        for one in short[0]:
            for other in short[1]:
                yield (*one, *other)


def _numbers(x: float, dtype: str) -> list[float]:
    rounded = [float(Context(prec=digits).create_decimal_from_float(x)) for digits in _DIGITS]
    near = [float(math.floor(x)), float(math.ceil(x))] if abs(x) < 2.0**53 else []
    return sorted({float(np.asarray(value).astype(dtype)) for value in (*_SHORT, x / 2, *rounded, *near)})


def _cost(box: Box) -> tuple[int, int, float, Box]:
    """Fewer digits first, then points, then smaller numbers, then those that are not negative."""
    axes = ((box[0], box[1]), (box[2], box[3]))
    wide = sum(low != high for low, high in axes)
    return sum(map(_digits, box)), wide, sum(map(abs, box)), (-box[0], -box[1], -box[2], -box[3])


def _digits(x: float) -> int:
    """Decimal digits, and one for a number that needs an exponent far from 0; none for zero."""
    if x == 0.0:
        return 0
    number = Decimal(repr(x)).normalize().as_tuple()
    exponent = int(number.exponent)
    return len(number.digits) + (0 if -4 < exponent < 4 else 1)
