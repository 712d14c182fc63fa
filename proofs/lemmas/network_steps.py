"""The steps of a whole network are its function: layers in front, stacked layers, directions, readout, head.

Let every frame pass the layers in front; let layer k read the outputs of layer k - 1 at each frame, joined over its
directions (the first one the frames); a reverse direction starts at the last frame and its outputs are put back in
order of time; the readouts are

    final: every direction's state after its own last frame, joined;   last_frame: the outputs at the last frame;
    mean, max: over time, unit by unit (`mean_readout`, `maximum_readout`);   every: one answer per frame;

and the head follows. The steps that the code unrolls, read back as expressions, are this function for every weight,
start state and input: every linear relation between steps is the network's own, so that a bound on the last step is a
bound on F(x).
Tried: vanilla cells (the cells themselves are lemmas `cell_steps`, `gru_update`), one and two layers, one direction and
two, with and without start states, layers in front and behind; three frames, so that first, middle and last differ; an
LSTM read backward from start states, for the state that a cell hands on beside its output.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import sympy as sp

from gpu_engine.cells.unroll import unroll
from gpu_engine.model import GATES, Activation, Block, Dense, Direction, RecurrentClassifier
from proofs import cell_equations
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.lemmas.cell_steps import parameters
from proofs.tapes import CURVES, Codes, Vector, each, inputs, read_view, same

TIME = 3
Network = Callable[[Codes, RecurrentClassifier, dict[int, Vector]], list[Vector]]


def _blocks(codes: Codes, blocks: tuple[Block, ...], values: Vector) -> Vector:
    for block in blocks:
        if isinstance(block, Activation):
            values = each(CURVES[block.kind], values)
        else:
            values = list(codes.read(block.weight) * sp.Matrix(values) + codes.read(block.bias))
    return values


def _run(codes: Codes, direction: Direction, frames: list[Vector], in_order: bool) -> list[Vector]:
    """One direction's outputs, in order of time."""
    given = parameters(codes, direction)
    start = direction.initial_hidden
    h: Vector = [0] * direction.output_size if start is None else list(codes.read(start))
    cell = direction.initial_cell
    c: Vector = [0] * direction.hidden_size if cell is None else list(codes.read(cell))
    outputs = []
    for x in reversed(frames) if direction.reverse else frames:
        if direction.cell == "lstm":
            h, c = cell_equations.lstm(given, x, h, c)
        else:
            h = cell_equations.vanilla(given, CURVES[direction.cell.removeprefix("rnn_")], x, h)
        outputs.append(h)
    return outputs[::-1] if direction.reverse and in_order else outputs


def answers(
    codes: Codes,
    model: RecurrentClassifier,
    frames: dict[int, Vector],
    in_order: bool = True,
    read_last_of_all: bool = False,
) -> list[Vector]:
    """The network's answers by its definition. in_order, read_last_of_all exist for false variants."""
    outputs = [_blocks(codes, model.before, frames[t]) for t in range(len(frames))]
    finals: list[Vector] = []
    for layer in model.layers:
        runs = [_run(codes, direction, outputs, in_order) for direction in layer]
        outputs = [[value for run in runs for value in run[t]] for t in range(len(frames))]
        last = [0 if direction.reverse and not read_last_of_all else -1 for direction in layer]
        finals = [run[where] for run, where in zip(runs, last, strict=True)]
    if model.readout == "final":
        read = [[value for final in finals for value in final]]
    elif model.readout == "last_frame":
        read = [outputs[-1]]
    elif model.readout == "every":
        read = outputs
    else:
        raise LemmaError(f"the readout {model.readout} has a lemma of its own")
    return [_blocks(codes, model.after, values) for values in read]


def _direction(codes: Codes, size: int, cell: str, hidden: int, reverse: bool, started: bool) -> Direction:
    start = codes.tensor("h", hidden) if started else None
    before = codes.tensor("s", hidden) if started and cell == "lstm" else None
    rows = GATES[cell] * hidden
    weights = codes.tensor("W", rows, size), codes.tensor("U", rows, hidden)
    return Direction(
        cell, *weights, codes.tensor("b", rows), codes.tensor("c", rows), None, start, before, reverse=reverse
    )


def _dense(codes: Codes, rows: int, size: int) -> Dense:
    return Dense(codes.tensor("D", rows, size), codes.tensor("d", rows))


def networks(readout: str) -> list[tuple[str, Codes, RecurrentClassifier]]:
    """Networks of symbols. name, the symbols behind the weights, the network."""
    found = []
    for name, depth, both, dressed in (
        ("one layer", 1, False, False),
        ("one layer, layers in front and behind, start states", 1, False, True),
        ("two directions, start states", 1, True, True),
        ("two layers of two directions", 2, True, False),
    ):
        codes = Codes()
        before = (_dense(codes, 1, 1), Activation("relu")) if dressed else ()
        layers, size = [], 1
        for _ in range(depth):
            ways = (False, True) if both else (False,)
            layers.append(tuple(_direction(codes, size, "rnn_tanh", 1, way, dressed) for way in ways))
            size = len(ways)
        behind = (Activation("sigmoid"), _dense(codes, 2, size), Activation("tanh")) if dressed else ()
        head = _dense(codes, 2, 2 if dressed else size)
        found.append((name, codes, RecurrentClassifier(tuple(layers), (*behind, head), before, readout)))
    codes = Codes()
    backward = _direction(codes, 1, "lstm", 1, True, True)
    found.append(("LSTM backward", codes, RecurrentClassifier(((backward,),), (_dense(codes, 2, 1),), (), readout)))
    return found


def _derive(readout: str, definition: Network = answers) -> list[str]:
    proof = Proof()
    for name, codes, model in networks(readout):
        tape = unroll(model, TIME)
        frames = inputs(TIME, 1)
        found = codes.values(tape, frames)
        outputs = [value for view in tape.outputs for value in read_view(view, found)]
        expected = [value for answer in definition(codes, model, frames) for value in answer]
        proof.by(f"{readout}, {name}: the logits", same, outputs, expected)
    return proof.steps


def check() -> list[str]:
    """Every readout that copies; the two that compute have lemmas of their own."""
    return [step for readout in ("final", "last_frame", "every") for step in _derive(readout)]


LEMMA = Lemma(
    name="network_steps",
    statement=__doc__,
    source="PyTorch's documentation of nn.RNN (num_layers, bidirectional); POPQORN (Ko et al. 2019), section 3.1",
    code=("gpu_engine.cells.unroll:unroll", "gpu_engine.steps:Tape", "gpu_engine.model:RecurrentClassifier"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_steps.py", "tests/engine/test_forward.py"),
    check=check,
    controls={
        "a reverse direction's outputs in its own order": lambda: _derive("every", partial(answers, in_order=False)),
        "its final state at the last frame": lambda: _derive("final", partial(answers, read_last_of_all=True)),
        "the answers one frame late": lambda: _derive(
            "every", lambda codes, model, frames: answers(codes, model, frames)[1:] + answers(codes, model, frames)[:1]
        ),
    },
    covers=(
        *("readout final", "readout last_frame", "readout every"),
        *("activation relu", "activation sigmoid", "activation tanh"),
    ),
)
