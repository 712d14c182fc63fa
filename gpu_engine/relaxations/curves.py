"""The table of one-dimensional nonlinearities: a new one is a module with these functions and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations import relu, sigmoid, tanh
from gpu_engine.relaxations.s_curve import CurveMaximum

# Upper lines of phi and of -phi: minus an upper line of -phi is a lower line of phi, exactly (lemma `curve_lines`).
ABOVE: Final = 1.0
BELOW: Final = -1.0


@dataclass(frozen=True)
class Curve:
    """phi(v): its exact maxima against lines, its value and slope, and choices of slopes. Shapes all (...,).

    maximum(sign, v, slope): max over the interval of sign * phi(v) - slope * v, pushed outward, sign ABOVE or BELOW,
    and a point where it is nearly attained. best_slope(sign, v): of the upper line of sign * phi that is lowest at the
    centre. common_slope(v): one slope for a lower and an upper line.
    """

    kind: str
    maximum: Callable[[float, Box, Tensor], CurveMaximum]
    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]
    best_slope: Callable[[float, Box], Tensor]
    common_slope: Callable[[Box], Tensor]

    def upper_maximum(self, v: Box, slope: Tensor) -> Tensor:
        """The least sound offset of an upper line with this slope: max phi(v) - slope * v, pushed outward."""
        return self.maximum(ABOVE, v, slope).value

    def lower_minimum(self, v: Box, slope: Tensor) -> Tensor:
        """The largest sound offset of a lower line with this slope: min phi(v) - slope * v, pushed outward."""
        return -self.maximum(BELOW, v, -slope).value


CURVES: Final[Mapping[str, Curve]] = {
    kind: Curve(kind, module.maximum, module.value, module.slope, module.best_slope, module.common_slope)
    for kind, module in (("sigmoid", sigmoid), ("tanh", tanh), ("relu", relu))
}
