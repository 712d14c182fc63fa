"""Boxes drawn at random, family by family.

A family is a way to draw one axis, or two where its name says so. Every box is a valid one: finite, lower <= upper.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refcert.kernel.claims import KINDS

Floats = NDArray[np.float64]
_PRODUCTS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")

# Centres and widths of the soundness trial on which earlier tools' planes were found violated.
RANDOM_REACH: Final = 5.0
WIDE_REACH, WIDE_WIDTH = 15.0, 20.0
THIN: Final = 1e-12
SATURATED: Final = 1e3


def _around(centre: Floats, width: Floats) -> Floats:
    low = centre - width / 2
    return np.stack([low, np.maximum(low, low + width)], axis=1)


def _point(count: int, rng: np.random.Generator) -> Floats:
    return np.repeat(rng.uniform(-RANDOM_REACH, RANDOM_REACH, (count, 1)), 2, axis=1)


def _thin(count: int, rng: np.random.Generator) -> Floats:
    return _around(rng.uniform(-RANDOM_REACH, RANDOM_REACH, count), THIN * rng.uniform(0, 1, count))


def _narrow(count: int, rng: np.random.Generator) -> Floats:
    return _around(rng.uniform(-RANDOM_REACH, RANDOM_REACH, count), 10.0 ** rng.uniform(-6, -1, count))


def _random(count: int, rng: np.random.Generator) -> Floats:
    return _around(rng.uniform(-RANDOM_REACH, RANDOM_REACH, count), rng.uniform(0, RANDOM_REACH, count))


def _wide(count: int, rng: np.random.Generator) -> Floats:
    return _around(rng.uniform(-WIDE_REACH, WIDE_REACH, count), rng.uniform(0, WIDE_WIDTH, count))


def _saturated(count: int, rng: np.random.Generator) -> Floats:
    """Far out, where sigmoid and tanh are flat to the last bit, with any width."""
    centre = rng.choice([-1.0, 1.0], count) * 10.0 ** rng.uniform(1, np.log10(SATURATED), count)
    return _around(centre, np.abs(centre) * 10.0 ** rng.uniform(-4, 0.25, count))


def _spanning(count: int, rng: np.random.Generator) -> Floats:
    """From one saturated end to the other."""
    return np.stack([-(10.0 ** rng.uniform(1, 3, count)), 10.0 ** rng.uniform(1, 3, count)], axis=1)


def _sign_crossing(count: int, rng: np.random.Generator) -> Floats:
    """Zero inside, its distances to the ends of any ratio."""
    return np.stack([-(10.0 ** rng.uniform(-3, 1, count)), 10.0 ** rng.uniform(-3, 1, count)], axis=1)


def _zero_ended(count: int, rng: np.random.Generator) -> Floats:
    """Zero, the point of inflection, is an end."""
    far = 10.0 ** rng.uniform(-3, 1.5, count)
    left = rng.random(count) < 0.5
    return np.stack([np.where(left, -far, 0.0), np.where(left, 0.0, far)], axis=1)


def _tiny(count: int, rng: np.random.Generator) -> Floats:
    """About zero and far below the spacing of floats near one."""
    size = 10.0 ** rng.uniform(-60, -8, count)
    return np.sort(rng.uniform(-1, 1, (count, 2)), axis=1) * size[:, None]


def _adjacent(count: int, rng: np.random.Generator) -> Floats:
    """Neighbouring floats: no float lies inside."""
    low = rng.uniform(-RANDOM_REACH, RANDOM_REACH, count)
    return np.stack([low, np.nextafter(low, np.inf)], axis=1)


_AXES: Final[dict[str, Callable[[int, np.random.Generator], Floats]]] = {
    "point": _point,
    "thin": _thin,
    "narrow": _narrow,
    "random": _random,
    "wide": _wide,
    "saturated": _saturated,
    "spanning": _spanning,
    "sign_crossing": _sign_crossing,
    "zero_ended": _zero_ended,
    "tiny": _tiny,
    "adjacent": _adjacent,
}

BOX_FAMILIES: Final[tuple[str, ...]] = (*_AXES, "mixed")


def _draw_axis(family: str, count: int, rng: np.random.Generator) -> Floats:
    """(count, 2): lower, upper."""
    if family != "mixed":
        return _AXES[family](count, rng)
    every = np.stack([draw(count, rng) for draw in _AXES.values()])
    chosen: Floats = every[rng.integers(len(every), size=count), np.arange(count)]
    return chosen


def draw_boxes(family: str, kind: str, count: int, rng: np.random.Generator) -> Floats:
    """Boxes of one family: (count, 4) with columns lower_v, upper_v, lower_z, upper_z; z is zero for 1-D kinds.

    family: one of BOX_FAMILIES, drawn for both axes; `mixed` draws each axis of each box from a family of its own.
    Raises ValueError for an unknown family or kind or a negative count.
    """
    if family not in BOX_FAMILIES:
        raise ValueError(f"family is {family!r}; known families of boxes: {', '.join(BOX_FAMILIES)}")
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; known kinds: {', '.join(KINDS)}")
    if count < 0:
        raise ValueError(f"count is {count}; it cannot be negative")
    v = _draw_axis(family, count, rng)
    z = _draw_axis(family, count, rng) if kind in _PRODUCTS else np.zeros((count, 2))
    return np.concatenate([v, z], axis=1)
