"""Ever finer grids around the best point: local improvement that knows no derivative and no solver.

Method card
    Idea       Compass search (Hooke, Jeeves 1961; Kolda, Lewis, Torczon 2003): a grid of (2 REACH + 1)^2 points; a
               better point on its rim becomes the middle of the next grid, one in its middle part makes the next grid
               finer. The anchor of the excess moves along, so nothing is lost in rounding.
    Property   The result is a float point of the box with an excess not below that of the start. No claim.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from refcert.audit.hunting.hunt import Hunt, Point, spread

REACH: Final = 3
GRIDS: Final = 120
# When the excess varies by no more than this share of itself over a grid, a finer one will not change its sign.
SETTLED: Final = 0.25
FINER: Final = float(REACH)

_STEPS: Final = np.arange(-REACH, REACH + 1, dtype=np.float64)


@np.errstate(all="ignore")  # steps that overflow are cut off at the ends of the box
def zoom_in(hunt: Hunt, point: Point, share: float) -> Point:
    """A better point near this one. share: the first grid's spacing as a share of the box."""
    # not below the spacing of the floats, at which the search ends
    steps = [share * min(2.0 * (axis.high / 2 - axis.low / 2), np.finfo(np.float64).max / 4) for axis in hunt.axes]
    for _ in range(GRIDS):
        v, z = hunt.inside(*np.meshgrid(point[0] + steps[0] * _STEPS, point[1] + steps[1] * _STEPS))
        excess = hunt.excess.at(*point)
        rise = excess.rise(v, z)
        best = np.unravel_index(int(np.argmax(rise)), rise.shape)
        gain = float(rise[best])
        if gain > 0.0:
            point = float(v[best]), float(z[best])
        if not (gain > 0.0 and REACH in (abs(best[0] - REACH), abs(best[1] - REACH))):
            if spread(rise) <= SETTLED * abs(excess.level + gain):
                break
            steps = [step / FINER for step in steps]
            if steps[0] < np.spacing(abs(point[0])) and steps[1] < np.spacing(abs(point[1])):
                break
    return point
