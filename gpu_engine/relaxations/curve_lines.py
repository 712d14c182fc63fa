"""Lines over one-dimensional nonlinearities: of least area, with one common slope, or level.

Method card
    Source     `least_volume_lines`: POPQORN (Ko et al. 2019), theorem A.2 with the objective of equations 25 and 26;
               for S-shaped curves this is a chord, a tangent through an end, or the tangent at the centre, for relu the
               chord above and slope 0 or 1 below (Zhang et al. 2018). `common_slope_lines`: Singh et al. (2018).
    Departure  CROWN's tangents touch at points found by bisection; here a slope is only a choice and the offset is
               exact for it, so that no tangent can cross its curve.
    Sound?     any slopes are: lemmas `curve_lines` and `curve_rounding`.
    Shapes     intervals and lines all (...,); a line is a plane with slope_z = 0.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.curves import ABOVE, BELOW, Curve


def least_volume_lines(curve: Curve, v: Box) -> PlanePair:
    """Both lines of `curve` on the interval, each of least height at the centre."""
    (above, upper), (below, lower) = (upper_line(curve, v, sign) for sign in (ABOVE, BELOW))
    zero = torch.zeros_like(v.lower)
    return PlanePair(Plane(-below, zero, -lower), Plane(above, zero, upper))


def common_slope_lines(curve: Curve, v: Box) -> PlanePair:
    """Two lines with one slope, the very same tensor: the least derivative of S-shaped curves, the chord's of relu."""
    return lines_of_slope(curve, v, curve.common_slope(v))


def constant_lines(curve: Curve, v: Box) -> PlanePair:
    """The ends of the curve's range."""
    return lines_of_slope(curve, v, torch.zeros_like(v.lower))


def lines_of_slope(curve: Curve, v: Box, slope: Tensor) -> PlanePair:
    """Both lines with this slope and their exact offsets."""
    zero = torch.zeros_like(v.lower)
    return PlanePair(
        Plane(slope, zero, curve.lower_minimum(v, slope)),
        Plane(slope, zero, curve.upper_maximum(v, slope)),
    )


def upper_line(curve: Curve, v: Box, sign: float = ABOVE) -> tuple[Tensor, Tensor]:
    """Slope and offset of the upper line of sign * curve that is lowest at the centre."""
    slope = curve.best_slope(sign, v)
    return slope, curve.maximum(sign, v, slope).value
