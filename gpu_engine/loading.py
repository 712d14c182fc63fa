"""Stored weights -> the normal form: state dicts under PyTorch's names, and safetensors files of them.

The architecture is read off names and shapes. What is not understood is refused by its name, never skipped:
an entry left out would be a layer left out, and bounds of another network. What a state dict cannot show
is the code between the layers. A structure text says it (`gpu_engine.structure`); without one the reading is: an
embedding if there is one, one stack of recurrent layers from zero start states, the readout, one linear head whose
outputs are the logits. `from_module` (in `gpu_engine.module_loading`) also runs the module and compares.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gpu_engine.entries import Cell, sort_entries, unknown_entry
from gpu_engine.errors import ModelError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.structure import build

WIDENED_DTYPES: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Dtypes whose every value is a float64 value."""

PICKLE_SUFFIXES: Final = (".pt", ".pth", ".pkl")
PICKLE_STARTS: Final = (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6)))

METADATA: Final = {
    "refcert.structure": "structure",
    "refcert.readout": "readout",
    "refcert.cell": "cell",
}
"""Keys of a safetensors file's metadata that say what its entries do not, and the options that they stand for."""

DEFAULT_READOUT: Final = "final"

_ADVICE: Final = (
    "give the structure (on the command line --structure), the layers in order with the activations between them, for "
    "entries linear1, lstm and linear2 say 'linear1 relu lstm linear2'"
)
_SAVE: Final = 'safetensors.torch.save_file(model.state_dict(), "model.safetensors")'


