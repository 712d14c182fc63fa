"""The exact network at one point in ball arithmetic, from the program that the kernel replays certificates on.

Every cell, readout and block that a certificate can name: the program says what is computed, so nothing here knows of
cells. Balls contain the exact values; how narrow they are depends on the precision around the call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flint import arb, arb_mat

from gpu_engine.certificates.network import Network
from gpu_engine.model import RecurrentClassifier
from refcert.kernel.ball import ZERO, exact, larger
from refcert.kernel.container import WIDTHS, parse_container
from refcert.kernel.functions import sigmoid, tanh
from refcert.kernel.network import build_network
from refcert.kernel.program import Part, Program, Term, Variable, View, unroll

Values = list[arb]

_NAME: Final = "network.safetensors"


def program_of(model: RecurrentClassifier, frames: int) -> Program:
    """The model unrolled as the kernel reads it from the network's file."""
    file = parse_container(Network(model, _NAME).content(), WIDTHS)
    return unroll(build_network(file.body["structure"], file.tensors), frames)


def exact_outputs(program: Program, x: Sequence[Sequence[float]]) -> Values:
    """Balls that contain the exact network's outputs at x (frames, input), taken as exact.

    (classes,), or (frames * classes,) frame after frame where the network answers each frame.
    """
    if len(x) != program.frames:
        raise ValueError(f"x has {len(x)} frames, the program {program.frames}")
    values: list[Values] = []
    for number, variable in enumerate(program.variables):
        if number < program.frames:
            values.append([exact(value) for value in x[number]])
        else:
            values.append(_value(variable, values))
    return [value for answer in program.answers for value in _read(answer, values)]


def _value(variable: Variable, values: Sequence[Values]) -> Values:
    found = [ZERO] * variable.size
    for constant in variable.constants:
        _add(found, constant.row, [exact(value) for value in constant.values])
    for term in variable.terms:
        _add(found, term.row, _product(term, _read(term.source, values)))
    for part in variable.parts:
        _add(found, 0, _image(part, values))
    return found


def _read(view: View, values: Sequence[Values]) -> Values:
    return values[view.variable][view.first : view.first + view.size]


def _product(term: Term, read: Values) -> Values:
    if term.matrix is None:
        return [value / term.divisor for value in read]
    product: Values = (term.matrix.ball * arb_mat(len(read), 1, read)).entries()
    return product


def _image(part: Part, values: Sequence[Values]) -> Values:
    v = _read(part.v, values)
    if part.negate:
        v = [-value for value in v]
    if part.kind == "relu":
        return [larger(value, ZERO) for value in v]
    if part.kind == "tanh":
        return [tanh(value).value for value in v]
    gates = [sigmoid(value).value for value in v]
    if part.z is None:
        return gates
    z = _read(part.z, values)
    if part.kind == "sigmoid_times_tanh":
        z = [tanh(value).value for value in z]
    return [a * b for a, b in zip(gates, z, strict=True)]


def _add(total: Values, row: int, values: Values) -> None:
    for k, value in enumerate(values):
        total[row + k] = total[row + k] + value
