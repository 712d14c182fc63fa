"""The cells' equations as PyTorch's documentation prints them (nn.RNN, nn.LSTM, nn.GRU) and ONNX's operator GRU.

Written once here, apart from the engine: weight_ih is (W_ii | W_if | W_ig | W_io) for an LSTM, (W_ir | W_iz | W_in)
for a GRU, rows below rows, likewise weight_hh and the two biases. `order` exists for false variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from proofs.tactics import Expr
from proofs.tapes import SIGMA, TANH, Vector, each, plus, times


@dataclass(frozen=True)
class Parameters:
    """Matrices of symbols: W_i (gates hidden, input), W_h (gates hidden, output), columns b_i, b_h; W_hr or None."""

    W_i: sp.Matrix
    W_h: sp.Matrix
    b_i: sp.Matrix
    b_h: sp.Matrix
    W_hr: sp.Matrix | None = None

    def block(self, k: int, gates: int) -> tuple[sp.Matrix, sp.Matrix, sp.Matrix, sp.Matrix]:
        """The rows of gate k."""
        size = self.W_i.rows // gates
        rows = slice(k * size, (k + 1) * size)
        return self.W_i[rows, :], self.W_h[rows, :], self.b_i[rows, :], self.b_h[rows, :]


def _gate(parameters: Parameters, k: int, gates: int, x: Vector, h: Vector) -> Vector:
    W_i, W_h, b_i, b_h = parameters.block(k, gates)
    return list(W_i * sp.Matrix(x) + b_i + W_h * sp.Matrix(h) + b_h)


def lstm(
    parameters: Parameters, x: Vector, h: Vector, c: Vector, order: Sequence[str] = ("i", "f", "g", "o")
) -> tuple[Vector, Vector]:
    """(h_t, c_t) with i, f, o = sigma(.), g = tanh(.), c_t = f c + i g, h_t = o tanh(c_t), or W_hr of that."""
    gate = {name: _gate(parameters, k, 4, x, h) for k, name in enumerate(order)}
    i, f, o = (each(SIGMA, gate[name]) for name in ("i", "f", "o"))
    after = plus(times(f, c), times(i, each(TANH, gate["g"])))
    hidden = times(o, each(TANH, after))
    return (hidden if parameters.W_hr is None else list(parameters.W_hr * sp.Matrix(hidden))), after


def gru(
    parameters: Parameters,
    x: Vector,
    h: Vector,
    order: Sequence[str] = ("r", "z", "n"),
    reset_before: bool = False,
    keep: str = "z",
) -> Vector:
    """h_t = (1 - z) n + z h; n = tanh(W x + b + r (U h + c)), or tanh(W x + b + U (r h) + c). keep: what weighs h."""
    gate = {name: _gate(parameters, k, 3, x, h) for k, name in enumerate(order) if name != "n"}
    r, z = each(SIGMA, gate["r"]), each(SIGMA, gate["z"])
    W_i, W_h, b_i, b_h = parameters.block(order.index("n"), 3)
    from_x = list(W_i * sp.Matrix(x) + b_i)
    after = times(r, list(W_h * sp.Matrix(h) + b_h))
    from_h = list(W_h * sp.Matrix(times(r, h)) + b_h) if reset_before else after
    n = each(TANH, plus(from_x, from_h))
    weight = z if keep == "z" else [1 - value for value in z]
    return plus(times([1 - value for value in weight], n), times(weight, h))


def vanilla(parameters: Parameters, function: Expr, x: Vector, h: Vector) -> Vector:
    """h_t = phi(W_ih x + b_ih + W_hh h + b_hh)."""
    return each(function, _gate(parameters, 0, 1, x, h))
