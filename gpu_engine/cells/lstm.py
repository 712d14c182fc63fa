"""The LSTM cell for back-substitution: two state updates made of three product nonlinearities.

Method card
    Source     POPQORN (Ko et al. 2019), section 3.3 and theorem A.3; gates in PyTorch's order i, f, g, o.
    Cell       c_t = sigmoid(f) c_(t-1) + sigmoid(i) tanh(g),   h_t = sigmoid(o) tanh(c_t),
               (i, f, g, o) = W_ih x_t + W_hh h_(t-1) + b.
    Substitute a coefficient A on h_t (or c_t) takes the lower plane where A >= 0 and the upper plane where A < 0;
               what remains is linear in the gates and in c_t (or c_(t-1)).
    Rounding   the constants below carry it: see `charge` and lemma `charged_rounding`.
    Shapes     coefficients (batch or 1, spec, hidden); relaxed products (batch, hidden).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import Plane, PlanePair
from gpu_engine.errors import ModelError
from gpu_engine.model import LSTMLayer
from gpu_engine.rounding import tiny

# Positions of the gates in the stacked weights.
I, F, G, O = range(4)  # noqa: E741


@dataclass(frozen=True)
class LayerWeights:
    """One layer's weights in the engine's dtype and device, and their absolute values."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias: Tensor
    abs_ih: Tensor
    abs_hh: Tensor
    abs_bias: Tensor

    @property
    def hidden(self) -> int:
        return self.weight_hh.shape[1]

    @classmethod
    def of(cls, layer: LSTMLayer, dtype: torch.dtype, device: torch.device) -> LayerWeights:
        def cast(value: Tensor) -> Tensor:
            return value.to(device=device, dtype=dtype)

        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            require_normal(name, getattr(layer, name), dtype)
        weight_ih, weight_hh = cast(layer.weight_ih), cast(layer.weight_hh)
        bias_ih, bias_hh = cast(layer.bias_ih), cast(layer.bias_hh)
        return cls(
            weight_ih,
            weight_hh,
            bias_ih + bias_hh,
            weight_ih.abs(),
            weight_hh.abs(),
            bias_ih.abs() + bias_hh.abs(),
        )


def require_normal(name: str, value: Tensor, dtype: torch.dtype) -> None:
    """Raise where a weight is too small for the dtype: what it loses by underflow is charged nowhere."""
    bad = (value != 0) & (value.abs() < tiny(dtype))
    if bool(bad.any()):
        index = tuple(int(i) for i in bad.nonzero()[0])
        raise ModelError(
            f"{name}{list(index)} is {value[index].item()!r}, below the smallest normal number of {dtype}; "
            "use float64, or set such weights to zero"
        )


@dataclass(frozen=True)
class RelaxedProduct:
    """A product's planes, ready for substitution: the gates' constants and all rounding are in const_*.

    Each (batch, 1, hidden); const_* (batch, hidden, 1).
    """

    v_lower: Tensor
    v_upper: Tensor
    z_lower: Tensor
    z_upper: Tensor
    const_lower: Tensor
    const_upper: Tensor

    def part(self, samples: slice) -> RelaxedProduct:
        """The product of some samples. A shared slope stays the very same tensor, see `choose`."""
        z_lower = self.z_lower[samples]
        return RelaxedProduct(
            self.v_lower[samples],
            self.v_upper[samples],
            z_lower,
            z_lower if self.z_upper is self.z_lower else self.z_upper[samples],
            self.const_lower[samples],
            self.const_upper[samples],
        )


@dataclass(frozen=True)
class Charge:
    """Everything that the rounding of one substitution can be as large as, per unit (batch, hidden).

    gate_v, gate_z: sum of the absolute terms of the gate (z: of the cell state, its magnitude).
    out: the magnitude of the variable that is substituted. gamma: relative rounding of all sums involved.
    underflow: what all underflows in the folded constants can add up to, per unit of slope and magnitude.
    """

    gate_v: Tensor
    gate_z: Tensor
    out: Tensor
    gamma: float
    underflow: float


def relax(pair: PlanePair, constant_v: Tensor, constant_z: Tensor | None, charge: Charge) -> RelaxedProduct:
    """Fold the constants of the gates and the charged rounding into the planes' offsets.

    constant_v, constant_z: what the gate adds besides its variables (bias, the fixed part of the
    input); None where z is the cell state. lemma `charged_rounding`.
    """
    lower, upper = pair.lower, pair.upper
    const_lower = lower.offset + lower.slope_v * constant_v
    const_upper = upper.offset + upper.slope_v * constant_v
    if constant_z is not None:
        const_lower = const_lower + lower.slope_z * constant_z
        const_upper = const_upper + upper.slope_z * constant_z
    shares_z = upper.slope_z is lower.slope_z
    z_lower = lower.slope_z[:, None, :]
    return RelaxedProduct(
        lower.slope_v[:, None, :],
        upper.slope_v[:, None, :],
        z_lower,
        z_lower if shares_z else upper.slope_z[:, None, :],
        (const_lower - _pad(lower, charge))[..., None],
        (const_upper + _pad(upper, charge))[..., None],
    )


def _pad(plane: Plane, charge: Charge) -> Tensor:
    terms = plane.slope_v.abs() * charge.gate_v + plane.slope_z.abs() * charge.gate_z
    slopes = 1 + plane.slope_v.abs() + plane.slope_z.abs()
    lost = charge.underflow * slopes * (1 + charge.gate_v + charge.gate_z + charge.out)
    return charge.gamma * (terms + plane.offset.abs() + charge.out) + lost


def choose(positive: Tensor, coefficients: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """coefficient * (lower slope where it is positive, upper slope where it is not)."""
    if lower is upper:
        return coefficients * lower
    return coefficients * torch.where(positive, lower, upper)
