"""The steps of an LSTM and of a vanilla cell are their equations: affine gates, then sums of products.

With (i, f, g, o) = W_ih x + b_ih + W_hh h' + b_hh, blocks of rows in PyTorch's order,

    c = sigmoid(f) c' + sigmoid(i) tanh(g),   h = sigmoid(o) tanh(c),   or W_hr of that with a projection;
    h = phi(W_ih x + b_ih + W_hh h' + b_hh)   for a vanilla cell, phi = tanh, relu or sigmoid.

The code's own steps, read back as expressions, are these for every weight, every state before and every input; without
a state before they are the equations for zeros. The products are those that the relaxations bound.
Shapes: two units (three with a projection to two), two inputs, one layer below in two parts; sizes enter the code as
lengths of blocks only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpu_engine.cells.lstm import lstm
from gpu_engine.cells.state import State
from gpu_engine.cells.vanilla import vanilla
from gpu_engine.model import GATES, Direction
from gpu_engine.steps import Bias, Place, Tape, View
from proofs import cell_equations
from proofs.cell_equations import Parameters
from proofs.lemma import Lemma, Proof
from proofs.tapes import CURVES, Codes, Vector, inputs, read_view, same

HERE = Place()
INPUT = 2
Equations = Callable[[Parameters, Vector, Vector, Vector], Vector]


def parameters(codes: Codes, direction: Direction) -> Parameters:
    """The symbols behind a direction's weights."""
    return Parameters(
        codes.read(direction.weight_ih),
        codes.read(direction.weight_hh),
        codes.read(direction.bias_ih),
        codes.read(direction.bias_hh),
        None if direction.weight_hr is None else codes.read(direction.weight_hr),
    )


def direction(codes: Codes, cell: str, hidden: int, output: int, **more: Any) -> Direction:
    """A direction whose weights are symbols."""
    rows = GATES[cell] * hidden
    return Direction(
        cell,
        codes.tensor("W", rows, INPUT),
        codes.tensor("U", rows, output),
        codes.tensor("b", rows),
        codes.tensor("c", rows),
        weight_hr=codes.tensor("P", output, hidden) if output != hidden else None,
        **more,
    )


def code_frame(
    cell: Callable[..., State], codes: Codes, weights: Direction, started: bool
) -> tuple[State, list[Vector], Vector, Vector, Vector]:
    """One frame by the code: its state, all values, and x, h', c' that it read. started: there is a state before."""
    tape = Tape(INPUT)
    x = tape.frame(0)
    halves = [x.part(0, 1), x.part(1, 1)]  # as from two directions below
    sizes = {"h": weights.output_size, "c": weights.hidden_size}
    before: dict[str, View | None] = {"h": None, "c": None}
    start: dict[str, Vector] = {name: [0] * size for name, size in sizes.items()}
    for name, size in sizes.items() if started else ():
        value = codes.tensor(f"{name}before", size)
        before[name] = tape.affine(name, size, (), (Bias(value),), HERE)
        start[name] = list(codes.read(value))
    cell_before = before["c"] if weights.cell == "lstm" else None
    state = cell(tape, weights, halves, State(before["h"], cell_before), HERE)
    frames = inputs(1, INPUT)
    return state, codes.values(tape, frames), frames[0], start["h"], start["c"]


def _lstm(equations: Callable[..., tuple[Vector, Vector]] = cell_equations.lstm) -> list[str]:
    proof = Proof()
    for hidden, output in ((2, 2), (3, 2)):
        for started in (False, True):
            codes = Codes()
            weights = direction(codes, "lstm", hidden, output)
            state, found, x, h, c = code_frame(lstm, codes, weights, started)
            name = ("projected " if hidden != output else "") + "LSTM" + ("" if started else " from zeros")
            expected_h, expected_c = equations(parameters(codes, weights), x, h, c)
            assert state.hidden is not None and state.cell is not None
            proof.by(f"{name}: the cell state", same, read_view(state.cell, found), expected_c)
            proof.by(f"{name}: the hidden state", same, read_view(state.hidden, found), expected_h)
    return proof.steps


def _vanilla(equations: Callable[..., Vector] = cell_equations.vanilla) -> list[str]:
    proof = Proof()
    for kind, function in CURVES.items():
        for started in (False, True):
            codes = Codes()
            weights = direction(codes, f"rnn_{kind}", 2, 2)
            state, found, x, h, _ = code_frame(vanilla, codes, weights, started)
            assert state.hidden is not None
            step = f"{kind} cell{'' if started else ' from zeros'}: the hidden state"
            expected = equations(parameters(codes, weights), function, x, h)
            proof.by(step, same, read_view(state.hidden, found), expected)
    return proof.steps


def _one_bias(given: Parameters) -> Parameters:
    return Parameters(given.W_i, given.W_h, given.b_i, 0 * given.b_h, given.W_hr)


def _transposed(given: Parameters) -> Parameters:
    return Parameters(given.W_i, given.W_h.T if given.W_h.is_square else given.W_h, given.b_i, given.b_h, given.W_hr)


LEMMA = Lemma(
    name="cell_steps",
    statement=__doc__,
    source="PyTorch's documentation of nn.LSTM and nn.RNN; POPQORN (Ko et al. 2019), sections 3.1 and 3.3",
    code=("gpu_engine.cells.lstm:lstm", "gpu_engine.cells.vanilla:vanilla", "gpu_engine.steps:terms_of"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_forward.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _lstm() + _vanilla(),
    controls={
        "gates in the order i, f, o, g": lambda: _lstm(
            lambda given, x, h, c: cell_equations.lstm(given, x, h, c, order=("i", "f", "o", "g"))
        ),
        "input and forget gate exchanged": lambda: _lstm(
            lambda given, x, h, c: cell_equations.lstm(given, x, h, c, order=("f", "i", "g", "o"))
        ),
        "the second bias is forgotten": lambda: _lstm(
            lambda given, x, h, c: cell_equations.lstm(_one_bias(given), x, h, c)
        ),
        "the state through the transposed weights": lambda: _vanilla(
            lambda given, function, x, h: cell_equations.vanilla(_transposed(given), function, x, h)
        ),
        "the state before is not read": lambda: _vanilla(
            lambda given, function, x, h: cell_equations.vanilla(given, function, x, [0] * len(h))
        ),
    },
)