def load_model(
    path: str | os.PathLike[str], structure: str | None = None, readout: str | None = None, cell: str | None = None
) -> RecurrentClassifier:
    """The classifier stored in a safetensors file under PyTorch's names; options as in `from_state_dict`.

    The file's own metadata may hold the options, under the keys of METADATA; an option that contradicts it is refused.
    Pickles are not opened, because reading one can run code. Raises ModelError with the path and the remedy.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelError(f"{path} is a folder; give the safetensors file inside it")
    if not path.exists():
        raise ModelError(f"{path} does not exist; give the path of a safetensors file")
    if path.suffix.lower() in PICKLE_SUFFIXES:
        _refuse_pickle(path)
    try:
        with path.open("rb") as file:
            start = file.read(2)
        if not start:
            raise ModelError(f"{path} is empty (0 bytes); save the model again: {_SAVE}")
        with safe_open(path, framework="pt") as stored:
            entries = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
            metadata = stored.metadata() or {}
    except SafetensorError as error:
        # Asked only now: a good safetensors file starts with its header's length, which can be these bytes.
        if start in PICKLE_STARTS:
            _refuse_pickle(path)
        raise ModelError(
            f"{path} cannot be read as safetensors ({error}); it may be cut short or of another kind. "
            f"Copy it again, or save the model again: {_SAVE}"
        ) from error
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}; check its permissions") from error
    options = _options(metadata, {"structure": structure, "readout": readout, "cell": cell}, str(path))
    return from_state_dict(entries, str(path), **options)


def from_state_dict(
    entries: Mapping[str, Tensor],
    name: str = "the state dict",
    *,
    structure: str | None = None,
    readout: str | None = None,
    cell: str | None = None,
) -> RecurrentClassifier:
    """The classifier that a state dict under PyTorch's names holds. `name` is for messages.

    Recurrent layers k = 0, 1, ..., under one prefix: weight_ih_l<k> (gates hidden, input or outputs below),
    weight_hh_l<k> (gates hidden, output), bias_ih_l<k> and bias_hh_l<k> (gates hidden,), weight_hr_l<k> (output,
    hidden) of a projected LSTM, and the same with _reverse for the other direction; gates in PyTorch's orders, four
    blocks an LSTM, three a GRU, one a vanilla RNN; biases absent throughout are zero. Linear layers: weight (out,
    in), bias (out,), zero if absent. Values of WIDENED_DTYPES are widened exactly. The input is not modified, nor kept.

    structure: see `gpu_engine.structure`; None: an embedding if there is one (no bias, `embed` in its name, vectors
    that fit the recurrence), one recurrent stack, one linear head. readout: one of READOUTS; None for `final`, where
    the top layer reads forward only. cell: the kind of the recurrent layers where blocks leave it open; one of the
    rnn_... must be given for a vanilla RNN, whose nonlinearity is not stored; three blocks are PyTorch's `gru` unless
    gru_reset_before is given.
    Raises ModelError with the entry's own name.
    """
    if not isinstance(entries, Mapping):
        raise ModelError(f"{name} is a {type(entries).__name__}; give a state dict, as model.state_dict()")
    for key, value in entries.items():
        _check_entry(key, value, name)
    if structure is None:
        structure = _default_structure(entries, name)
    model = build(entries, structure, DEFAULT_READOUT if readout is None else readout, name, cell)
    if readout is None and any(direction.reverse for direction in model.layers[-1]):
        raise ModelError(
            f"{name}: the top layer reads in both directions, and a state dict does not say what its head reads; give "
            "the readout (on the command line --readout): final, the last state of each direction (PyTorch's h_n), or "
            "last_frame, the outputs at the last frame (output[:, -1]), or mean, max, every"
        )
    return model


def _default_structure(entries: Mapping[str, Tensor], name: str) -> str:
    """[embedding] [one recurrent stack] [one linear head], if the entries are that and nothing else."""
    groups = sort_entries(entries, name)
    if groups.others:
        raise unknown_entry(entries, groups.others[0], name)
    if not groups.recurrent:
        raise ModelError(
            f"{name} has no recurrent layer (no entry such as lstm.weight_ih_l0 among "
            f"{', '.join(entries) or 'no entries at all'}); give the state dict of a recurrent classifier"
        )
    if len(groups.recurrent) > 1:
        shown = ", ".join(repr(word) for word in sorted(groups.recurrent))
        raise ModelError(
            f"{name} has recurrent layers under {len(groups.recurrent)} prefixes ({shown}); their order is not stored: "
            f"{_ADVICE}"
        )
    ((recurrent, layers),) = groups.recurrent.items()
    below = layers.get((0, False), {}).get("weight_ih")
    size = entries[below].shape[-1] if below and entries[below].ndim else None
    front = [w for w, keys in groups.linear.items() if _may_embed(entries, w, keys, size)]
    heads = [word for word in groups.linear if word not in front]
    if not heads:
        raise ModelError(f"{name} has no linear head (no entry such as linear.weight); give the whole classifier")
    if len(heads) > 1 or len(front) > 1:
        found = ", ".join(sorted(groups.linear[word]["weight"] for word in groups.linear))
        raise ModelError(
            f"{name} has {len(groups.linear)} linear layers ({found}); their order and the activations between them "
            f"are not stored: {_ADVICE}"
        )
    return " ".join([*front, recurrent, heads[0]])


def _may_embed(entries: Mapping[str, Tensor], word: str, keys: Cell, size: int | None) -> bool:
    """An embedding by its looks: its name says so, it has no bias, and its vectors fit what reads them."""
    return "embed" in word.lower() and "bias" not in keys and entries[keys["weight"]].shape[1] == size


def _options(metadata: Mapping[str, str], given: Mapping[str, str | None], name: str) -> dict[str, str | None]:
    """The options given, completed from the file's metadata."""
    options = dict(given)
    for key, value in metadata.items():
        if not key.startswith("refcert."):
            continue  # other programs' notes, such as {"format": "pt"}
        if key not in METADATA:
            raise ModelError(f"{name}: the metadata key {key!r} is not known; known: {', '.join(METADATA)}")
        option = METADATA[key]
        own = given[option]
        if own is not None and own.split() != value.split():
            raise ModelError(
                f"{name}: {option} {own!r} contradicts the file's own metadata, {key} = {value!r}; leave the option "
                "out, or save the file with other metadata"
            )
        options[option] = value
    return options


def _dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _refuse_pickle(path: Path) -> NoReturn:
    raise ModelError(
        f"{path} looks like a pickle (PyTorch's own format), and reading a pickle can run code hidden in it, "
        f"so it is not opened. Where you trust it, convert it once in PyTorch: {_SAVE}"
    )


def _check_entry(key: object, value: object, name: str) -> None:
    if not isinstance(key, str) or not isinstance(value, Tensor):
        raise ModelError(
            f"{name}: entry {key!r} is a {type(value).__name__}, not a tensor; give the model's own "
            "state dict (a checkpoint often holds it under a key such as 'state_dict')"
        )
    if value.dtype not in WIDENED_DTYPES:
        kinds = ", ".join(_dtype_name(dtype) for dtype in WIDENED_DTYPES)
        raise ModelError(
            f"{name}: {key} is {_dtype_name(value.dtype)}; only {kinds} weights are supported. "
            "Store the model unquantised"
        )
    if value.layout != torch.strided or value.is_meta:
        kind = "a meta tensor" if value.is_meta else str(value.layout).removeprefix("torch.")
        raise ModelError(f"{name}: {key} is {kind}; store it as a dense tensor with its values")
    if 0 in value.shape:
        raise ModelError(f"{name}: {key} has shape {tuple(value.shape)}; no size may be zero")
