"""Octagons drawn at random: ends of v + z and v - z that cut boxes, touch or miss them, or leave a line or a point."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

import numpy as np

from refcert.audit.domain import hull_of
from refcert.audit.families.surface import Floats

# How an end is drawn: what the box implies, beyond it, through a point of the box, or anywhere between.
IMPLIED, BEYOND, THROUGH, BETWEEN = range(4)
_CHANCES: Final = (0.15, 0.1, 0.15, 0.6)


def draw_octagons(boxes: Floats, rng: np.random.Generator) -> Floats:
    """(count, 4): ends of v + z, then of v - z, for boxes (count, 4) of v and z; no octagon is empty.

    Where float64 holds no such ends, and where rounding would leave nothing, they are what the box implies.
    """
    low_v, high_v, low_z, high_z = boxes.T
    shares = rng.uniform(0, 1, (2, len(boxes)))
    with np.errstate(over="ignore", invalid="ignore"):
        v, z = (
            low * (1 - s) + high * s for (low, high), s in zip(((low_v, high_v), (low_z, high_z)), shares, strict=True)
        )
        plus = _ends(v + z, low_v + low_z, high_v + high_z, rng)
        minus = _ends(v - z, low_v - high_z, high_v - low_z, rng)
        implied = np.stack([low_v + low_z, high_v + high_z, low_v - high_z, high_v - low_z], axis=1)
    found = np.concatenate([plus, minus], axis=1)
    # one float further out than their rounding
    implied = np.nextafter(implied, [-np.inf, np.inf, -np.inf, np.inf])
    largest = np.finfo(np.float64).max
    implied = np.clip(implied, -largest, largest)
    good = np.isfinite(found).all(axis=1)
    for row in np.flatnonzero(good).tolist():
        good[row] = not is_empty(boxes[row].tolist(), found[row].tolist())
    return np.where(good[:, None], found, implied)


def is_empty(box: list[float], diagonals: list[float]) -> bool:
    """Do these diagonals leave nothing of the box? Decided exactly."""
    low_v, high_v, low_z, high_z = map(Fraction, box)
    low_plus, high_plus, low_minus, high_minus = diagonals
    ends = hull_of((low_v, high_v), (low_z, high_z), (low_plus, high_plus, low_minus, high_minus))
    return any(low > high for low, high in ends)


def _ends(at: Floats, low: Floats, high: Floats, rng: np.random.Generator) -> Floats:
    """Both ends (count, 2) around the value of a sum at a point of the box."""
    ends = []
    for end in (low, high):
        how, share = rng.choice(4, len(at), p=_CHANCES), rng.uniform(0, 1, len(at))
        away = end - at
        ends.append(
            np.select([how == IMPLIED, how == BEYOND, how == THROUGH], [end, end + away, at], at + share * away)
        )
    return np.stack([np.minimum(*ends), np.maximum(*ends)], axis=1)
