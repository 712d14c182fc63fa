"""The structure text: which stored entries a network uses, in which order, and what stands between them.

Entries of a state dict have names and shapes; the code between the layers is not among them. A structure text names
it: words in the order of the computation, separated by blanks, such as `linear1 relu lstm linear2`. A word is

- the name of a layer as the entries have it (`encoder.fc` for `encoder.fc.weight` and `encoder.fc.bias`; `.` where the
  entries have no prefix): recurrent layers (one or more words, one after the other), linear layers, an embedding
  (first);
- an activation: relu, sigmoid, tanh;
- `name:role`, where shapes leave it open: a cell (`rnn:rnn_relu`), `embedding`, `linear`; or, right in front of the
  recurrent word that they belong to, `h0:initial_hidden` and `c0:initial_cell` for stored start states, of shape
  (layers * directions, size) up to axes of length one, in PyTorch's order.

The readout (`gpu_engine.model.READOUTS`) stands between the last recurrent word and what follows it; what stands in
front of the first recurrent word acts frame by frame. Every entry has to be used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from gpu_engine.entries import ROLES, STATE_ROLES, Cell, check_finite, sort_entries, unknown_entry
from gpu_engine.errors import ModelError
from gpu_engine.model import ACTIVATIONS, GATES, Activation, Block, Dense, Direction, Layer, RecurrentClassifier

_SOFTMAX: Final = ("softmax", "log_softmax", "logsoftmax")
_CELL_WORDS: Final = {"lstm": "LSTM", "gru": "GRU", "gru_reset_before": "GRU"}
_BLOCK_CELLS: Final = {4: ("lstm",), 3: ("gru", "gru_reset_before"), 1: ("rnn_tanh", "rnn_relu", "rnn_sigmoid")}


def build(
    entries: Mapping[str, Tensor], structure: str, readout: str, name: str, cell: str | None = None
) -> RecurrentClassifier:
    """The network that a structure text makes of entries. cell: of recurrent words without a role of their own.

    Raises ModelError with the word or the entry's own name.
    """
    return _Builder(entries, name, cell, structure).build(readout)


class _Builder:
    """Goes through the words once, and keeps what is built so far."""

    def __init__(self, entries: Mapping[str, Tensor], name: str, cell: str | None, structure: str) -> None:
        self.entries, self.name, self.cell = entries, name, cell
        self.groups = sort_entries(entries, name)
        self.words = structure.split()
        self.reading = list(self.words)
        self.unused = dict.fromkeys(entries)
        self.before: list[Block] = []
        self.layers: list[Layer] = []
        self.after: list[Block] = []
        self.embedding: Tensor | None = None
        self.size: int | None = None
        self.starts: dict[str, str] = {}

    def fail(self, problem: str) -> ModelError:
        return ModelError(f"{self.name}: {problem}")

    def build(self, readout: str) -> RecurrentClassifier:
        if self.cell is not None and self.cell not in GATES:
            raise self.fail(f"cell {self.cell!r} is not known; known: {', '.join(GATES)}")
        for place, word in enumerate(self.words):
            self.add(place, word)
        if self.starts:
            raise self.fail(f"start states {', '.join(self.starts.values())} stand in front of no recurrent word")
        if not self.layers:
            raise self.fail(f"structure {' '.join(self.words)!r} names no recurrent layer; {self.known()}")
        if self.unused:
            key = next(iter(self.unused))
            if key in self.groups.others:
                raise unknown_entry(self.entries, key, self.name)
            raise self.fail(
                f"{key} is not used by the structure {' '.join(self.words)!r}. No entry is ignored: name its layer, or "
                "remove what the network does not use"
            )
        if not self.after or not isinstance(self.after[-1], Dense):
            raise self.fail(
                f"structure {' '.join(self.words)!r} has no linear head; its last word must be a linear layer behind "
                "the recurrence, which gives the logits"
            )
        dtypes = sorted({str(value.dtype).removeprefix("torch.") for value in self.entries.values()})
        return RecurrentClassifier(
            layers=tuple(self.layers),
            after=tuple(self.after),
            before=tuple(self.before),
            readout=readout,
            embedding=self.embedding,
            stored_dtype=" and ".join(dtypes),
            reading=" ".join(self.reading),
        )

    def add(self, place: int, word: str) -> None:
        layer, role = self.split(word)
        if role not in ("", *ROLES):
            raise self.fail(f"role {role!r} in the structure's {word!r} is not known; known: {', '.join(ROLES)}")
        if word in ACTIVATIONS:
            if self.names(word):
                raise self.fail(f"{word!r} in the structure is an activation and a layer's name; rename the layer")
            blocks = self.after if self.layers else self.before
            blocks.append(Activation(word))
        elif role in STATE_ROLES and layer in self.entries:
            self.starts[role] = layer
        elif layer in self.groups.recurrent and layer in self.groups.linear:
            raise self.fail(f"{word!r} in the structure is a recurrent and a linear layer; rename one of them")
        elif layer in self.groups.recurrent:
            self.add_recurrent(layer, role)
            self.reading[place] = (
                layer if self.layers[-1][0].cell in ("lstm", "gru") else f"{layer}:{self.layers[-1][0].cell}"
            )
        elif layer in self.groups.linear:
            self.add_linear(place, layer, role)
        elif word.lower() in _SOFTMAX:
            raise self.fail(
                f"leave {word!r} out of the structure: it keeps the order of the logits, which bounds are of"
            )
        else:
            raise self.fail(f"{word!r} in the structure is not known; {self.known()}")

    def names(self, word: str) -> bool:
        return word in self.groups.recurrent or word in self.groups.linear

    def split(self, word: str) -> tuple[str, str]:
        """Layer and role of a word; the role is empty where there is none."""
        layer, colon, role = word.rpartition(":")
        return (layer, role) if colon and not self.names(word) else (word, "")

    def known(self) -> str:
        names = ", ".join([*self.groups.recurrent, *self.groups.linear, *self.groups.others]) or "none"
        return f"the entries' layers are {names}; activations are {', '.join(ACTIVATIONS)}"

    def take(self, key: str, shape: tuple[int | None, ...] | None = None, what: str = "") -> Tensor:
        """The entry widened to float64, once; `shape` is what it has to be (None: any)."""
        if key not in self.unused:
            raise self.fail(f"{key} is used twice by the structure {' '.join(self.words)!r}")
        del self.unused[key]
        found = tuple(self.entries[key].shape)
        if shape is not None and (
            len(found) != len(shape) or any(b not in (None, a) for a, b in zip(found, shape, strict=True))
        ):
            needed = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," * (len(shape) == 1)) + ")"
            remedy = "give the layers in their order, or save the whole model again"
            raise self.fail(f"{key} has shape {found}, {what} needs {needed}; {remedy}")
        value = self.entries[key].detach().to(device="cpu", dtype=torch.float64, copy=True)
        check_finite(value, key, self.name)
        return value

    def add_linear(self, place: int, layer: str, role: str) -> None:
        if role not in ("", "linear", "embedding"):
            raise self.fail(f"{layer} holds one weight, it is no {role}; leave the role out")
        keys = self.groups.linear[layer]
        if role == "embedding" or (role == "" and place == 0 and self.looks_embedded(layer, keys)):
            if place > 0 or "bias" in keys:
                raise self.fail(f"{layer} cannot be an embedding: that stands first and has no bias")
            self.embedding = self.take(keys["weight"])
            self.size = self.embedding.shape[1]
            return
        head = "the layer"
        if self.layers and not any(isinstance(block, Dense) for block in self.after):
            head = "the layer behind the recurrence"
        weight = self.take(keys["weight"], (None, self.size), head)
        rows = weight.shape[0]
        bias = torch.zeros(rows, dtype=torch.float64)
        if "bias" in keys:
            bias = self.take(keys["bias"], (rows,), head)
        (self.after if self.layers else self.before).append(Dense(weight, bias))
        self.size = rows

    def looks_embedded(self, layer: str, keys: Cell) -> bool:
        """Whether a first word without a role is an embedding; raises where name and shapes leave it open."""
        if "embed" not in layer.lower() or "bias" in keys:
            return False
        rows, columns = self.entries[keys["weight"]].shape
        following = self.next_size()
        if rows == columns == following:
            raise self.fail(
                f"{keys['weight']} of shape {(rows, columns)} may be an embedding or a linear layer; say which in the "
                f"structure: {layer}:embedding or {layer}:linear"
            )
        return columns == following

    def next_size(self) -> int | None:
        """How many inputs the first layer behind the first word reads."""
        for word in self.words[1:]:
            layer, _ = self.split(word)
            if layer in self.groups.linear:
                return self.entries[self.groups.linear[layer]["weight"]].shape[1]
            if layer in self.groups.recurrent:
                key = self.groups.recurrent[layer].get((0, False), {}).get("weight_ih")
                return self.entries[key].shape[-1] if key and self.entries[key].ndim else None
        return None

    def add_recurrent(self, layer: str, role: str) -> None:
        if self.after:
            raise self.fail(f"{layer} stands behind other layers of the recurrence; recurrent words must be neighbours")
        if role and role not in GATES:
            raise self.fail(f"{layer} is recurrent, it is no {role}; its role may be a cell: {', '.join(GATES)}")
        found = self.groups.recurrent[layer]
        prefix = "" if layer == "." else f"{layer}."
        count, ways = 1 + max(k for k, _ in found), (False, True) if any(r for _, r in found) else (False,)
        self.check_complete(prefix, found, count, ways)
        before = len(self.layers)
        for k in range(count):
            directions = tuple(self.direction(found[k, reverse], k, role, reverse) for reverse in ways)
            self.layers.append(directions)
            self.size = sum(direction.output_size for direction in directions)
        if self.starts:
            self.layers[before:] = self.started(self.layers[before:])

    def check_complete(
        self, prefix: str, found: Mapping[tuple[int, bool], Cell], count: int, ways: tuple[bool, ...]
    ) -> None:
        kinds = {kind for cell in found.values() for kind in cell}
        biases = ("bias_ih", "bias_hh") if kinds & {"bias_ih", "bias_hh"} else ()
        needed = ("weight_ih", "weight_hh", *biases, *(("weight_hr",) if "weight_hr" in kinds else ()))
        for k in range(count):
            if not any((k, reverse) in found for reverse in ways):
                shown = ", ".join(f"l{number}" for number in sorted({number for number, _ in found}))
                raise self.fail(f"layer l{k} of {prefix!r} is missing, there are {shown}; save the whole model")
            for reverse in ways:
                for kind in needed:
                    if kind not in found.get((k, reverse), {}):
                        raise self.fail(
                            f"{prefix}{kind}_l{k}{'_reverse' if reverse else ''} is missing; save the whole model. "
                            "(Biases may be absent only all together; where one is not used, store zeros.)"
                        )

    def direction(self, keys: Cell, k: int, role: str, reverse: bool) -> Direction:
        cell, rows, hidden, output = self.cell_of(keys, role)
        what = f"this {_CELL_WORDS.get(cell, 'RNN')} layer"
        weight_ih = self.take(keys["weight_ih"], (rows, self.size), what)
        biases = [
            self.take(keys[kind], (rows,), what) if kind in keys else torch.zeros(rows, dtype=torch.float64)
            for kind in ("bias_ih", "bias_hh")
        ]
        return Direction(
            cell,
            weight_ih,
            self.take(keys["weight_hh"], (rows, output), what),
            biases[0],
            biases[1],
            weight_hr=self.take(keys["weight_hr"], (output, hidden), what) if "weight_hr" in keys else None,
            reverse=reverse,
        )

    def cell_of(self, keys: Cell, role: str) -> tuple[str, int, int, int]:
        """Cell, rows, hidden size and output size, read off weight_hh (and weight_hr where there is one)."""
        key = keys["weight_hh"]
        shape = tuple(self.entries[key].shape)
        given = role or self.cell
        if len(shape) == 2 and "weight_hr" in keys:
            projection = keys["weight_hr"]
            sizes = tuple(self.entries[projection].shape)
            if len(sizes) != 2 or sizes[0] != shape[1] or shape[0] != GATES["lstm"] * sizes[1]:
                raise self.fail(
                    f"{projection} has shape {sizes} and {key} {shape}; a projected LSTM needs (output, hidden) and "
                    "(4 hidden, output)"
                )
            if given not in (None, "", "lstm"):
                raise self.fail(f"{projection} is a projection, which a {given} cell does not have; only an LSTM does")
            return "lstm", shape[0], sizes[1], shape[1]
        blocks = shape[0] // shape[1] if len(shape) == 2 and shape[0] % shape[1] == 0 else 0
        cells = _BLOCK_CELLS.get(blocks)
        if cells is None:
            raise self.fail(
                f"{key} has shape {shape}; an LSTM layer needs (4 hidden, hidden), a GRU layer (3 hidden, hidden), an "
                "RNN layer (hidden, hidden)"
            )
        if given and given not in cells:
            raise self.fail(f"{key} of shape {shape} is no {given} cell; it has the shape of {' or '.join(cells)}")
        if not given and blocks == 1:
            raise self.fail(
                f"{key} of shape {shape} is a vanilla RNN layer, whose nonlinearity is not stored; give `cell` (one of "
                f"{', '.join(cells)}), or the role of its word in `structure`, as "
                f"{key.rpartition('.')[0] or '.'}:rnn_tanh"
            )
        return given or cells[0], shape[0], shape[1], shape[1]

    def started(self, layers: list[Layer]) -> list[Layer]:
        """The layers with the stored start states, which are in PyTorch's order: layer by layer, forward first."""
        flat = [direction for layer in layers for direction in layer]
        states: dict[str, list[Tensor]] = {}
        for role, key in self.starts.items():
            if role == "initial_cell" and flat[0].cell != "lstm":
                raise self.fail(f"{key} is given as initial_cell, but a {flat[0].cell} cell has none")
            size = flat[0].output_size if role == "initial_hidden" else flat[0].hidden_size
            found = tuple(self.entries[key].shape)
            if tuple(n for n in found if n != 1) != tuple(n for n in (len(flat), size) if n != 1):
                raise self.fail(f"{key} has shape {found}, as {role} it needs {(len(flat), 1, size)}")
            states[role] = list(self.take(key).reshape(len(flat), size).unbind(0))
        self.starts = {}
        hidden, cells = (states.get(role) for role in STATE_ROLES)
        started = iter(
            replace(
                direction,
                initial_hidden=None if hidden is None else hidden[n].clone(),
                initial_cell=None if cells is None else cells[n].clone(),
            )
            for n, direction in enumerate(flat)
        )
        return [tuple(next(started) for _ in layer) for layer in layers]
