"""The entries of a state dict, sorted by the layer that they belong to, under PyTorch's names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from gpu_engine.errors import ModelError
from gpu_engine.model import GATES

STATE_ROLES: Final = ("initial_hidden", "initial_cell")
ROLES: Final = (*GATES, "embedding", "linear", *STATE_ROLES)
"""What a structure text may say that an entry is, where name and shape leave it open."""

_RECURRENT: Final = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<kind>weight_ih|weight_hh|weight_hr|bias_ih|bias_hh)"
    r"_l(?P<layer>0|[1-9][0-9]{0,3})(?P<reverse>_reverse)?",
    re.DOTALL,
)
_LINEAR: Final = re.compile(r"(?P<prefix>(?:.*\.)?)(?P<kind>weight|bias)", re.DOTALL)
Cell = dict[str, str]
"""The keys of one direction of one layer by kind (weight_ih, ...)."""


@dataclass
class Groups:
    """The entries sorted by the layer that they belong to; layers by word (the name without its last dot)."""

    recurrent: dict[str, dict[tuple[int, bool], Cell]] = field(default_factory=dict)
    linear: dict[str, Cell] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)


def sort_entries(entries: Mapping[str, Tensor], name: str) -> Groups:
    """Sort entries by name and number of axes; biases without a weight raise ModelError."""
    groups = Groups()
    for key, value in entries.items():
        if match := _RECURRENT.fullmatch(key):
            layers = groups.recurrent.setdefault(_word(match["prefix"], key, name), {})
            layers.setdefault((int(match["layer"]), bool(match["reverse"])), {})[match["kind"]] = key
        elif (match := _LINEAR.fullmatch(key)) and value.ndim == (2 if match["kind"] == "weight" else 1):
            groups.linear.setdefault(_word(match["prefix"], key, name), {})[match["kind"]] = key
        else:
            groups.others.append(key)
    for keys in groups.linear.values():
        if "weight" not in keys:
            raise ModelError(f"{name}: {keys['bias']} has no weight beside it; save the whole model")
    return groups


def check_finite(value: Tensor, key: str, name: str) -> None:
    """Raise ModelError with the first index where the value is NaN or infinite."""
    bad = ~torch.isfinite(value)
    if bool(bad.any()):
        index = [int(i) for i in bad.nonzero()[0]]
        raise ModelError(
            f"{name}: {key}{index} is {value[tuple(index)].item()}; a network with NaN or infinite weights has no "
            "bounds. Repair or retrain the model"
        )


def unknown_entry(entries: Mapping[str, Tensor], key: str, name: str) -> ModelError:
    """The error for an entry that nothing uses."""
    return ModelError(
        f"{name}: {key} of shape {tuple(entries[key].shape)} is not understood; known are LSTM, GRU and RNN layers "
        "(weight_ih_l0, weight_hh_l0, ...), linear layers (weight, bias), and what `structure` gives a role "
        f"({', '.join(ROLES[-4:])}). No entry is ignored: remove what the network does not use"
    )


def _word(prefix: str, key: str, name: str) -> str:
    """The layer's word in a structure text; a prefix that cannot be a word of its own is refused."""
    word = prefix.removesuffix(".") if prefix else "."
    if word.split() != [word] or (prefix and word == "."):
        raise ModelError(f"{name}: {key!r} has a prefix that cannot be a word of a structure; rename the layer")
    return word
