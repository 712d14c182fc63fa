"""The network of a certificate: structure, weights and digest (certificate_v1.md, section 4)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from refcert.kernel.container import (
    WIDTHS,
    Container,
    Table,
    little_endian,
    parse_container,
    read_bytes,
    require_keys,
    shaped,
    shown,
)
from refcert.kernel.errors import UnreadableError

GATES: Final = {"lstm": 4, "gru": 3, "gru_reset_before": 3, "rnn_tanh": 1, "rnn_relu": 1, "rnn_sigmoid": 1}
ACTIVATIONS: Final = ("relu", "sigmoid", "tanh")
READOUTS: Final = ("final", "last_frame", "mean", "max", "every")

_FILE: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")
_HEX: Final = re.compile(r"[0-9a-f]{64}")


class Direction(NamedTuple):
    """One direction of a layer. prefix: of its weights' names; hidden, output: sizes."""

    cell: str
    reverse: bool
    prefix: str
    hidden: int
    output: int


@dataclass(frozen=True, slots=True)
class Network:
    """Weights by name, all of shapes that fit each other; frames of `input_size` values, answers of `classes`."""

    before: tuple[str, ...]
    layers: tuple[tuple[Direction, ...], ...]
    readout: str
    after: tuple[str, ...]
    weights: Mapping[str, Table]
    digest: str
    input_size: int
    classes: int

    @property
    def one_answer(self) -> bool:
        """Whether there is one answer for the whole sequence."""
        return self.readout != "every"


def digest_text(value: object, what: str) -> str:
    """The value, if it is written as a digest. Raises UnreadableError."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise UnreadableError(f"{what} is {shown(value)}; a digest has 64 digits of 0-9 a-f")
    return value


def read_network(entry: Any, certificate: Container, folder: Path, known: dict[str, Network]) -> tuple[Network, str]:
    """The network of a certificate, and the digest that the certificate names. Raises UnreadableError.

    folder: where the certificate lies; known: networks that were read before, by the digest of their file.
    """
    if isinstance(entry, dict) and "file" in entry:
        require_keys(entry, ("digest", "file"), "network")
        name = entry["file"]
        if not isinstance(name, str) or not _FILE.fullmatch(name):
            raise UnreadableError(f"the network's file is {shown(name)}; it must be a plain name in the same folder")
        data = read_bytes(folder / name)
        mark = hashlib.sha256(data).hexdigest()
        if mark not in known:
            known[mark] = _network_file(data, name)
        return known[mark], digest_text(entry["digest"], "the network's digest")
    entry = require_keys(entry, ("digest", "structure"), "network")
    named = {
        name.removeprefix("network."): table
        for name, table in certificate.tensors.items()
        if name.startswith("network.")
    }
    return build_network(entry["structure"], named), digest_text(entry["digest"], "the network's digest")


def build_network(structure: object, tensors: Mapping[str, Table]) -> Network:
    """The network of this structure with these weights. Raises UnreadableError where they do not fit."""
    if not isinstance(structure, str) or structure.count("|") != 3:
        raise UnreadableError(f"the structure is {shown(structure)}; it needs BEFORE|LAYERS|READOUT|AFTER")
    fields = structure.split("|")
    before, after = _blocks(fields[0]), _blocks(fields[3])
    if fields[2] not in READOUTS or after[-1:] != ("dense",):
        raise UnreadableError(f"the structure is {shown(structure)}; its readout or its last block is not known")
    take = _Taker(tensors)
    words = take.optional("embedding", (None, None))
    first = size = None if words is None else words.shape[1]
    size = _sized_blocks(take, "before", before, size)
    if "dense" in before:
        first = take.found[f"before.{before.index('dense')}.weight"].shape[1]
    layers = []
    for k, text in enumerate(fields[1].split(";")):
        directions: list[Direction] = []
        for j, one in enumerate(text.split(",")):
            directions.append(_direction(take, one, f"layers.{k}.{j}.", size))
            if size is None:  # nothing before has told: the first direction does
                first = size = take.found[f"layers.{k}.{j}.weight_ih"].shape[1]
        layer = tuple(directions)
        if len({direction.reverse for direction in layer}) < len(layer):
            raise UnreadableError(f"layer {k} is {shown(text)}; of two directions one reads forward, one backward")
        size = sum(direction.output for direction in layer)
        layers.append(layer)
    classes = _sized_blocks(take, "after", after, size)
    take.require_all()
    assert first is not None and classes is not None  # layers and blocks are not empty
    digest = _digest(structure, take.found)
    return Network(before, tuple(layers), fields[2], after, take.found, digest, first, classes)


def _network_file(data: bytes, name: str) -> Network:
    try:
        file = parse_container(data, WIDTHS)
        body = require_keys(file.body, ("format", "version", "structure"), "the network's body")
        if (body["format"], body["version"]) != ("refcert network", 1):
            raise UnreadableError(
                f"the format is {shown(body['format'])}, version {shown(body['version'])}; it must be "
                "'refcert network', version 1"
            )
        return build_network(body["structure"], file.tensors)
    except UnreadableError as error:
        raise UnreadableError(f"{name}: {error}") from error


class _Taker:
    """Hands out tensors by name and checks their shapes; `found` keeps them in the digest's order."""

    def __init__(self, tensors: Mapping[str, Table]) -> None:
        self.tensors = tensors
        self.found: dict[str, Table] = {}

    def optional(self, name: str, shape: tuple[int | None, ...]) -> Table | None:
        return self.take(name, shape) if name in self.tensors else None

    def take(self, name: str, shape: tuple[int | None, ...]) -> Table:
        self.found[name] = shaped(self.tensors, name, shape, "weight")
        return self.found[name]

    def require_all(self) -> None:
        unknown = sorted(set(self.tensors) - set(self.found))
        if unknown:
            raise UnreadableError(f"the tensor {shown(unknown[0])} is no weight of this network")


