"""Volume ratios of the compared relaxations on the planes that were drawn.

Method card
    Claim      none: figures about tightness. No bound rests on them.
    Source     POPQORN (Ko et al. 2019), equations 25 and 26: the volume between plane and surface over a box.
    Idea       The volume per area is the plane's height at the centre less the mean of the surface. The least one, with
               both ends proved, is `audit.tightness_lp`'s; here the heights come as float64 numbers.
    Left out   what has no least volume (`Why`), and boxes so thin that the rounding of a height is more than RESOLVED
               of the least volume; all are counted.
    Shapes     one entry a drawn plane (planes,).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import numpy as np
from flint import arb
from numpy.typing import NDArray

from refcert.app.compare_boxes import DrawnPlanes
from refcert.app.progress import Progress
from refcert.audit.tightness_lp import Optimum, Why, least_volumes
from refcert.reference.equations import PRODUCTS
from refcert.reference.rounding import UNIT

# A ratio counts as known where rounding of the height moves it by at most this much.
RESOLVED: Final = 0.01
# Why a drawn plane is left out; no drawn plane is refuted, for every relaxation is sound.
LEFT_OUT: Final = (Why.NO_AREA, Why.FLAT, Why.UNRESOLVED)
# Roundings in a height: two products, two sums, the two centres, and the engine's own outward push of the offset.
_ROUNDINGS: Final = 8


def volume_ratios(drawn: DrawnPlanes, progress: Progress) -> tuple[dict[str, list[tuple[str, float]]], dict[str, int]]:
    """By relaxation (kind, volume over the least volume) of every drawn plane that has one; and how many have none."""
    ratios: dict[str, list[tuple[str, float]]] = {name: [] for name in drawn.heights}
    left_out: Counter[str] = Counter()
    with progress.task("optimal planes", len(drawn.kind), unit="planes") as tick:
        optima = least_volumes(drawn.kind, drawn.side, drawn.box, progress=tick)
    for row, (optimum, noise) in enumerate(zip(optima, rounding(drawn.kind, drawn.box).tolist(), strict=True)):
        if isinstance(optimum, Why):
            left_out[optimum] += 1
        elif noise > RESOLVED * optimum.least:
            left_out[Why.UNRESOLVED] += 1
        else:
            for name, heights in drawn.heights.items():
                ratios[name].append((str(drawn.kind[row]), ratio(optimum, float(heights[row]))))
    total = len(drawn.kind)
    counts = {"drawn": total, "used": total - sum(left_out.values())}
    return ratios, counts | {why.value: left_out[why] for why in LEFT_OUT}


def ratio(optimum: Optimum, height: float) -> float:
    """The volume of a plane with this height at the centre of the box, over the least one."""
    return optimum.ratio(arb(height))


def rounding(kind: NDArray[np.str_], box: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far float64 heights of planes over these boxes (planes, 4) can be off, (planes,).

    Slopes of useful planes are at most those of the surface: 1 in z, |z| / 4 or 1 in v.
    """
    reach = np.abs(box).reshape(-1, 2, 2).max(2)
    product = np.isin(kind, PRODUCTS)
    terms = np.where(product, reach[:, 1] * (1 + reach[:, 0] / 4), reach[:, 0])
    return np.asarray(_ROUNDINGS * UNIT * terms)
