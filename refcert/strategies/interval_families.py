"""Hypothesis strategy for intervals by families of difficulty: what nonlinearities are bounded on."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from refcert.reference.intervals import Interval
from refcert.strategies.options import some_of

CENTRES: Final = (0.0, 0.1, 1.0, 4.0, 10.0)
FAR_CENTRES: Final = (10.0, 40.0, 1000.0)


@st.composite
def _around(draw: DrawFn, centres: Sequence[float], widths: Sequence[float]) -> Interval:
    """Some way from zero, and so wide."""
    centre = draw(st.sampled_from(tuple(centres))) * draw(st.floats(-1.0, 1.0))
    width = draw(st.sampled_from(tuple(widths))) * draw(st.floats(0.0, 1.0))
    low = centre - width / 2 + 0.0
    return Interval(low, max(low, low + width))


def _point() -> SearchStrategy[Interval]:
    """One number, which is both ends."""
    return st.floats(-FAR_CENTRES[-1], FAR_CENTRES[-1]).map(lambda at: Interval(at + 0.0, at + 0.0))


@st.composite
def _beyond(draw: DrawFn, near: float, far: float) -> float:
    """A number from near to far, evenly over their powers of ten."""
    return math.exp(draw(st.floats(math.log(near), math.log(far))))


@st.composite
def _saturated(draw: DrawFn) -> Interval:
    """Far out, where sigmoid and tanh are flat to the last bit, on either side."""
    near = draw(st.sampled_from(FAR_CENTRES))
    far = near + draw(st.sampled_from((0.0, 1e-9, 0.1, 5.0, 1000.0))) * draw(st.floats(0.0, 1.0))
    return Interval(-far, -near) if draw(st.booleans()) else Interval(near, far)


@st.composite
def _zero_ended(draw: DrawFn) -> Interval:
    """Zero, where the curves turn, is an end."""
    far = draw(_beyond(1e-3, 30.0))
    return Interval(-far, 0.0) if draw(st.booleans()) else Interval(0.0, far)


@st.composite
def _sign_crossing(draw: DrawFn, near: float, far: float) -> Interval:
    """Zero inside, its distances to the ends of any ratio."""
    return Interval(-draw(_beyond(near, far)), draw(_beyond(near, far)))


@st.composite
def _tiny(draw: DrawFn) -> Interval:
    """About zero and far below the spacing of floats near one, down to subnormal ends."""
    size = draw(st.sampled_from((1e-9, 1e-60, 1e-300, 5e-324)))
    ends = sorted(size * draw(st.floats(-1.0, 1.0)) + 0.0 for _ in range(2))
    return Interval(ends[0], ends[1])


@st.composite
def _adjacent(draw: DrawFn) -> Interval:
    """Neighbouring floats: no float lies inside."""
    low = draw(st.floats(-5.0, 5.0)) + 0.0
    return Interval(low, math.nextafter(low, math.inf))


_FAMILIES: Final[dict[str, Callable[[], SearchStrategy[Interval]]]] = {
    "point": _point,
    "unit": lambda: _around(CENTRES, (1.0, 5.0)),
    "sign_crossing": lambda: _sign_crossing(1e-3, 10.0),
    "zero_ended": _zero_ended,
    "thin": lambda: _around((*CENTRES, *FAR_CENTRES), (1e-12, 1e-9)),
    "narrow": lambda: _around(CENTRES, (1e-6, 1e-3, 0.1)),
    "wide": lambda: _around(CENTRES, (20.0,)),
    "huge": lambda: _around((*CENTRES, *FAR_CENTRES), (200.0, 2000.0)),
    "saturated": _saturated,
    "spanning": lambda: _sign_crossing(10.0, 1000.0),
    "adjacent": _adjacent,
    "tiny": _tiny,
}

INTERVAL_FAMILIES: Final[tuple[str, ...]] = tuple(_FAMILIES)
"""point, unit (of ordinary size), sign_crossing, zero_ended, thin, narrow, wide, huge, saturated, spanning (from one
saturated end to the other), adjacent (neighbouring floats), tiny (down to subnormal)."""


def intervals(families: Sequence[str] = INTERVAL_FAMILIES) -> SearchStrategy[Interval]:
    """Intervals (lower, upper) of one of the families, finite, lower <= upper; no zero has a sign.

    Shrinks towards the first family and the point [0, 0]. Raises ValueError for a family that is not known.
    """
    return st.one_of([_FAMILIES[family]() for family in some_of("family", families, INTERVAL_FAMILIES)])
