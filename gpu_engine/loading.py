"""Stored weights -> the normal form: state dicts under PyTorch's names, and safetensors files of them.

The architecture is read off names and shapes. What is not understood is refused by its name, never skipped:
an entry left out would be a layer left out, and bounds of another network. What a state dict cannot show
is the code between the layers; the reading is always: LSTM layers from zero start states, then the linear
head on the top layer's hidden state after the last frame, whose outputs are the logits. `from_module` (in
`gpu_engine.module_loading`) also runs the module and compares.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gpu_engine.errors import ModelError
from gpu_engine.model import LSTMLayer, RecurrentClassifier

WIDENED_DTYPES: Final = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""Dtypes whose every value is a float64 value."""

PICKLE_SUFFIXES: Final = (".pt", ".pth", ".pkl")
PICKLE_STARTS: Final = (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6)))

_RECURRENT: Final = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"_l(?P<layer>0|[1-9][0-9]{0,3})(?P<reverse>_reverse)?",
    re.DOTALL,
)
_LINEAR: Final = re.compile(r"(?P<prefix>(?:.*\.)?)(?P<kind>weight|bias)", re.DOTALL)
_OTHER_CELLS: Final = {3: "a GRU layer", 1: "a vanilla RNN layer"}
_SAVE: Final = 'safetensors.torch.save_file(model.state_dict(), "model.safetensors")'


