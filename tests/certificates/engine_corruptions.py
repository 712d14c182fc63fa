"""Vectors that must be rejected: each a file of engine_vectors with one corruption.

A change of a plane or an end is far larger than the room that the engine leaves for its rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.certificates.opened import PREFIX, opened
from tests.certificates.planted_corruptions import (
    INVALID,
    UNREADABLE,
    Corruption,
    asked,
    both,
    digest,
    inputs,
    margin,
    structure,
    tensor,
)
from tests.certificates.tiny_certificates import Array, Draft, Vector, stem

ROOM = 2.0**-10

LSTM, STACKED = "lstm with a projection and start states", "two layers of lstm, both directions"
GRU, STARTED, RESET = "gru, two sets", "gru with a start state", "gru, reset before"
TANH, SIGMOID, PER_CLASS = "tanh between blocks", "sigmoid, labels for frames", "relu, classes by themselves"
TOKENS, ROWS, JOINED = "lstm over tokens, in float32", "stacked cells, rows", "cells side by side"
NAMES = (LSTM, STACKED, GRU, STARTED, RESET, TANH, SIGMOID, PER_CLASS, JOINED, TOKENS, ROWS)


def shifted(step: int, row: int, by: float, unit: int = 0) -> Corruption:
    """Add to a number of a step's tensor."""

    def corrupt(draft: Draft) -> None:
        table = draft.tensors[f"step.{step}"]
        table.values[row * table.shape[1] + unit] += by

    return corrupt


def without_row(step: int, row: int) -> Corruption:
    """Take a row out of a step's tensor."""

    def corrupt(draft: Draft) -> None:
        table = draft.tensors[f"step.{step}"]
        del table.values[row * table.shape[1] : (row + 1) * table.shape[1]]
        table.shape = (table.shape[0] - 1, table.shape[1])

    return corrupt


def exchanged_parts(step: int) -> Corruption:
    """The planes of part 0, at this step, for part 1, and those of part 1, which follow, for part 0."""

    def corrupt(draft: Draft) -> None:
        for k, part in ((step, 1), (step + 1, 0)):
            draft.body["steps"][k]["part"] = part

    return corrupt


def turned_round(step: int, *rows: int) -> Corruption:
    """Change the signs of rows of a step's tensor."""

    def corrupt(draft: Draft) -> None:
        table = draft.tensors[f"step.{step}"]
        for row in rows:
            units = slice(row * table.shape[1], (row + 1) * table.shape[1])
            table.values[units] = [-x for x in table.values[units]]

    return corrupt


def weight(name: str, new: Array | None = None, first: float | None = None) -> Corruption:
    """Put in another weight, or change its first value."""
    return tensor(PREFIX + name, new) if first is None else tensor(PREFIX + name, first=first)


def forgotten(*names: str) -> Corruption:
    """Leave weights out, and write the digest of what is left."""

    def corrupt(draft: Draft) -> None:
        for name in names:
            del draft.weights[name], draft.tensors[PREFIX + name]
        draft.digest()

    return corrupt


def dropped(key: str) -> Corruption:
    return lambda draft: draft.body["inputs"].pop(key)


def more(value: float) -> float:
    return value * (1 + ROOM)


@dataclass(frozen=True)
class Planted:
    """A corruption. step: the first that does not hold, None where a digest differs or the file is unreadable."""

    name: str
    origin: str
    corrupt: Corruption
    verdict: str = INVALID
    step: int | None = None
    claim_anew: bool = True


# Rows of planes over two arguments: k = 6: 0 to 2 lower v, z, offset, 3 to 5 upper; k = 5: 3 upper v, 4 upper offset.
TABLE = [
    Planted("planes: sigma times tanh, upper offset too low", LSTM, shifted(2, 5, -ROOM), step=2),
    Planted("planes: sigma times tanh, lower offset too high", LSTM, shifted(5, 2, ROOM), step=5),
    Planted("planes: sigma times identity, upper offset too low", LSTM, shifted(3, 4, -ROOM), step=3),
    Planted("planes: sigma times identity, another slope", LSTM, shifted(8, 4, -0.25), step=8),
    Planted("planes: the lower slope for both", LSTM, without_row(2, 4), step=2),
    Planted("planes: parts exchanged", LSTM, exchanged_parts(7), step=7),
    Planted("planes: gru, of the gate that is not negated", GRU, turned_round(4, 0, 3), step=4),
    Planted("planes: tanh, upper offset too low", TANH, shifted(1, 3, -ROOM), step=1),
    Planted("planes: sigma, lower offset too high", TANH, shifted(17, 1, ROOM), step=17),
    Planted("planes: four rows for two arguments", LSTM, both(without_row(2, 5), without_row(2, 4)), UNREADABLE),
    Planted("planes: part two of two", LSTM, lambda draft: draft.body["steps"][3].update(part=2), UNREADABLE),
    Planted("interval: p two, upper end too low", LSTM, shifted(1, 1, -ROOM), step=1),
    Planted("interval: p one and a half, lower end too high", STARTED, shifted(1, 0, ROOM), step=1),
    Planted("intersection: lstm, lower end too high", LSTM, shifted(4, 0, ROOM), step=4),
    Planted("intersection: gru, upper end too low", STARTED, shifted(7, 1, -ROOM), step=7),
    Planted("margin: p two, too large", LSTM, margin(more), step=11),
    Planted("margin: p one and a half, too large", STARTED, margin(more), step=12),
    Planted("margin: p two and a clip, too large", GRU, margin(more), step=15),
    Planted("margin: rows over stacked cells, too large", ROWS, margin(more), step=13),
    Planted("per class: p one, too large", PER_CLASS, margin(more), step=8),
    Planted("claim: infinity for two", LSTM, inputs(p="inf"), step=1),
    Planted("claim: p one and a half without its clip", STACKED, dropped("clip"), step=0),
    Planted("claim: another label for a frame", SIGMOID, asked(labels=[1, 0]), step=4),
    Planted("claim: another word", TOKENS, tensor("candidates", first=4.0), step=0),
    Planted("network: another start cell", LSTM, both(weight("layers.0.0.initial_cell", first=4.0), digest), step=0),
    Planted(
        "network: no start states", LSTM, forgotten("layers.0.0.initial_hidden", "layers.0.0.initial_cell"), UNREADABLE
    ),
    Planted(
        "network: a projection of two units", LSTM, weight("layers.0.0.weight_hr", Array((2, 2), [0.5] * 4)), UNREADABLE
    ),
    Planted("network: reset behind the product", RESET, structure("|gru>|mean|dense"), UNREADABLE),
    Planted("network: sigma for tanh", TANH, structure("dense/tanh|rnn_sigmoid<|max|sigmoid/dense"), step=7),
    Planted("network: another vector of a word", TOKENS, weight("embedding", first=4.0), claim_anew=False),
]


def rejected(folder: Path) -> list[Vector]:
    """The vectors, from the accepted files in a folder."""
    return [planted(folder, entry) for entry in TABLE]


def planted(folder: Path, entry: Planted) -> Vector:
    """One of them."""
    draft = opened(folder / f"{stem(entry.origin)}.safetensors")
    entry.corrupt(draft)
    if entry.claim_anew:
        draft.claim()
    return draft.vector(entry.name, entry.verdict)
