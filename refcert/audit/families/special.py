"""Families of planes that bring their own offsets: the nonlinearities' limits, and planes that graze an edge."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from refcert.audit.families.surface import Floats, sigmoid
from refcert.kernel.claims import Status

UNKNOWN: Final = ""
OWN: Final = "own"
# In whole steps of floats from the exact offset, outward.
STEPS: Final = {"exact": 0, "1 ulp out": 1, "1 ulp in": -1}
# sigmoid in floats is good to that share of its value.
SIGMOID_ERROR: Final = 1e-15

Names = NDArray[np.str_]


class Part(NamedTuple):
    """Planes of one family, kind and side: boxes (count, 4), slopes (count, 2), and one entry each of the others."""

    boxes: Floats
    slopes: Floats
    offset: Floats
    box_names: Names
    moves: Names
    truth: Names


def _stepped(base: Floats, side: str, rng: np.random.Generator) -> tuple[Floats, Names]:
    """Offsets at the base or beside it, and the names of the moves."""
    moves = rng.choice(np.array(list(STEPS)), len(base))
    steps = np.array([STEPS[move] for move in moves]).reshape(len(base)) * (1 if side == "upper" else -1)
    return np.where(steps == 0, base, np.nextafter(base, np.where(steps > 0, np.inf, -np.inf))), moves


def limits(kind: str, side: str, boxes: Floats, names: Names, rng: np.random.Generator) -> Part:
    """The nonlinearity's own limits as planes: tanh <= 1, sigmoid(v) z <= z for z >= 0, and the floats beside them."""
    count = len(boxes)
    if kind == "sigmoid_times_identity":
        # on one side of zero: sigmoid(v) z lies between 0 and z
        boxes = np.hstack([boxes[:, :2], np.sort(np.abs(boxes[:, 2:]), axis=1)])
        if side == "lower":
            boxes = np.hstack([boxes[:, :2], -boxes[:, :1:-1]])
    limit = {"sigmoid": (0.0, 1.0), "relu": (0.0, np.inf), "sigmoid_times_identity": (0.0, 0.0)}.get(kind, (-1.0, 1.0))
    level = limit[1] if side == "upper" else limit[0]
    base = np.maximum(boxes[:, 1], 0.0) if level == np.inf else np.full(count, level)
    slopes = np.zeros((count, 2))
    if kind == "sigmoid_times_identity":
        slopes[:, 1] = 1.0
    offset, moves = _stepped(base, side, rng)
    return Part(boxes, slopes, offset, names, moves, np.where(moves == "1 ulp in", UNKNOWN, Status.PROVED.value))


def grazing(side: str, count: int, rng: np.random.Generator) -> Part:
    """sigmoid(v) tanh(z) against slope_z z with slope_z next to sigmoid(upper_v), on boxes with z = 0 at an end.

    The plane touches along z = 0 or passes below the surface near one corner, by as little as 1e-26.
    """
    low_v = rng.uniform(-3, 3, count)
    high_v = low_v + 10.0 ** rng.uniform(-9, 1, count)
    zero = np.zeros(count)
    high_z = 10.0 ** rng.uniform(-6, 1, count)
    share = rng.choice([-1.0, 0.0, 1.0], count) * 10.0 ** rng.uniform(-17, -8, count)
    slope_z = sigmoid(high_v) * (1 + share)
    if side == "upper":
        boxes = np.stack([low_v, high_v, zero, high_z], axis=1)
    else:
        boxes = np.stack([low_v, high_v, -high_z, zero], axis=1)
    offset, moves = _stepped(zero, side, rng)
    # sigmoid(v) tanh(z) <= sigmoid(upper_v) z for z >= 0, with equality of the slopes at (upper_v, 0)
    holds, fails = share >= SIGMOID_ERROR, share <= -SIGMOID_ERROR
    out, inward = moves == "1 ulp out", moves == "1 ulp in"
    truth = np.select([inward | (fails & ~out), holds], [Status.REFUTED.value, Status.PROVED.value], UNKNOWN)
    return Part(boxes, np.stack([zero, slope_z], axis=1), offset, np.full(count, OWN), moves, truth)
