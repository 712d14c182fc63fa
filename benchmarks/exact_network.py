"""The exact network at points, in ball arithmetic, from the program that the kernel replays certificates on."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from flint import arb, arb_mat

from gpu_engine.certificates.network import Network
from gpu_engine.model import RecurrentClassifier
from refcert.kernel.ball import ZERO, exact, larger, precision
from refcert.kernel.container import WIDTHS, parse_container
from refcert.kernel.functions import sigmoid, tanh
from refcert.kernel.network import build_network
from refcert.kernel.program import Part, Program, Term, Variable, View, unroll

BITS = 128

Rows = list[list[arb]]
"""Values of a variable at several inputs, (units, inputs)."""


def program_of(model: RecurrentClassifier, frames: int) -> Program:
    """The model unrolled as the kernel reads it from the network's file."""
    file = parse_container(Network(model, "network.safetensors").content(), WIDTHS)
    return unroll(build_network(file.body["structure"], file.tensors), frames)


def exact_logits(model: RecurrentClassifier, x: torch.Tensor) -> Rows:
    """Balls that contain the exact network's logits, (classes, inputs). x (inputs, time, input), taken as exact.

    For networks with one answer for the whole sequence.
    """
    program = program_of(model, x.shape[1])
    (answer,) = program.answers
    values: list[Rows] = []
    with precision(BITS):
        for number, variable in enumerate(program.variables):
            if number < program.frames:
                frame = x[:, number].T.to(torch.float64).tolist()
                values.append([[exact(value) for value in unit] for unit in frame])
            else:
                values.append(_value(variable, values, len(x)))
    return _read(answer, values)


def _value(variable: Variable, values: Sequence[Rows], inputs: int) -> Rows:
    rows = [[ZERO] * inputs for _ in range(variable.size)]
    for constant in variable.constants:
        _add(rows, constant.row, [[exact(value)] * inputs for value in constant.values])
    for term in variable.terms:
        _add(rows, term.row, _product(term, _read(term.source, values), inputs))
    for part in variable.parts:
        _add(rows, 0, _image(part, values))
    return rows


def _read(view: View, values: Sequence[Rows]) -> Rows:
    return values[view.variable][view.first : view.first + view.size]


def _product(term: Term, read: Rows, inputs: int) -> Rows:
    if term.matrix is None:
        return [[value / term.divisor for value in row] for row in read]
    flat = (term.matrix.ball * arb_mat(len(read), inputs, [value for row in read for value in row])).entries()
    return [flat[k : k + inputs] for k in range(0, len(flat), inputs)]


def _image(part: Part, values: Sequence[Rows]) -> Rows:
    v = _read(part.v, values)
    if part.negate:
        v = [[-value for value in row] for row in v]
    if part.kind == "relu":
        return [[larger(value, ZERO) for value in row] for row in v]
    if part.kind == "tanh":
        return [[tanh(value).value for value in row] for row in v]
    gates = [[sigmoid(value).value for value in row] for row in v]
    if part.z is None:
        return gates
    z = _read(part.z, values)
    if part.kind == "sigmoid_times_tanh":
        z = [[tanh(value).value for value in row] for row in z]
    return [[a * b for a, b in zip(*pair, strict=True)] for pair in zip(gates, z, strict=True)]


def _add(total: Rows, row: int, values: Rows) -> None:
    for k, more in enumerate(values):
        total[row + k] = [a + b for a, b in zip(total[row + k], more, strict=True)]
