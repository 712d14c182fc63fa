"""The one normal form of a recurrent classifier: plain weights in PyTorch's gate orders.

Everything else in the engine reads only this. Weights are kept in float64, which holds the exact real
value of every stored float16, bfloat16, float32 and float64 number; the two bias vectors of PyTorch are kept
apart, because their sum would round.

A network is: frames -> `before` (Dense layers and activations, frame by frame) -> `layers` (each with one or two
directions) -> `readout` -> `after` (Dense layers and activations; the last one gives the logits).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gpu_engine import forward
from gpu_engine.errors import ModelError

GATES: Final[Mapping[str, int]] = {
    "lstm": 4,
    "gru": 3,
    "gru_reset_before": 3,
    "rnn_tanh": 1,
    "rnn_relu": 1,
    "rnn_sigmoid": 1,
}
"""Blocks of `hidden` rows in a cell's weights. Orders: lstm i, f, g, o; gru r, z, n.

gru is PyTorch's: n = tanh(W x + b + r * (U h + c)); gru_reset_before is n = tanh(W x + b + U (r * h) + c), ONNX's
linear_before_reset = 0.
"""

ACTIVATIONS: Final = ("relu", "sigmoid", "tanh")

READOUTS: Final = ("final", "last_frame", "mean", "max", "every")
"""What of the top layer is read: `final`, the state of each direction after its own last frame (h_n of PyTorch);
`last_frame`, the outputs at the last frame (`output[:, -1]`; the same for one forward direction); `mean` and `max` over
time; `every`, each frame by itself: the classifier then has one answer per frame.
"""


@dataclass(frozen=True)
class Direction:
    """One direction of one recurrent layer.

    weight_ih (gates hidden, input), weight_hh (gates hidden, output), biases (gates hidden,), see GATES;
    weight_hr (output, hidden) for a projected LSTM, else None and output = hidden. Start states: initial_hidden
    (output,), initial_cell (hidden,), None for zeros. reverse: reads the frames from the last to the first.
    """

    cell: str
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor
    weight_hr: Tensor | None = None
    initial_hidden: Tensor | None = None
    initial_cell: Tensor | None = None
    reverse: bool = False

    @property
    def input_size(self) -> int:
        return self.weight_ih.shape[1]

    @property
    def hidden_size(self) -> int:
        return self.weight_ih.shape[0] // GATES[self.cell]

    @property
    def output_size(self) -> int:
        return self.weight_hh.shape[1]

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """The tensors that are there, in a stable order."""
        for name in _WEIGHTS:
            value = getattr(self, name)
            if value is not None:
                yield name, value


_WEIGHTS: Final = (
    *("weight_ih", "weight_hh", "bias_ih", "bias_hh"),
    *("weight_hr", "initial_hidden", "initial_cell"),
)

Layer = tuple[Direction, ...]
"""The directions of one layer; their outputs are joined in this order."""


@dataclass(frozen=True)
class Dense:
    """weight (out, in) y + bias (out,)."""

    weight: Tensor
    bias: Tensor


@dataclass(frozen=True)
class Activation:
    """One of ACTIVATIONS, elementwise."""

    kind: str


Block = Dense | Activation


@dataclass(frozen=True)
class RecurrentClassifier:
    """See the module's docstring. embedding (words, input): vectors of tokens, where the model has them.

    stored_dtype: what the weights were stored in, for reports; the tensors here are float64. reading: the structure
    text under which the stored entries were read (`gpu_engine.structure`), which with `readout` repeats the reading;
    empty where the model was not read from entries. Neither is part of the digest.
    """

    layers: tuple[Layer, ...]
    after: tuple[Block, ...]
    before: tuple[Block, ...] = ()
    readout: str = "final"
    embedding: Tensor | None = None
    stored_dtype: str = "float64"
    reading: str = ""

    def __post_init__(self) -> None:
        _check(self)

    @property
    def input_size(self) -> int:
        """Values a frame, as the model reads them (behind the embedding)."""
        for block in self.before:
            if isinstance(block, Dense):
                return block.weight.shape[1]
        return self.layers[0][0].input_size

    @property
    def classes(self) -> int:
        return self.head.weight.shape[0]

    @property
    def head(self) -> Dense:
        """The last layer, whose outputs are the logits."""
        last = self.after[-1]
        assert isinstance(last, Dense)  # checked on construction
        return last

    def outputs(self, time: int) -> int:
        """How many numbers F(x) has for `time` frames: what specification rows are over."""
        return self.classes * (time if self.readout == "every" else 1)

    def named_weights(self) -> dict[str, Tensor]:
        """All weights by a stable name, in a stable order."""
        named: dict[str, Tensor] = {}
        if self.embedding is not None:
            named["embedding"] = self.embedding
        named |= _named_blocks("before", self.before)
        for k, layer in enumerate(self.layers):
            for j, direction in enumerate(layer):
                for name, value in direction.named_weights():
                    named[f"layers.{k}.{j}.{name}"] = value
        return named | _named_blocks("after", self.after)

    def structure(self) -> str:
        """Everything but the numbers, in one line that two networks share only if they compute alike."""
        layers = ";".join(
            ",".join(direction.cell + ("<" if direction.reverse else ">") for direction in layer)
            for layer in self.layers
        )
        blocks = [
            "/".join(b.kind if isinstance(b, Activation) else "dense" for b in s) for s in (self.before, self.after)
        ]
        return f"{blocks[0]}|{layers}|{self.readout}|{blocks[1]}"

    def digest(self) -> str:
        """SHA-256 over structure, names, shapes and the exact float64 values (little-endian) of all weights."""
        hasher = hashlib.sha256(f"{self.structure()}\n".encode())
        for name, value in self.named_weights().items():
            hasher.update(f"{name}:{tuple(value.shape)}\n".encode())
            array = value.detach().cpu().contiguous().numpy().astype("<f8", copy=False)
            hasher.update(array.tobytes())
        return hasher.hexdigest()

    def logits(self, x: Tensor) -> Tensor:
        """Plain float64 forward pass. x (batch, time, input) -> (batch, classes); `every`: (batch, time, classes)."""
        return forward.logits(self, x)

    def describe(self) -> str:
        """One line for people."""
        kinds = {direction.cell: _CELL_NAMES[direction.cell] for layer in self.layers for direction in layer}
        hidden = ", ".join(str(layer[0].hidden_size) for layer in self.layers)
        word = "layer" if len(self.layers) == 1 else "layers"
        extra = ", bidirectional" if any(len(layer) > 1 for layer in self.layers) else ""
        extra += ", projected" if any(d.weight_hr is not None for layer in self.layers for d in layer) else ""
        front = ", layers in front" if self.before else ""
        both = any(direction.reverse for direction in self.layers[-1])  # else the two are the same
        plain = self.readout in ("final", "last_frame") and not both
        read = "" if plain else f", {_READOUT_NAMES[self.readout]}"
        return (
            f"{' and '.join(kinds.values())}, {len(self.layers)} {word} of {hidden} units{extra}{front}{read}, "
            f"{self.input_size} inputs per frame, {self.classes} classes"
        )


_CELL_NAMES: Final = {
    "lstm": "LSTM",
    "gru": "GRU",
    "gru_reset_before": "GRU (reset before)",
    "rnn_tanh": "tanh RNN",
    "rnn_relu": "ReLU RNN",
    "rnn_sigmoid": "sigmoid RNN",
}
_READOUT_NAMES: Final = {
    "final": "final states read",
    "last_frame": "last frame read",
    "mean": "mean over time",
    "max": "maximum over time",
    "every": "an answer per frame",
}


def _named_blocks(where: str, blocks: tuple[Block, ...]) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {}
    for k, block in enumerate(blocks):
        if isinstance(block, Dense):
            named |= {f"{where}.{k}.weight": block.weight, f"{where}.{k}.bias": block.bias}
    return named


def _check(model: RecurrentClassifier) -> None:
    if not model.layers or not all(model.layers):
        raise ModelError("the model has no recurrent layer; give at least one LSTM, GRU or RNN layer")
    if model.readout not in READOUTS:
        raise ModelError(f"readout {model.readout!r} is not known; known: {', '.join(READOUTS)}")
    if not model.after or not isinstance(model.after[-1], Dense):
        raise ModelError("the model has no linear head; its last layer must be linear and give the logits")
    size: int | None = None
    if model.embedding is not None:
        _require_shape("the embedding", model.embedding, (None, None))
        size = model.embedding.shape[1]
    size = _check_blocks("before", model.before, size)
    for k, layer in enumerate(model.layers):
        if len(layer) > 2 or len({direction.reverse for direction in layer}) < len(layer):
            raise ModelError(f"layer {k} has {len(layer)} directions; it may have one forward and one backward")
        for direction in layer:
            _check_direction(f"layer {k}", direction, size)
        size = sum(direction.output_size for direction in layer)
    _check_blocks("after", model.after, size)
    for name, value in model.named_weights().items():
        if value.dtype != torch.float64:
            raise ModelError(f"{name} is {value.dtype}; the normal form holds float64 values")
        bad = ~torch.isfinite(value)
        if bool(bad.any()):
            index = tuple(int(i) for i in bad.nonzero()[0])
            raise ModelError(
                f"{name}{list(index)} is {value[index].item()}; a network with NaN or infinite weights "
                "has no bounds. Repair or retrain the model"
            )


def _check_direction(where: str, direction: Direction, below: int | None) -> None:
    if direction.cell not in GATES:
        raise ModelError(f"{where}: cell {direction.cell!r} is not known; known: {', '.join(GATES)}")
    for name in ("weight_ih", "weight_hh"):
        _require_shape(f"{where}: {name}", getattr(direction, name), (None, None))
    rows, output = direction.weight_hh.shape
    gates = GATES[direction.cell]
    if rows % gates:
        raise ModelError(
            f"{where}: weight_hh has shape {(rows, output)}; a {direction.cell} cell needs {gates} blocks of rows"
        )
    hidden = rows // gates
    if direction.weight_hr is None and output != hidden:
        raise ModelError(
            f"{where}: weight_hh has shape {(rows, output)}, a {direction.cell} cell without projection needs "
            f"{(gates * output, output)}"
        )
    shapes: dict[str, tuple[int | None, ...]] = {
        "weight_ih": (rows, below),
        "bias_ih": (rows,),
        "bias_hh": (rows,),
        "initial_hidden": (output,),
        "initial_cell": (hidden,),
        "weight_hr": (output, hidden),
    }
    for name, value in direction.named_weights():
        if name in shapes:
            _require_shape(f"{where}: {name}", value, shapes[name])
    if direction.cell != "lstm":
        for name in ("weight_hr", "initial_cell"):
            if getattr(direction, name) is not None:
                raise ModelError(f"{where}: {name} is given, but a {direction.cell} cell has none")


def _check_blocks(where: str, blocks: tuple[Block, ...], size: int | None) -> int | None:
    for k, block in enumerate(blocks):
        if isinstance(block, Activation):
            if block.kind not in ACTIVATIONS:
                raise ModelError(
                    f"{where}.{k}: activation {block.kind!r} is not known; known: {', '.join(ACTIVATIONS)}"
                )
            continue
        _require_shape(f"{where}.{k}: weight", block.weight, (None, size))
        size = block.weight.shape[0]
        _require_shape(f"{where}.{k}: bias", block.bias, (size,))
    return size


def _require_shape(what: str, value: Tensor, shape: tuple[int | None, ...]) -> None:
    found = tuple(value.shape)
    fits = len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape, strict=True))
    if not fits or 0 in found:
        needed = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," * (len(shape) == 1)) + ")"
        raise ModelError(f"{what} has shape {found}, it needs {needed}")
