"""Planes drawn over all families: boxes, kinds, sides, slopes, and offsets moved off the exact one by known amounts.

    for drawn in draw_blocks(1_000_000, seed=0):
        drawn.table, drawn.family, drawn.boxes, drawn.move, drawn.truth

The exact offset comes from `refcert.reference.exact_planes`, in floats; moved by FAR_ENOUGH of the size of the plane's
terms or more, the truth is known: outward is sound, inward is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np

from refcert.audit.families.boxes import BOX_FAMILIES, draw_boxes
from refcert.audit.families.folds import KIND as FOLD_KIND
from refcert.audit.families.folds import draw_folds
from refcert.audit.families.slopes import PRODUCTS, SLOPE_RULES
from refcert.audit.families.special import OWN, UNKNOWN, Names, Part, grazing, limits
from refcert.audit.families.surface import Floats
from refcert.audit.plane_table import NUMBERS, PlaneTable
from refcert.kernel.claims import KINDS, SIDES, Status
from refcert.reference.exact_planes import extreme_excess
from refcert.reference.intervals import Interval

FOLDS, LIMITS, GRAZING = "fold", "limit", "grazing"
PLANE_FAMILIES: Final[tuple[str, ...]] = (*SLOPE_RULES, FOLDS, LIMITS, GRAZING)
# Families of one kind on boxes of their own.
OWN_BOXES: Final = (FOLDS, GRAZING)

# Outward (+) and inward (-): a share of the size of the plane's terms, or the next float.
MOVES: Final[dict[str, float]] = {
    "exact": 0.0,
    "1 ulp out": math.ulp(0.0),
    "1 ulp in": -math.ulp(0.0),
    "1e-12 out": 1e-12,
    "1e-12 in": -1e-12,
    "1e-9 out": 1e-9,
    "1e-9 in": -1e-9,
    "large out": 0.3,
    "large in": -0.3,
}
# The reference's offsets are good to some 1e-14 of the size of their terms.
FAR_ENOUGH: Final = 1e-12
BLOCK: Final = 5000


class DrawnPlanes(NamedTuple):
    """Planes and, per plane: slope family, box family, move of the offset, and PROVED, REFUTED or UNKNOWN."""

    table: PlaneTable
    family: Names
    boxes: Names
    move: Names
    truth: Names


def draw_planes(count: int, rng: np.random.Generator, families: tuple[str, ...] = PLANE_FAMILIES) -> DrawnPlanes:
    """count planes, evenly over slope families, kinds and sides, box families and moves at random.

    Raises ValueError for an unknown family or a negative count.
    """
    unknown = [family for family in families if family not in PLANE_FAMILIES]
    if unknown or not families or count < 0:
        raise ValueError(
            f"count is {count}, families are {families!r}; give a count >= 0 and some of {', '.join(PLANE_FAMILIES)}"
        )
    groups = [
        (family, kind, side)
        for family in families
        for kind in ((FOLD_KIND,) if family in OWN_BOXES else KINDS)
        for side in SIDES
    ]
    # every family gets its share, then every kind and side of it
    weight = np.array([1 / sum(g[0] == family for g in groups) for family, _, _ in groups])
    sizes = rng.multinomial(count, weight / weight.sum())
    parts = [_draw(family, kind, side, int(n), rng) for (family, kind, side), n in zip(groups, sizes, strict=True)]
    boxes, slopes = np.concatenate([p.boxes for p in parts]), np.concatenate([p.slopes for p in parts])
    numbers = [*boxes.T, *slopes.T, np.concatenate([p.offset for p in parts])]
    columns = {
        "kind": np.repeat([kind for _, kind, _ in groups], sizes),
        "side": np.repeat([side for _, _, side in groups], sizes),
        **dict(zip(NUMBERS, numbers, strict=True)),
    }
    return DrawnPlanes(
        PlaneTable(columns),
        np.repeat([family for family, _, _ in groups], sizes),
        np.concatenate([p.box_names for p in parts]),
        np.concatenate([p.moves for p in parts]),
        np.concatenate([p.truth for p in parts]),
    )


def draw_block(index: int, count: int, seed: int, families: tuple[str, ...] = PLANE_FAMILIES) -> DrawnPlanes:
    """Block `index` of BLOCK planes out of count, the last one shorter; every block can be drawn by itself."""
    size = max(0, min(BLOCK, count - index * BLOCK))
    return draw_planes(size, np.random.default_rng([seed, index]), families)


def draw_blocks(count: int, seed: int, families: tuple[str, ...] = PLANE_FAMILIES) -> Iterator[DrawnPlanes]:
    """count planes in blocks. The same seed draws the same planes."""
    return (draw_block(index, count, seed, families) for index in range(-(-count // BLOCK)))


def _draw(family: str, kind: str, side: str, count: int, rng: np.random.Generator) -> Part:
    if family == GRAZING:
        return grazing(side, count, rng)
    if family == FOLDS:
        boxes, slopes = draw_folds(count, rng)
        names: Names = np.full(count, OWN)
    else:
        names = rng.choice(np.array(BOX_FAMILIES), count)
        boxes = np.zeros((count, 4))
        for name in BOX_FAMILIES:
            rows = names == name
            boxes[rows] = draw_boxes(name, kind, int(rows.sum()), rng)
        if family == LIMITS:
            return limits(kind, side, boxes, names, rng)
        slopes = SLOPE_RULES[family](kind, boxes[:, :2], boxes[:, 2:], rng)
        if kind not in PRODUCTS:
            slopes[:, 1] = 0.0
    if side == "lower":
        boxes, slopes = _mirrored(kind, boxes, slopes)
    exact = np.array([_exact(kind, side, *row) for row in np.hstack([boxes, slopes]).tolist()]).reshape(count)
    size = np.abs(exact) + (np.abs(slopes) * np.abs(boxes).reshape(count, 2, 2).max(axis=2)).sum(axis=1)
    moves = rng.choice(np.array(list(MOVES)), count)
    sign = 1.0 if side == "upper" else -1.0
    amount = np.array([MOVES[move] for move in moves]).reshape(count)
    by_ulp = np.abs(amount) == math.ulp(0.0)
    offset = np.where(
        by_ulp, np.nextafter(exact, np.where(sign * amount > 0, np.inf, -np.inf)), exact + sign * amount * size
    )
    known = (np.abs(amount) >= FAR_ENOUGH) & (size > np.finfo(np.float64).tiny / FAR_ENOUGH)
    truth = np.where(known, np.where(amount > 0, Status.PROVED.value, Status.REFUTED.value), UNKNOWN)
    return Part(boxes, slopes, offset, names, moves, truth)


def _mirrored(kind: str, boxes: Floats, slopes: Floats) -> tuple[Floats, Floats]:
    """Box and slopes of the lower plane that is the mirror of an upper one, so that contacts stay what they were."""
    if kind == "relu":
        return boxes, slopes
    if kind in PRODUCTS:
        return np.stack([boxes[:, 0], boxes[:, 1], -boxes[:, 3], -boxes[:, 2]], axis=1), slopes * [-1.0, 1.0]
    return np.stack([-boxes[:, 1], -boxes[:, 0], boxes[:, 2], boxes[:, 3]], axis=1), slopes


def _exact(
    kind: str, side: str, low_v: float, high_v: float, low_z: float, high_z: float, slope_v: float, slope_z: float
) -> float:
    low, high = extreme_excess(kind, Interval(low_v, high_v), Interval(low_z, high_z), slope_v, slope_z)
    return (high if side == "upper" else low).value
