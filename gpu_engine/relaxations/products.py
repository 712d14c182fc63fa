"""The table of product nonlinearities: a new one is a module with these functions and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations import sigmoid_times_identity, sigmoid_times_tanh
from gpu_engine.relaxations.curves import CURVES, Curve
from gpu_engine.relaxations.octagon_edges import Octagon
from gpu_engine.relaxations.octagon_inside import inside_octagon
from gpu_engine.relaxations.offsets import UpperMaximum
from gpu_engine.relaxations.s_curve import CurveMaximum, max_sigmoid_minus_line, max_tanh_minus_line

# Scale, slope, lower and upper end; box, slope_v, slope_z -> value, v, z.
CurveBound = Callable[[Tensor, Tensor, Tensor, Tensor], CurveMaximum]
InsideBound = Callable[[Octagon, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Product:
    """sigmoid(v) g(z): its exact maxima against planes, its value, and what choices of slopes need of g.

    curve: g as a row of CURVES; None for the identity, which is a line. along_v, along_z: bounds of the surface less a
    line on the concave half of a side (`s_curve`), along_z None where sides are straight; inside: a bound of F at its
    interior maxima over an octagon, None where there are none.
    """

    kind: str
    upper_maximum: UpperMaximum
    maximum_over_z: Callable[[Tensor, Box, Tensor], Tensor]
    value: Callable[[Tensor, Tensor], Tensor]
    g_value: Callable[[Tensor], Tensor]
    g_slope: Callable[[Tensor], Tensor]
    chord_slope: Callable[[Box], Tensor]
    curve: Curve | None
    along_v: CurveBound
    along_z: CurveBound | None
    inside: InsideBound | None


PRODUCTS: Final[Mapping[str, Product]] = {
    kind: Product(
        kind,
        module.upper_maximum,
        module.maximum_over_z,
        module.value,
        module.g_value,
        module.g_slope,
        module.chord_slope,
        curve,
        max_sigmoid_minus_line,
        along_z,
        inside,
    )
    for kind, module, curve, along_z, inside in (
        ("sigmoid_times_identity", sigmoid_times_identity, None, None, None),
        (
            "sigmoid_times_tanh",
            sigmoid_times_tanh,
            CURVES["tanh"],
            max_tanh_minus_line,
            inside_octagon,
        ),
    )
}
