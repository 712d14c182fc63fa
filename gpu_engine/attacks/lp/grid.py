"""Adversarial inputs whose moving coordinates are whole multiples of 1/levels: images have 255 levels above black.

Source     Bastani et al. (2016), section 4: the solution is rounded to whole pixel values and checked.
Departure  beside the nearest level three other roundings are tried: away from the center, against the row's slope, and
           the same for perturbations stretched by up to `STRETCHES` levels; the smallest that breaks the specification
           by the plain forward pass is kept.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from gpu_engine.attacks.lp.region import Array
from gpu_engine.attacks.lp.sample import Best, Sample

STRETCHES: Final = 4
# A center this near to a level, in levels, counts as on it and stays where it is unless its level changes: pixels
# that were divided by 255 in float32 are not whole multiples in float64.
ON_LEVEL: Final = 1e-4
# A perturbation this near to a level, in levels, is not rounded to the next one.
_SLACK: Final = 1e-6


def on_grid(sample: Sample, best: Best, levels: int) -> Array | None:
    """The smallest such input (time, input) that was found, None where no rounding is adversarial."""
    moves = sample.moves
    center = sample.center[moves] * levels
    slope = (best.target.rows @ best.region.output_slope).sum(0)
    found, smallest = None, math.inf
    for stretch in range(STRETCHES + 1):
        wanted = (best.x[moves] - sample.center[moves]) * levels
        reach = np.abs(wanted).max()
        if reach > 0:
            wanted = wanted * (1 + stretch / reach)
        for rounded in _roundings(center, wanted, slope):
            x = sample.center.copy()
            on_level = (np.abs(center - np.rint(center)) <= ON_LEVEL) & (rounded == np.rint(center))
            x[moves] = np.where(on_level, x[moves], rounded / levels)
            if sample.family.clip is not None:
                low, high = sample.family.clip
                inside = (x[moves] >= low) & (x[moves] <= high)
                x[moves] = np.where(inside, x[moves], sample.center[moves])
            margin, size = sample.judge(x)
            if margin <= 0 and size < smallest:
                found, smallest = x, size
        if found is not None:
            return found
    return None


def _roundings(center: Array, wanted: Array, slope: Array) -> list[Array]:
    """Whole levels near center + wanted: the nearest, away from the center, and where the rows fall."""
    goal = center + wanted
    down, up = np.floor(goal + _SLACK), np.ceil(goal - _SLACK)
    return [np.rint(goal), np.where(wanted > 0, up, down), np.where(slope < 0, up, down)]
