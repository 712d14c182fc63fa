"""The table of product nonlinearities: a new one is a module with these functions and one row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.relaxations import sigmoid_times_identity, sigmoid_times_tanh
from gpu_engine.relaxations.curves import CURVES, Curve
from gpu_engine.relaxations.offsets import UpperMaximum


@dataclass(frozen=True)
class Product:
    """sigmoid(v) g(z): its exact maxima against planes, its value, and what choices of slopes need of g.

    curve: g as a row of CURVES; None for the identity, which is a line.
    """

    kind: str
    upper_maximum: UpperMaximum
    maximum_over_z: Callable[[Tensor, Box, Tensor], Tensor]
    value: Callable[[Tensor, Tensor], Tensor]
    g_value: Callable[[Tensor], Tensor]
    g_slope: Callable[[Tensor], Tensor]
    chord_slope: Callable[[Box], Tensor]
    curve: Curve | None


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
    )
    for kind, module, curve in (
        ("sigmoid_times_identity", sigmoid_times_identity, None),
        ("sigmoid_times_tanh", sigmoid_times_tanh, CURVES["tanh"]),
    )
}
