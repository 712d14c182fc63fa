"""A whole classifier as steps: layers in front, recurrent layers in one or two directions, readout, head.

The steps of a layer follow those of the layer below, frame by frame in the order in which the cell reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from torch import Tensor

from gpu_engine.cells.gru import gru, gru_reset_before
from gpu_engine.cells.lstm import lstm
from gpu_engine.cells.state import Cell, State
from gpu_engine.cells.vanilla import vanilla
from gpu_engine.model import Activation, Block, Direction, RecurrentClassifier
from gpu_engine.steps import Bias, Nonlinearity, Place, Tape, Term, View, terms_of

CELLS: Final[Mapping[str, Cell]] = {
    "lstm": lstm,
    "gru": gru,
    "gru_reset_before": gru_reset_before,
    "rnn_tanh": vanilla,
    "rnn_relu": vanilla,
    "rnn_sigmoid": vanilla,
}


def unroll(model: RecurrentClassifier, time: int) -> Tape:
    """The steps for sequences of `time` frames; `outputs` are the logits, one view per answer."""
    tape = Tape(model.input_size)
    frames: list[list[View]] = [
        [_blocks(tape, model.before, [tape.frame(t)], "before", Place(t=t))] if model.before else []
        for t in range(time)
    ]
    finals: list[View] = []
    for k, layer in enumerate(model.layers):
        runs = [_direction(tape, direction, frames, k, time) for direction in layer]
        finals = [run[0 if direction.reverse else -1] for direction, run in zip(layer, runs, strict=True)]
        frames = [[run[t] for run in runs] for t in range(time)]
    last = Place(len(model.layers) - 1, time - 1)
    if model.readout == "final":
        read = [finals]
    elif model.readout == "last_frame":
        read = [frames[-1]]
    elif model.readout == "mean":
        read = [[_mean(tape, [frame[j] for frame in frames], last) for j in range(len(frames[0]))]]
    elif model.readout == "max":
        read = [[_maximum(tape, [frame[j] for frame in frames], last) for j in range(len(frames[0]))]]
    else:
        read = frames
    places = [Place(last.layer, t) for t in range(time)] if len(read) > 1 else [last]
    tape.outputs = tuple(
        _blocks(tape, model.after, sources, "after", place) for sources, place in zip(read, places, strict=True)
    )
    return tape


def _direction(tape: Tape, direction: Direction, frames: Sequence[Sequence[View]], layer: int, time: int) -> list[View]:
    """The outputs of one direction, in order of time. An empty frame stands for the input itself."""
    suffix = " (backward)" if direction.reverse else ""
    start = Place(layer, time - 1 if direction.reverse else 0, suffix)
    state = State(
        _constant(tape, "initial hidden state", direction.initial_hidden, start),
        _constant(tape, "initial cell state", direction.initial_cell, start),
    )
    outputs: dict[int, View] = {}
    for t in range(time - 1, -1, -1) if direction.reverse else range(time):
        sources = frames[t] or [tape.frame(t)]
        state = CELLS[direction.cell](tape, direction, sources, state, Place(layer, t, suffix))
        assert state.hidden is not None
        outputs[t] = state.hidden
    return [outputs[t] for t in range(time)]


def _constant(tape: Tape, name: str, value: Tensor | None, place: Place) -> View | None:
    if value is None or not bool((value != 0).any()):
        return None
    return tape.affine(name, len(value), (), (Bias(value),), place)


def _blocks(tape: Tape, blocks: Sequence[Block], sources: Sequence[View], where: str, place: Place) -> View:
    """A stack of Dense layers and activations over the sources joined."""
    for k, block in enumerate(blocks):
        name = f"{where}.{k}{place.suffix}"
        if isinstance(block, Activation):
            parts = [tape.nonlinear(name, [Nonlinearity(block.kind, name, view)], place) for view in sources]
            sources = parts
        else:
            size = block.weight.shape[0]
            sources = [tape.affine(name, size, terms_of(sources, block.weight), (Bias(block.bias),), place)]
    return _join(tape, sources, place)


def _join(tape: Tape, sources: Sequence[View], place: Place) -> View:
    """Several views as one step."""
    if len(sources) == 1:
        return sources[0]
    terms, row = [], 0
    for source in sources:
        terms.append(Term(source, row=row))
        row += source.size
    return tape.affine("joined", row, terms, (), place)


def _mean(tape: Tape, views: Sequence[View], place: Place) -> View:
    terms = [Term(view, divisor=len(views)) for view in views]
    return tape.affine("mean over time", views[0].size, terms, (), place)


def _maximum(tape: Tape, views: Sequence[View], place: Place) -> View:
    """The largest of several views, by pairs: max(a, b) = a + relu(b - a)."""
    level = list(views)
    while len(level) > 1:
        pairs = [_larger(tape, a, b, place) for a, b in zip(level[::2], level[1::2], strict=False)]
        level = pairs + level[len(level) - len(level) % 2 :]
    return level[0]


def _larger(tape: Tape, a: View, b: View, place: Place) -> View:
    difference = tape.affine("difference", a.size, [Term(b), Term(a, divisor=-1)], (), place)
    rise = tape.nonlinear("rise", [Nonlinearity("relu", "maximum", difference)], place)
    return tape.affine("maximum", a.size, [Term(a), Term(rise)], (), place)
