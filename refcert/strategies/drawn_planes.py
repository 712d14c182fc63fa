"""Hypothesis strategy for single planes whose truth is known: sound ones, and unsound ones by a stated amount.

The offset at which a plane touches its surface comes from `refcert.reference.exact_planes`; it is then moved by a share
of the plane's scale: the size of its offset and slope terms on the box. Moves of LEAST or more decide the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from refcert.audit.families.octagons import draw_octagons
from refcert.audit.families.planes import FAR_ENOUGH as LEAST
from refcert.audit.families.slopes import SLOPE_RULES
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim, Status
from refcert.reference.exact_planes import extreme_excess
from refcert.strategies.interval_families import INTERVAL_FAMILIES, intervals
from refcert.strategies.numbers import SEEDS
from refcert.strategies.options import at_least_one, some_of
from refcert.strategies.plane_boxes import PRODUCTS
from refcert.strategies.sources import Evaluable

Diagonals = tuple[float, float, float, float]

SLOPES: Final[tuple[str, ...]] = ("zero", *(name for name in SLOPE_RULES if name != "zero"))
"""Rules for slopes: zero, random, steep, tangents, chords, planes with several contacts (`refcert.audit.families`)."""

MOVES: Final = (0.3, 1e-3, 1e-6, 1e-9, 1e-12)
"""By how much an offset is moved, as shares of the plane's scale."""


@dataclass(frozen=True, repr=False)
class DrawnPlane(Evaluable):
    """One plane as a claim, and what is known of it.

    truth: 'PROVED' where it is sound, 'REFUTED' where it is not, '' where floats do not tell; moved: how far the offset
    lies beyond the touching one, outward, as a share of the plane's scale: negative for an unsound plane.
    """

    claim: PlaneClaim
    truth: str = ""
    moved: float = 0.0


def planes(
    kinds: Sequence[str] = KINDS,
    *,
    sides: Sequence[str] = SIDES,
    families: Sequence[str] = INTERVAL_FAMILIES,
    slopes: Sequence[str] = SLOPES,
    sound: bool | None = None,
    moves: Sequence[float] = MOVES,
    octagons: bool = False,
) -> SearchStrategy[DrawnPlane]:
    """Planes of some kinds and sides over boxes of some families of `intervals`, with slopes by some of SLOPES.

    sound: True for sound planes alone, False for unsound ones alone, None for both and for touching ones whose truth is
    not known. moves: by how much, as shares of the plane's scale. octagons: about every other plane of a product is one
    on an octagon, `claim.diagonals`: what is known is known of that, not of its box. Raises ValueError for unknown
    names, and for moves below LEAST, which would not decide the truth.
    """
    if not all(LEAST <= move < math.inf for move in at_least_one("moves", moves)):
        raise ValueError(f"moves are {tuple(moves)!r}; give shares of the plane's scale, {LEAST} or more")
    ways = {True: ("out",), False: ("in",), None: ("out", "in", "touching")}[sound]
    return _planes(
        some_of("kind", kinds, KINDS),
        some_of("side", sides, SIDES),
        intervals(families),
        some_of("slopes", slopes, SLOPES),
        ways,
        tuple(moves),
        octagons,
    )


@st.composite
def _planes(
    draw: DrawFn,
    kinds: tuple[str, ...],
    sides: tuple[str, ...],
    axis: SearchStrategy[tuple[float, float]],
    slopes: tuple[str, ...],
    ways: tuple[str, ...],
    moves: tuple[float, ...],
    octagons: bool,
) -> DrawnPlane:
    kind, side = draw(st.sampled_from(kinds)), draw(st.sampled_from(sides))
    v, z = draw(axis), draw(axis) if kind in PRODUCTS else (0.0, 0.0)
    rule, rng = SLOPE_RULES[draw(st.sampled_from(slopes))], np.random.default_rng(draw(SEEDS))
    drawn = rule(kind, np.array([v]), np.array([z]), rng)[0]
    slope_v, slope_z = float(drawn[0]), float(drawn[1]) if kind in PRODUCTS else 0.0
    diagonals = _diagonals(v, z, rng) if octagons and kind in PRODUCTS and draw(st.booleans()) else None
    exact = touching_offset(kind, side, v, z, slope_v, slope_z, diagonals)
    scale = abs(exact) + abs(slope_v) * max(map(abs, v)) + abs(slope_z) * max(map(abs, z))
    way = draw(st.sampled_from(ways))
    outward = 1.0 if side == "upper" else -1.0
    if way == "touching":
        return DrawnPlane(PlaneClaim(kind, side, *v, *z, slope_v, slope_z, exact, diagonals=diagonals))
    share = draw(st.sampled_from(moves)) * (1.0 if way == "out" else -1.0)
    # below, a move by its share of the scale would itself underflow
    assume(scale > np.finfo(np.float64).tiny / LEAST)
    truth = Status.PROVED if way == "out" else Status.REFUTED
    offset = exact + outward * share * scale
    return DrawnPlane(PlaneClaim(kind, side, *v, *z, slope_v, slope_z, offset, diagonals=diagonals), truth.value, share)


def _diagonals(v: tuple[float, float], z: tuple[float, float], rng: np.random.Generator) -> Diagonals:
    low_plus, high_plus, low_minus, high_minus = draw_octagons(np.array([[*v, *z]]), rng)[0].tolist()
    return low_plus, high_plus, low_minus, high_minus


def touching_offset(
    kind: str,
    side: str,
    v: tuple[float, float],
    z: tuple[float, float],
    slope_v: float,
    slope_z: float,
    diagonals: Diagonals | None = None,
) -> float:
    """The offset with which a plane of these slopes touches its surface on the box, or on the octagon that diagonals
    (ends of v + z, then of v - z) make of it; good to some 1e-14 of its terms.
    """
    from refcert.reference import octagons
    from refcert.reference.intervals import Interval

    if diagonals is None:
        low, high = extreme_excess(kind, Interval(*v), Interval(*z), slope_v, slope_z)
    else:
        cut = octagons.Diagonals(Interval(*diagonals[:2]), Interval(*diagonals[2:]))
        low, high = octagons.extreme_on_octagon(kind, Interval(*v), Interval(*z), cut, slope_v, slope_z)
    return (high if side == "upper" else low).value + 0.0
