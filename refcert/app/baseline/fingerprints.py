"""Digests that say not only that something changed, but what: weights by gate, each sample's input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from torch import Tensor

from gpu_engine.model import GATES, RecurrentClassifier
from refcert.app.datasets import digest_of
from refcert.app.samples import Samples

SHORT: Final = 12
"""Hexadecimal digits of a short digest: 48 bits tell a change, whole digests stand beside them."""

GATE_NAMES: Final[Mapping[str, tuple[str, ...]]] = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n")}
"""Names of the blocks of rows, in PyTorch's order; other cells have one block."""

WHOLE: Final = "all"
_BY_GATE: Final = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def weight_digests(model: RecurrentClassifier) -> dict[str, dict[str, str]]:
    """Short digests of every weight, one for each gate's block of rows."""
    cells = {
        f"layers.{k}.{j}.{name}": direction.cell
        for k, layer in enumerate(model.layers)
        for j, direction in enumerate(layer)
        for name in _BY_GATE
    }
    return {name: _blocks(value, cells.get(name)) for name, value in model.named_weights().items()}


def _blocks(value: Tensor, cell: str | None) -> dict[str, str]:
    if cell is None or GATES[cell] == 1:
        return {WHOLE: _short(value)}
    names = GATE_NAMES["lstm" if cell == "lstm" else "gru"]
    return {name: _short(block) for name, block in zip(names, value.chunk(GATES[cell]), strict=True)}


def input_digests(samples: Samples) -> list[str]:
    """A short digest for each sample: of the frames that count, and of its stored input set."""
    found = []
    for k, real in enumerate(samples.real_frames().tolist()):
        arrays = {"x": samples.x[k, :real].numpy()}
        arrays |= {name: value[k, :real].numpy() for name, value in sorted(samples.sets.items())}
        found.append(digest_of(arrays)[:SHORT])
    return found


def _short(value: Tensor) -> str:
    return digest_of({"": value.detach().cpu().double().contiguous().numpy()})[:SHORT]