def _blocks(text: str) -> tuple[str, ...]:
    blocks = tuple(text.split("/")) if text else ()
    for block in blocks:
        if block != "dense" and block not in ACTIVATIONS:
            raise UnreadableError(f"the block {shown(block)} is not known; known: dense, {', '.join(ACTIVATIONS)}")
    return blocks


def _sized_blocks(take: _Taker, where: str, blocks: tuple[str, ...], size: int | None) -> int | None:
    for k, block in enumerate(blocks):
        if block == "dense":
            size = take.take(f"{where}.{k}.weight", (None, size)).shape[0]
            take.take(f"{where}.{k}.bias", (size,))
    return size


def _direction(take: _Taker, text: str, prefix: str, size: int | None) -> Direction:
    cell, reverse = text[:-1], text[-1:] == "<"
    if cell not in GATES or text[-1:] not in ("<", ">"):
        raise UnreadableError(f"the direction {shown(text)} is not known; it is a cell and > or <: {', '.join(GATES)}")
    rows = take.take(prefix + "weight_ih", (None, size)).shape[0]
    output = take.take(prefix + "weight_hh", (rows, None)).shape[1]
    hidden = rows // GATES[cell]
    take.take(prefix + "bias_ih", (rows,))
    take.take(prefix + "bias_hh", (rows,))
    projection = take.optional(prefix + "weight_hr", (output, hidden)) if cell == "lstm" else None
    if rows % GATES[cell] or not hidden or (projection is None and output != hidden):
        raise UnreadableError(f"{prefix}weight_hh has shape ({rows}, {output}), which does not fit a {cell} cell")
    take.optional(prefix + "initial_hidden", (output,))
    if cell == "lstm":
        take.optional(prefix + "initial_cell", (hidden,))
    return Direction(cell, reverse, prefix, hidden, output)


def _digest(structure: str, weights: Mapping[str, Table]) -> str:
    hasher = hashlib.sha256(f"{structure}\n".encode())
    for name, table in weights.items():
        hasher.update(f"{name}:{table.shape}\n".encode())
        hasher.update(little_endian(table.values))
    return hasher.hexdigest()
