"""The certified radius by plain bisection. Source: POPQORN (Ko et al. 2019), algorithm 1 (binary search)."""

from __future__ import annotations

from collections.abc import Callable

from refcert.reference.errors import ReferenceInputError


def certified_radius(certified: Callable[[float], bool], largest: float, steps: int) -> float:
    """The largest radius tried for which certified(radius) held, 0 if none; `steps` halvings of [0, largest].

    Sound for any `certified` that is: only radii that were certified are returned. Certification need not be monotone.
    """
    if not (largest > 0 and steps >= 1):
        raise ReferenceInputError(f"largest = {largest}, steps = {steps}: give a positive radius and at least one step")
    if certified(largest):
        return largest
    low, high = 0.0, largest
    for _ in range(steps):
        middle = 0.5 * (low + high)
        if certified(middle):
            low = middle
        else:
            high = middle
    return low
