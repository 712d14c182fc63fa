"""A recurrent classifier in plain arrays, and its forward pass written from the equations.

Conventions (those of PyTorch's documentation of nn.RNN, nn.LSTM, nn.GRU): rows of the weights are stacked in the order
i, f, g, o (LSTM) and r, z, n (GRU). Source: POPQORN (Ko et al. 2019), section 3 and appendix A.
Shapes: x (time, input). All arrays are float64 and are taken as exact real numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.reference.errors import ReferenceInputError

Array = NDArray[np.float64]

BLOCKS: Final[Mapping[str, int]] = {
    **{"lstm": 4, "gru": 3, "gru_reset_before": 3},
    **{"rnn_tanh": 1, "rnn_relu": 1, "rnn_sigmoid": 1},
}
"""Blocks of rows in a cell's weights."""

READOUTS: Final = ("final", "last_frame", "mean", "max", "every")
ACTIVATIONS: Final = ("relu", "sigmoid", "tanh")


@dataclass(frozen=True)
class Recurrent:
    """One direction of one layer.

    weight_ih (blocks hidden, input), weight_hh (blocks hidden, output), bias_ih, bias_hh (blocks hidden,);
    weight_hr (output, hidden) of a projected LSTM; initial_hidden (output,), initial_cell (hidden,), None for zeros.
    """

    cell: str
    weight_ih: Array
    weight_hh: Array
    bias_ih: Array
    bias_hh: Array
    weight_hr: Array | None = None
    initial_hidden: Array | None = None
    initial_cell: Array | None = None
    reverse: bool = False

    @property
    def hidden(self) -> int:
        """Units of the state."""
        return int(self.weight_ih.shape[0]) // BLOCKS[self.cell]

    @property
    def output(self) -> int:
        """Values handed on at every frame."""
        return int(self.weight_hh.shape[1])


@dataclass(frozen=True)
class Dense:
    """weight (out, in) y + bias (out,)."""

    weight: Array
    bias: Array


Block = Dense | str
"""A Dense layer, or the name of an elementwise activation."""


@dataclass(frozen=True)
class Network:
    """frames -> before -> layers (each with its directions) -> readout -> after."""

    layers: tuple[tuple[Recurrent, ...], ...]
    after: tuple[Block, ...]
    before: tuple[Block, ...] = ()
    readout: str = "final"

    def __post_init__(self) -> None:
        if self.readout not in READOUTS:
            raise ReferenceInputError(f"readout {self.readout!r} is not known; known: {', '.join(READOUTS)}")
        for block in (*self.before, *self.after):
            if isinstance(block, str) and block not in ACTIVATIONS:
                raise ReferenceInputError(f"activation {block!r} is not known; known: {', '.join(ACTIVATIONS)}")
        for part in (part for layer in self.layers for part in layer):
            if part.cell not in BLOCKS:
                raise ReferenceInputError(f"cell {part.cell!r} is not known; known: {', '.join(BLOCKS)}")


def network_from_plain(plain: Mapping[str, Any]) -> Network:
    """A network from dictionaries, lists and arrays, as any engine can export it.

    plain: `layers`, a list (layers) of lists (directions) of dictionaries with the fields of `Recurrent`; `before` and
    `after`, lists of either an activation's name or a dictionary with `weight` and `bias`; `readout`.
    Raises ReferenceInputError for values that are not finite float64.
    """
    layers = tuple(
        tuple(Recurrent(**{name: _plain_value(name, value) for name, value in part.items()}) for part in layer)
        for layer in plain["layers"]
    )
    return Network(
        layers=layers,
        after=_plain_blocks(plain["after"]),
        before=_plain_blocks(plain.get("before", ())),
        readout=plain.get("readout", "final"),
    )


def _plain_blocks(blocks: Sequence[str | Mapping[str, Any]]) -> tuple[Block, ...]:
    return tuple(
        block
        if isinstance(block, str)
        else Dense(_plain_value("weight", block["weight"]), _plain_value("bias", block["bias"]))
        for block in blocks
    )


