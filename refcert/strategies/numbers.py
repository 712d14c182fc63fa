"""Arrays of plain numbers: zeros first, then short ones, then ones of all digits; one seed decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from numpy.typing import NDArray

from refcert.strategies.stream import BLOCK

Floats = NDArray[np.float64]
T = TypeVar("T", bound=np.generic)
Span = int | tuple[int, int]
"""A size that is given, or the least and the largest one that may be drawn."""

SEEDS: Final = st.integers(0, 2**32 - 1)
FORMS: Final = ("zeros", "quarters", "uniform")
AT_THE_ENDS: Final = 0.3


@st.composite
def arrays(draw: DrawFn, shape: tuple[int, ...], low: float, high: float) -> Floats:
    """Numbers in [low, high], some of them at its ends: data at the border of its range is the rule.

    Zeros (or low, where zero is outside), quarters of the range, or uniform ones.
    """
    form = draw(st.sampled_from(FORMS))
    if form == "zeros":
        return np.full(shape, 0.0 if low <= 0.0 <= high else low)
    rng = np.random.default_rng(draw(SEEDS))
    share = first_part(shape, (lambda whole: rng.integers(0, 5, whole) / 4) if form == "quarters" else rng.random)
    values = np.clip((1.0 - share) * low + share * high, low, high)  # never outside by rounding, and no overflow
    at_end, lower = (first_part(shape, rng.random) for _ in range(2))
    return np.where(at_end < AT_THE_ENDS, np.where(lower < 0.5, low, high), values) + 0.0


def first_part(shape: tuple[int, ...], draw: Callable[[tuple[int, ...]], NDArray[T]]) -> NDArray[T]:
    """What is drawn for a shape of whole blocks, cut to this one.

    A smaller shape gets the first part of what a larger one gets, so that values stay as an example shrinks.
    """
    whole = tuple(-(-size // BLOCK) * BLOCK for size in shape)
    return draw(whole)[tuple(slice(size) for size in shape)].copy()


def sizes(span: Span) -> st.SearchStrategy[int]:
    """Whole numbers of a span. Raises ValueError unless 1 <= least <= largest."""
    least, largest = (span, span) if isinstance(span, int) else span
    if not 1 <= least <= largest:
        raise ValueError(f"a size is {span}; give a whole number from 1 on, or (least, largest)")
    return st.integers(least, largest)
