"""Options of strategies are looked at when a strategy is made: a rare choice would else fail in one example of many."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any


def some_of(what: str, given: Iterable[str], known: Sequence[str]) -> tuple[str, ...]:
    """The names given, at least one. Raises ValueError for none, and for a name that is not known."""
    names = at_least_one(what, given)
    for name in names:
        if name not in known:
            raise ValueError(f"{what} is {name!r}; known: {', '.join(known)}")
    return names


def at_least_one(what: str, given: Iterable[Any]) -> tuple[Any, ...]:
    """What is given, at least one. Raises ValueError for none."""
    found = tuple(given)
    if not found:
        raise ValueError(f"no {what} to draw from; give at least one")
    return found


def finite(what: str, given: Iterable[float], least: float = -math.inf) -> tuple[float, ...]:
    """The numbers given. Raises ValueError for one that is not finite or below the least."""
    numbers = tuple(given)
    for number in numbers:
        if not least <= number < math.inf or number == -math.inf:
            wanted = "finite numbers" if least == -math.inf else f"finite numbers from {least:g} on"
            raise ValueError(f"{what} is {number!r}; give {wanted}")
    return numbers


def checked_clip(clip: tuple[float, float]) -> tuple[float, float]:
    """The range given. Raises ValueError unless it has two finite ends, the lower one first."""
    low, high = clip
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise ValueError(f"clip is {clip!r}; give two finite numbers, the lower one first")
    return clip
