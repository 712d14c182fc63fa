"""A network's steps in the arithmetic that training uses; gradients flow to the weights."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gpu_engine.cells.unroll import unroll
from gpu_engine.model import RecurrentClassifier
from gpu_engine.steps import Affine, Nonlinear, Nonlinearity, Step, Tape, Term, View
from gpu_engine.training.regions import times

_CURVES = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}


def tape_of(model: RecurrentClassifier, time: int, dtype: torch.dtype = torch.float64) -> Tape:
    """The steps for `time` frames, with the weights in `dtype`, each tensor converted once."""
    tape = unroll(model, time)
    if dtype == torch.float64:
        return tape
    known: dict[tuple[int, tuple[int, ...], tuple[int, ...]], Tensor] = {}

    def cast(value: Tensor) -> Tensor:
        key = value.data_ptr(), tuple(value.shape), tuple(value.stride())
        if key not in known:
            known[key] = value.to(dtype)
        return known[key]

    def converted(step: Step) -> Step:
        if not isinstance(step, Affine):
            return step
        terms = tuple(term if term.weight is None else replace(term, weight=cast(term.weight)) for term in step.terms)
        return replace(step, terms=terms, biases=tuple(replace(bias, value=cast(bias.value)) for bias in step.biases))

    tape.steps = [converted(step) for step in tape.steps]
    return tape


def answers(tape: Tape, x: Tensor) -> Tensor:
    """The plain forward pass along the tape: x (batch, time, input) in its dtype -> (batch, answers, classes)."""
    values: list[Tensor] = []

    def read(view: View) -> Tensor:
        return values[view.step][:, view.start : view.stop]

    for step in tape.steps:
        if isinstance(step, Affine):
            total = constant(step, x)
            for term in step.terms:
                total = total + placed(step, term, term_of(term, read(term.source)))
            values.append(total)
        elif isinstance(step, Nonlinear):
            parts = [_value(part, read(part.v), None if part.z is None else read(part.z)) for part in step.parts]
            values.append(torch.stack(parts).sum(0) if len(parts) > 1 else parts[0])
        else:
            values.append(x[:, step.t])
    return torch.stack([read(view) for view in tape.outputs], 1)


def constant(step: Affine, like: Tensor) -> Tensor:
    """The step's biases, (batch, size)."""
    total = like.new_zeros(step.size)
    for bias in step.biases:
        total = total + torch.nn.functional.pad(bias.value, (bias.row, step.size - bias.row - len(bias.value)))
    return total.expand(like.shape[0], step.size)


def placed(step: Affine, term: Term, value: Tensor) -> Tensor:
    """A term's rows (batch, rows) among those of the step, (batch, size)."""
    if term.rows == step.size:
        return value
    return torch.nn.functional.pad(value, (term.row, step.size - term.row - term.rows))


def term_of(term: Term, source: Tensor) -> Tensor:
    """A term's value, (batch, rows)."""
    return source / term.divisor if term.weight is None else times(term.weight, source)


def _value(part: Nonlinearity, v: Tensor, z: Tensor | None) -> Tensor:
    v = -v if part.negate else v
    if z is None:
        return _CURVES[part.kind](v)
    return torch.sigmoid(v) * (torch.tanh(z) if part.kind == "sigmoid_times_tanh" else z)
