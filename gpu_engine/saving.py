"""The normal form -> a safetensors file under PyTorch's names, the inverse of `gpu_engine.loading`.

`load_model` reads the same network back: same structure, same values, same digest. The structure text, the cells and
the readout are in the file's metadata. Values are stored as float32 where that loses nothing, else as float64.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import save
from torch import Tensor

from gpu_engine.errors import ModelError
from gpu_engine.loading import METADATA
from gpu_engine.model import Block, Dense, Direction, Layer, RecurrentClassifier

_KINDS: Final = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
_STARTS: Final = {"initial_hidden": "h0", "initial_cell": "c0"}


def save_model(
    model: RecurrentClassifier, path: str | os.PathLike[str], notes: Mapping[str, str] | None = None
) -> None:
    """Write the model to a file as a whole, or nothing. Raises ModelError as `model_bytes` does, and OSError."""
    path, content = Path(path), model_bytes(model, notes)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o666 & ~_umask())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def model_bytes(model: RecurrentClassifier, notes: Mapping[str, str] | None = None) -> bytes:
    """The content of the model's safetensors file. notes: more metadata, such as how the model was made.

    Raises ModelError for a network that PyTorch's names cannot say, and for notes under the keys of METADATA.
    """
    entries, structure = entries_of(model)
    metadata = {key: {"structure": structure, "readout": model.readout}.get(option) for key, option in METADATA.items()}
    for key in notes or {}:
        if key.startswith("refcert."):
            raise ModelError(f"the note {key!r} would be read as an option of the file; choose another key")
    return save(entries, {**(notes or {}), **{key: value for key, value in metadata.items() if value is not None}})


def entries_of(model: RecurrentClassifier) -> tuple[dict[str, Tensor], str]:
    """State dict and structure text that `gpu_engine.loading.from_state_dict` reads as this model.

    Raises ModelError with the layer that PyTorch's names cannot say.
    """
    entries: dict[str, Tensor] = {}
    words: list[str] = []
    if model.embedding is not None:
        entries["embedding.weight"] = model.embedding
        words.append("embedding:embedding")
    words += _blocks(entries, model.before, "before")
    for k, layer in enumerate(model.layers):
        _check_layer(k, layer)
    for number, stack in _stacks(model.layers):
        words += _stack(entries, stack, number)
    alone = not any(isinstance(block, Dense) for block in (*model.before, *model.after[:-1]))
    words += _blocks(entries, model.after, "linear" if alone else "after", numbered=not alone)
    exact = all(
        torch.equal(value.detach().to(torch.float32).to(torch.float64), value.detach()) for value in entries.values()
    )
    dtype = torch.float32 if exact else torch.float64
    stored = {name: value.detach().to("cpu", dtype, copy=True).contiguous() for name, value in entries.items()}
    return stored, " ".join(words)


def _blocks(entries: dict[str, Tensor], blocks: Sequence[Block], name: str, numbered: bool = True) -> Iterator[str]:
    for k, block in enumerate(blocks):
        if isinstance(block, Dense):
            word = f"{name}{k}" if numbered else name
            entries |= {f"{word}.weight": block.weight, f"{word}.bias": block.bias}
            yield word
        else:
            yield block.kind


def _check_layer(k: int, layer: Layer) -> None:
    shown = f"layer {k} of the recurrence"
    if [direction.reverse for direction in layer] not in ([False], [False, True]):
        raise ModelError(
            f"{shown} reads in the directions {', '.join('backward' if d.reverse else 'forward' for d in layer)}; "
            "PyTorch's names know forward, or forward and backward. Turn the data round, or add the other direction"
        )
    for what, values in (
        ("cells", [direction.cell for direction in layer]),
        ("sizes or start states", [_form(direction) for direction in layer]),
    ):
        if len(set(values)) > 1:
            raise ModelError(f"{shown} has directions of different {what}, which one layer of PyTorch cannot have")


def _form(direction: Direction) -> tuple[object, ...]:
    """What the directions under one name have in common."""
    starts = tuple(getattr(direction, role) is not None for role in _STARTS)
    return direction.cell, direction.hidden_size, direction.output_size, direction.weight_hr is not None, starts


def _stacks(layers: Sequence[Layer]) -> list[tuple[str, Sequence[Layer]]]:
    """All layers under one name where nn.LSTM, nn.GRU or nn.RNN could hold them, else each under its own."""
    if len({(len(layer), _form(layer[0])) for layer in layers}) == 1:
        return [("", layers)]
    return [(str(k), [layer]) for k, layer in enumerate(layers)]


def _stack(entries: dict[str, Tensor], layers: Sequence[Layer], number: str) -> list[str]:
    first = layers[0][0]
    word = first.cell.partition("_")[0] + number
    for k, layer in enumerate(layers):
        for direction in layer:
            end = "_reverse" if direction.reverse else ""
            values = {kind: getattr(direction, kind) for kind in _KINDS}
            entries |= {f"{word}.{kind}_l{k}{end}": value for kind, value in values.items() if value is not None}
    words = []
    for role, name in _STARTS.items():
        if getattr(first, role) is not None:
            states = [getattr(direction, role) for layer in layers for direction in layer]
            entries[name + number] = torch.stack(states)[:, None]
            words.append(f"{name}{number}:{role}")
    return [*words, f"{word}:{first.cell}"]


def _umask() -> int:
    """The process's mask of permissions, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
