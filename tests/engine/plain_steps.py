"""The steps of a tape, computed one by one in extended precision: what bounds and boxes are held against.

Written from the meaning of the steps, with numpy alone. `np.longdouble` has 64 bits of mantissa on x86; where it is no
wider than float64 the estimate of the rounding below still holds, it is only coarser.
"""

from __future__ import annotations

import numpy as np
import torch

from gpu_engine.cells.unroll import unroll
from gpu_engine.model import RecurrentClassifier
from gpu_engine.steps import Affine, Input, Nonlinearity, Tape


def evaluate(tape: Tape, x: np.ndarray) -> list[np.ndarray]:
    """The value of every step for x (batch, time, input), in x's own precision."""
    values: list[np.ndarray] = []

    def of(view):
        return values[view.step][:, view.start : view.stop]

    for step in tape.steps:
        if isinstance(step, Input):
            values.append(x[:, step.t])
        elif isinstance(step, Affine):
            total = np.zeros((len(x), step.size), dtype=x.dtype)
            for bias in step.biases:
                total[:, bias.row : bias.row + len(bias.value)] += bias.value.numpy().astype(x.dtype)
            for term in step.terms:
                source = of(term.source)
                image = source / term.divisor if term.weight is None else source @ term.weight.numpy().astype(x.dtype).T
                total[:, term.row : term.row + term.rows] += image
            values.append(total)
        else:
            values.append(
                sum(nonlinearity(part, of(part.v), None if part.z is None else of(part.z)) for part in step.parts)
            )
    return values


def nonlinearity(part: Nonlinearity, v: np.ndarray, z: np.ndarray | None) -> np.ndarray:
    """The value of one part."""
    v = -v if part.negate else v
    with np.errstate(over="ignore", under="ignore"):
        if part.kind == "relu":
            return np.maximum(v, 0)
        if part.kind == "tanh":
            return np.tanh(v)
        s = 1 / (1 + np.exp(-v))
        if part.kind == "sigmoid":
            return s
        assert z is not None
        return s * (np.tanh(z) if part.kind == "sigmoid_times_tanh" else z)


def outputs(tape: Tape, values: list[np.ndarray]) -> np.ndarray:
    """F(x), (batch, outputs)."""
    return np.concatenate([values[view.step][:, view.start : view.stop] for view in tape.outputs], axis=1)


class Exact:
    """The network at many points, with an estimate of what extended precision itself is off by."""

    def __init__(self, model: RecurrentClassifier, x: torch.Tensor) -> None:
        self.tape = unroll(model, x.shape[1])
        plain = x.numpy()
        self.values = evaluate(self.tape, plain.astype(np.longdouble))
        self.coarse = evaluate(self.tape, plain)

    def error(self, fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
        """Generous: extended precision has 11 bits more than the float64 that it differs from."""
        return np.abs(fine - coarse) / 16 + 1e-16 * (1 + np.abs(fine))

    def rows(self, C: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """C F(x) + d (points, spec) and its error; C (spec, outputs), d (spec,)."""
        fine, coarse = outputs(self.tape, self.values), outputs(self.tape, self.coarse)
        value = fine @ C.astype(np.longdouble).T + d
        return value, self.error(fine, coarse) @ np.abs(C).T + 1e-17 * (np.abs(fine) @ np.abs(C).T + np.abs(d))
