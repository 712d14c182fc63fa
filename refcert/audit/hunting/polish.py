"""Local improvement of a point that is nearly beyond a plane: a bounded quasi-Newton search whose anchor moves along.

Method card
    Idea       L-BFGS-B (Byrd, Lu, Nocedal, Zhu 1995) on the box, in units of at most 1 (the length on which sigmoid and
               tanh bend) and of the change of the excess around the anchor; then once more from an anchor at the
               result, where the excess is accurate to a few roundings of its own.
    Property   The result is a float point of the box with an excess not below that of the start. No claim.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from refcert.audit.hunting.excess import Excess
from refcert.audit.hunting.hunt import Hunt, Point

Array = NDArray[np.float64]

ROUNDS: Final = 3
# Of one round; a quadratic in two unknowns takes three.
ITERATIONS: Final = 20
# A gradient, in those units, at which the excess is within FLAT^2 of its maximum.
FLAT: Final = 1e-10
# A round that gains no more than this share of the excess has decided its sign.
SETTLED: Final = 0.25
# Units on an axis: its width or the length on which the surface bends, whichever is less.
UNIT: Final = 1.0


@np.errstate(all="ignore")  # steps that overflow are cut off at the ends of the box
def polish(hunt: Hunt, point: Point) -> Point:
    """A local maximum of the excess near this point."""
    for _ in range(ROUNDS):
        excess = hunt.excess.at(*point)
        moved = _improved(hunt, excess)
        gain, point = float(excess.rise(*moved)), moved
        if gain <= SETTLED * abs(excess.level + gain):
            break
    return point


def _improved(hunt: Hunt, excess: Excess) -> Point:
    point = (excess.v, excess.z)
    free, axes = list(hunt.free), hunt.axes
    # halves, so that the width of the widest box does not overflow
    unit = np.array([min(2.0 * (axes[k].high / 2 - axes[k].low / 2), UNIT) for k in free])
    start = np.array(point)

    def place(steps: Array) -> Point:
        here = start.copy()
        for k, step in zip(free, steps * unit, strict=True):
            here[k] = axes[k].clip(start[k] + step)
        v, z = hunt.inside(here[0], here[1])
        return float(v), float(z)

    size = _change(excess, [place(s * np.eye(len(free))[k]) for k in range(len(free)) for s in (-1.0, 1.0)])
    if size == 0.0:
        return point

    def downhill(steps: Array) -> tuple[float, Array]:
        here = place(steps)
        slope_v, slope_z = excess.gradient(*here)
        octagon = excess.octagon
        beyond = 0.0 if octagon is None or 1 not in free else here[1] - start[1] - float((steps * unit)[free.index(1)])
        if octagon is not None and abs(beyond) > np.spacing(abs(here[1])):
            # On a diagonal edge, which z follows: the search is one along v.
            slope_v, slope_z = slope_v + slope_z * octagon.turn(here[0], above=beyond < 0), 0.0
        gradient = np.array((slope_v, slope_z))[free]
        return -float(excess.rise(*here)) / size, -gradient * unit / size

    bounds = [((axes[k].low - start[k]) / u, (axes[k].high - start[k]) / u) for k, u in zip(free, unit, strict=True)]
    options = {"maxiter": ITERATIONS, "ftol": 0.0, "gtol": FLAT}
    result = minimize(downhill, np.zeros(len(free)), jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    end = place(result.x)
    return end if float(excess.rise(*end)) > 0.0 else point


def _change(excess: Excess, points: list[Point]) -> float:
    rises = excess.rise(*(np.array([point[k] for point in points]) for k in range(2)))
    return float(np.max(np.abs(rises[np.isfinite(rises)]), initial=0.0))