def load_model(path: str | os.PathLike[str]) -> RecurrentClassifier:
    """The classifier stored in a safetensors file under PyTorch's names (see `from_state_dict`).

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
    return from_state_dict(entries, name=str(path))


def from_state_dict(entries: Mapping[str, Tensor], name: str = "the state dict") -> RecurrentClassifier:
    """The classifier that a state dict under PyTorch's names holds. `name` is for messages.

    For layers k = 0, 1, ..., under one prefix: weight_ih_l<k> (4 hidden, input or hidden below),
    weight_hh_l<k> (4 hidden, hidden), bias_ih_l<k> and bias_hh_l<k> (4 hidden,), gates in the order i, f, g,
    o; biases absent throughout are zero. One linear head: weight (classes, hidden), bias (classes,), zero if
    absent. Values of WIDENED_DTYPES are widened exactly. The input is not modified, nor kept.
    Raises ModelError with the entry's own name.
    """
    if not isinstance(entries, Mapping):
        raise ModelError(f"{name} is a {type(entries).__name__}; give a state dict, as model.state_dict()")
    for key, value in entries.items():
        _check_entry(key, value, name)
    layers, head = _sort(entries, name)
    _check_layers(layers, name)
    weight_name, bias_name = _head(head, name)

    def widened(key: str, zeros: int) -> Tensor:
        if key not in entries:
            return torch.zeros(zeros, dtype=torch.float64)
        value = entries[key].detach().to(device="cpu", dtype=torch.float64, copy=True)
        bad = ~torch.isfinite(value)
        if bool(bad.any()):
            index = [int(i) for i in bad.nonzero()[0]]
            raise ModelError(
                f"{name}: {key}{index} is {value[tuple(index)].item()}; a network with NaN or infinite "
                "weights has no bounds. Repair or retrain the model"
            )
        return value

    built = []
    below = 0
    for prefix, k in layers:
        rows, hidden = _check_cell(entries, prefix, k, name)
        names = {kind: f"{prefix}{kind}_l{k}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        if k == 0:  # the first layer's input size is free
            below = entries[names["weight_ih"]].shape[-1] if entries[names["weight_ih"]].ndim else 1
        for kind, needed in (("weight_ih", (rows, below)), ("bias_ih", (rows,)), ("bias_hh", (rows,))):
            found = tuple(entries[names[kind]].shape) if names[kind] in entries else needed
            if found != needed:
                raise ModelError(
                    f"{name}: {names[kind]} has shape {found}, this LSTM layer needs {needed}; "
                    "save the whole model again"
                )
        built.append(LSTMLayer(**{kind: widened(key, rows) for kind, key in names.items()}))
        below = hidden
    shape = tuple(entries[weight_name].shape)
    if shape[1] != below:
        raise ModelError(
            f"{name}: {weight_name} has shape {shape}, the head needs (classes, {below}) to follow the top "
            "layer's hidden state; other readouts are not supported"
        )
    if bias_name in entries and tuple(entries[bias_name].shape) != shape[:1]:
        found = tuple(entries[bias_name].shape)
        raise ModelError(f"{name}: {bias_name} has shape {found}, the head needs {shape[:1]}")
    stored = sorted({_dtype_name(value.dtype) for value in entries.values()})
    return RecurrentClassifier(
        tuple(built), widened(weight_name, 0), widened(bias_name, shape[0]), " and ".join(stored)
    )


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


def _sort(entries: Mapping[str, Tensor], name: str) -> tuple[dict[tuple[str, int], set[str]], list[str]]:
    """Which kinds of weight every (prefix, layer) has, and the entries that may be the head."""
    layers: dict[tuple[str, int], set[str]] = {}
    head = []
    for key, value in entries.items():
        if match := _RECURRENT.fullmatch(key):
            if match["reverse"]:
                raise ModelError(
                    f"{name}: {key} belongs to a bidirectional layer; only layers that read forward are "
                    "supported. Train with bidirectional=False"
                )
            if match["kind"] == "weight_hr":
                raise ModelError(
                    f"{name}: {key} is a projection of the hidden state; projections are not supported. "
                    "Train with proj_size=0"
                )
            layers.setdefault((match["prefix"], int(match["layer"])), set()).add(match["kind"])
        elif (match := _LINEAR.fullmatch(key)) and value.ndim == (2 if match["kind"] == "weight" else 1):
            head.append(key)
        else:
            raise ModelError(
                f"{name}: {key} of shape {tuple(value.shape)} is not understood; supported are LSTM layers "
                "(weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, ...) and one linear head (weight, "
                "bias). No entry is ignored: remove what the network does not use"
            )
    if not layers:
        raise ModelError(
            f"{name} has no recurrent layer (no entry such as lstm.weight_ih_l0 among "
            f"{', '.join(entries) or 'no entries at all'}); give the state dict of an LSTM classifier"
        )
    return dict(sorted(layers.items())), head


def _check_layers(layers: Mapping[tuple[str, int], set[str]], name: str) -> None:
    prefixes = sorted({prefix for prefix, _ in layers})
    if len(prefixes) > 1:
        shown = ", ".join(repr(prefix) for prefix in prefixes)
        raise ModelError(
            f"{name} has recurrent layers under {len(prefixes)} prefixes ({shown}); only one stack of layers "
            "is supported. Use one nn.LSTM with num_layers"
        )
    prefix = prefixes[0]
    for k in range(len(layers)):
        if (prefix, k) not in layers:
            found = ", ".join(f"l{number}" for _, number in layers)
            raise ModelError(f"{name}: layer l{k} of {prefix!r} is missing, there are {found}; save the whole model")
    biased = any(kind.startswith("bias") for kinds in layers.values() for kind in kinds)
    needed = ("weight_ih", "weight_hh") + (("bias_ih", "bias_hh") if biased else ())
    for (_, k), kinds in layers.items():
        for kind in needed:
            if kind not in kinds:
                raise ModelError(
                    f"{name}: {prefix}{kind}_l{k} is missing; save the whole model. (Biases may be absent "
                    "only all together; where one is not used, store zeros.)"
                )


def _check_cell(entries: Mapping[str, Tensor], prefix: str, k: int, name: str) -> tuple[int, int]:
    """Gate rows and hidden size of an LSTM layer, read off weight_hh (4 hidden, hidden)."""
    key = f"{prefix}weight_hh_l{k}"
    shape = tuple(entries[key].shape)
    if len(shape) == 2 and shape[0] == 4 * shape[1]:
        return shape[0], shape[1]
    ratio = shape[0] // shape[1] if len(shape) == 2 and shape[0] % shape[1] == 0 else 0
    if ratio in _OTHER_CELLS:
        raise ModelError(
            f"{name}: {key} of shape {shape} is {_OTHER_CELLS[ratio]}; only LSTM layers are supported so far"
        )
    raise ModelError(f"{name}: {key} has shape {shape}; an LSTM layer needs (4 hidden, hidden)")


def _head(head: list[str], name: str) -> tuple[str, str]:
    """Names of the head's weight and bias; the bias need not exist."""
    weights = [key for key in head if key.endswith("weight")]
    for key in head:
        if key.endswith("bias") and key.removesuffix("bias") + "weight" not in weights:
            raise ModelError(f"{name}: {key} has no weight beside it; save the whole model")
    if not weights:
        raise ModelError(f"{name} has no linear head (no entry such as linear.weight); give the whole classifier")
    if len(weights) > 1:
        raise ModelError(
            f"{name} has {len(weights)} linear layers ({', '.join(sorted(weights))}); exactly one is "
            "supported, the head after the last LSTM layer. Apply what stands in front of the LSTM to the "
            "data, and leave it out of the model"
        )
    return weights[0], weights[0].removesuffix("weight") + "bias"
