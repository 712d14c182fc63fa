"""The engine's own steps on symbols: weights that stand for symbols, and the value of every step of a tape.

The code that adds steps to a tape cuts weights into blocks and never computes with them. So it runs as it is on
tensors whose entries are whole numbers, each the code of one symbol; what it has put on the tape is then read back.
Nonlinearities stay undefined functions: two networks are the same function if their expressions are the same, up to the
rules of `same`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import sympy as sp
import torch

from gpu_engine.steps import Affine, Input, Nonlinear, Nonlinearity, Tape, View
from proofs.lemma import LemmaError
from proofs.lemmas.s_curve_maximum import sigmoid as logistic
from proofs.tactics import Expr, identity

SIGMA, TANH, RELU = (sp.Function(name, real=True) for name in ("sigma", "Tanh", "Relu"))
CURVES = {"sigmoid": SIGMA, "tanh": TANH, "relu": RELU}
Vector = list[Expr]


class Codes:
    """Tensors of codes, and the symbols behind them."""

    def __init__(self) -> None:
        self._symbols: list[Expr] = [sp.Integer(0)]  # code 0 is the number 0

    def tensor(self, name: str, *shape: int) -> torch.Tensor:
        """A float64 tensor whose entries stand for name_0, name_1, ... in row order."""
        size = prod(shape)
        first = len(self._symbols)
        self._symbols.extend(sp.symbols(f"{name}_:{size}", real=True))
        return torch.arange(first, first + size, dtype=torch.float64).reshape(shape)

    def read(self, tensor: torch.Tensor) -> sp.Matrix:
        """The symbols of a tensor of one or two axes; one axis becomes a column."""
        rows = tensor.reshape(tensor.shape[0], -1).tolist()
        if any(code != int(code) or not 0 <= code < len(self._symbols) for row in rows for code in row):
            raise LemmaError("the code has computed with a weight")
        return sp.Matrix([[self._symbols[int(code)] for code in row] for row in rows])

    def values(self, tape: Tape, frames: Mapping[int, Vector]) -> list[Vector]:
        """The value of every step for inputs frames[t], as expressions."""
        found: list[Vector] = []
        for step in tape.steps:
            if isinstance(step, Input):
                found.append(list(frames[step.t]))
            elif isinstance(step, Affine):
                found.append(self._affine(step, found))
            else:
                found.append(_nonlinear(step, found))
        return found

    def _affine(self, step: Affine, found: Sequence[Vector]) -> Vector:
        total = [sp.Integer(0)] * step.size
        for bias in step.biases:
            for row, value in enumerate(self.read(bias.value)):
                total[bias.row + row] += value
        for term in step.terms:
            source = sp.Matrix(read_view(term.source, found))
            image = source / term.divisor if term.weight is None else self.read(term.weight) * source
            for row, value in enumerate(image):
                total[term.row + row] += value
        return [sp.expand(value) for value in total]


def read_view(view: View, found: Sequence[Vector]) -> Vector:
    """The values that a view shows."""
    return found[view.step][view.start : view.stop]


def _nonlinear(step: Nonlinear, found: Sequence[Vector]) -> Vector:
    parts = [_part(part, found) for part in step.parts]
    return [sp.expand(sum(values)) for values in zip(*parts, strict=True)]


def _part(part: Nonlinearity, found: Sequence[Vector]) -> Vector:
    v = [-value if part.negate else value for value in read_view(part.v, found)]
    if part.z is None:
        return [CURVES[part.kind](value) for value in v]
    z = read_view(part.z, found)
    if part.kind == "sigmoid_times_tanh":
        z = [TANH(value) for value in z]
    elif part.kind != "sigmoid_times_identity":
        raise LemmaError(f"{part.kind} is not known")
    return [SIGMA(first) * second for first, second in zip(v, z, strict=True)]


def _plain(expr: Expr) -> Expr:
    """Arguments expanded, sigma(-x) as 1 - sigma(x)."""

    def rule(argument: Expr) -> Expr:
        argument = sp.expand(argument)
        return 1 - SIGMA(-argument) if argument.could_extract_minus_sign() else SIGMA(argument)

    return sp.expand(sp.expand(expr).replace(SIGMA, rule))


def same(left: Vector, right: Vector) -> None:
    """The same vectors for every choice of the functions with sigma(-x) = 1 - sigma(x), lemma `gru_update`."""
    if len(left) != len(right):
        raise LemmaError(f"{len(left)} values are not {len(right)}")
    for k, (first, second) in enumerate(zip(left, right, strict=True)):
        if _plain(_plain(first) - _plain(second)) != 0:
            raise LemmaError(f"unit {k}: {first} is not {second}")


def complement() -> None:
    """sigma(-x) = 1 - sigma(x) for the logistic function, the rule that `same` uses."""
    x = sp.Symbol("x", real=True)
    identity(logistic(-x), 1 - logistic(x))


def inputs(time: int, size: int) -> dict[int, Vector]:
    """Frames of symbols."""
    return {t: list(sp.symbols(f"x{t}_:{size}", real=True)) for t in range(time)}


def each(function: Expr, values: Sequence[Expr]) -> Vector:
    """A function of every entry."""
    return [function(value) for value in values]


def times(first: Sequence[Expr], second: Sequence[Expr]) -> Vector:
    """Products entry by entry."""
    return [a * b for a, b in zip(first, second, strict=True)]


def plus(*vectors: Sequence[Expr]) -> Vector:
    """Sums entry by entry."""
    return [sum(values) for values in zip(*vectors, strict=True)]