def _plain_value(name: str, value: Any) -> Any:
    if value is None or isinstance(value, str | bool):
        return value
    array = np.array(value)
    if array.dtype != np.float64 or not np.isfinite(array).all():
        raise ReferenceInputError(f"{name} is {array.dtype} or not finite; give finite float64 values")
    return array


def logits(network: Network, x: Array) -> Array:
    """Outputs F(x): x (time, input) -> (classes,), or (time, classes) for the readout `every`."""
    frames = [_through(network.before, frame) for frame in x]
    ends: list[Array] = []
    for layer in network.layers:
        runs = [_run(part, frames) for part in layer]
        ends = [run[0] if part.reverse else run[-1] for part, run in zip(layer, runs, strict=True)]
        frames = [np.concatenate([run[t] for run in runs]) for t in range(len(frames))]
    if network.readout == "every":
        return np.stack([_through(network.after, frame) for frame in frames])
    return _through(network.after, _read(network.readout, frames, ends))


def _read(readout: str, frames: list[Array], ends: list[Array]) -> Array:
    if readout == "final":
        return np.concatenate(ends)
    if readout == "last_frame":
        return frames[-1]
    if readout == "mean":
        return np.asarray(np.sum(frames, axis=0) / len(frames))
    return np.asarray(np.max(frames, axis=0))


def _through(blocks: tuple[Block, ...], value: Array) -> Array:
    for block in blocks:
        if isinstance(block, Dense):
            value = block.weight @ value + block.bias
        else:
            value = np.array([FUNCTIONS[block](float(y)) for y in value])
    return value


def sigmoid(v: float) -> float:
    """1 / (1 + exp(-v)), without overflow."""
    return 1.0 / (1.0 + math.exp(-v)) if v >= 0 else math.exp(v) / (1.0 + math.exp(v))


def relu(v: float) -> float:
    """max(v, 0)."""
    return max(v, 0.0)


FUNCTIONS: Final[Mapping[str, Callable[[float], float]]] = {"relu": relu, "sigmoid": sigmoid, "tanh": math.tanh}


def _run(part: Recurrent, frames: list[Array]) -> list[Array]:
    """Outputs of one direction, one per frame, in the order of the frames."""
    h = np.zeros(part.output) if part.initial_hidden is None else part.initial_hidden
    c = np.zeros(part.hidden) if part.initial_cell is None else part.initial_cell
    outputs: dict[int, Array] = {}
    order = range(len(frames))
    for t in reversed(order) if part.reverse else order:
        h, c = _step(part, frames[t], h, c)
        outputs[t] = h
    return [outputs[t] for t in order]


def _step(part: Recurrent, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """States after one frame: one unit at a time."""
    of_x = part.weight_ih @ x + part.bias_ih
    of_h = part.weight_hh @ h + part.bias_hh
    units = range(part.hidden)

    def gate(block: int, j: int) -> float:
        row = block * part.hidden + j
        return float(of_x[row] + of_h[row])

    if part.cell == "lstm":
        new_c = np.array([sigmoid(gate(1, j)) * c[j] + sigmoid(gate(0, j)) * math.tanh(gate(2, j)) for j in units])
        new_h = np.array([sigmoid(gate(3, j)) * math.tanh(new_c[j]) for j in units])
        return (new_h if part.weight_hr is None else part.weight_hr @ new_h), new_c
    if part.cell in ("gru", "gru_reset_before"):
        r = np.array([sigmoid(gate(0, j)) for j in units])
        z = np.array([sigmoid(gate(1, j)) for j in units])
        last = slice(2 * part.hidden, 3 * part.hidden)
        inner = r * of_h[last] if part.cell == "gru" else part.weight_hh[last] @ (r * h) + part.bias_hh[last]
        n = np.array([math.tanh(y) for y in of_x[last] + inner])
        return (1.0 - z) * n + z * h, c
    function = FUNCTIONS[part.cell.removeprefix("rnn_")]
    return np.array([function(gate(0, j)) for j in units]), c
