"""Feed-forward networks as recurrent classifiers that read sequences of one frame.

The first linear layer with an activation right behind it becomes a recurrent layer with zero recurrent weights, a zero
second bias and a zero start state: in its only frame h = phi(W x + b + 0 0 + 0). Linear layers in front of it go into
`before`, all behind it into `after`. So the function is the module's own, and everything that reads the normal form
(bounds, attacks, certificates) reads it, for inputs (batch, 1, input). Sequences of several frames make no sense for
such a network: each frame would be read afresh and all but the last forgotten.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict
from gpu_engine.model import ACTIVATIONS, RecurrentClassifier

_ACTIVATIONS: Final[Mapping[type[nn.Module], str]] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
_IDLE: Final = (nn.Dropout, nn.Identity)
_LAST: Final = (nn.Softmax, nn.LogSoftmax)
# Inputs on which a module and its normal form are compared, both in float64, and the relative difference allowed.
_PROBES: Final = 16
_TOLERANCE: Final = 1e-9


def from_feedforward(module: nn.Module, structure: str | None = None) -> RecurrentClassifier:
    """The classifier that a feed-forward module computes in evaluation mode; it reads sequences of one frame.

    Without a structure: nn.Sequential (nested ones, too) of nn.Linear, nn.ReLU, nn.Tanh, nn.Sigmoid, nn.Flatten (from
    axis 1 on), nn.Dropout, nn.Identity, and a last nn.Softmax or nn.LogSoftmax (dropped: they keep the order). Another
    module's layers are not ordered by their names; give the structure, the linear layers in order with the activations
    between them, as `fc1 relu fc2 relu fc3`. Either way the outputs are compared on random inputs.
    The module is not changed. Raises ModelError with the submodule's dotted name, or with the difference found.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"a {type(module).__name__} is no torch.nn.Module; give the module itself")
    name = type(module).__name__
    text = " ".join(_words(module, "")) if structure is None else structure
    model = feedforward_from_state_dict(module.state_dict(), text, name)
    _compare(module, model, name)
    return model


def feedforward_from_state_dict(
    entries: Mapping[str, Tensor], structure: str, name: str = "the state dict"
) -> RecurrentClassifier:
    """The classifier of linear entries under PyTorch's names and a structure text such as `fc1 relu fc2 relu fc3`.

    Linear layers: weight (out, in), bias (out,), zero if absent. Every entry has to be used. Raises ModelError.
    """
    if not isinstance(entries, Mapping):
        raise ModelError(f"{name} is a {type(entries).__name__}; give a state dict, as model.state_dict()")
    renamed, text = recurrent_entries(entries, structure, name)
    return from_state_dict(renamed, name, structure=text)


def load_feedforward(path: str | os.PathLike[str], structure: str | None = None) -> RecurrentClassifier:
    """As `feedforward_from_state_dict`, from a safetensors file; its metadata may hold `refcert.structure`.

    Raises ModelError with the path and the remedy.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as stored:
            entries = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            own = (stored.metadata() or {}).get("refcert.structure")
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} cannot be read as safetensors ({error}); give a file of save_file") from error
    if structure is not None and own is not None and structure.split() != own.split():
        raise ModelError(f"{path}: structure {structure!r} contradicts the file's own, {own!r}; leave the option out")
    text = structure or own
    if text is None:
        raise ModelError(f"{path} does not say how its layers are ordered; give the structure, as 'fc1 relu fc2'")
    return feedforward_from_state_dict(entries, text, str(path))


def recurrent_entries(
    entries: Mapping[str, Tensor], structure: str, name: str = "the state dict"
) -> tuple[dict[str, Tensor], str]:
    """The same network as entries and a structure text that `gpu_engine.loading` reads.

    Saved with the text as metadata `refcert.structure`, the file is read by `load_model`. Raises ModelError.
    """
    words = structure.split()
    place = next((k for k in range(len(words) - 1) if _is_layer(words[k]) and words[k + 1] in ACTIVATIONS), None)
    if place is None:
        raise ModelError(
            f"{name}: structure {structure!r} has no linear layer with an activation ({', '.join(ACTIVATIONS)}) right "
            "behind it; a network without one is linear, and its margins have closed forms"
        )
    layer, cell = words[place], f"rnn_{words[place + 1]}"
    weight, bias = entries.get(f"{layer}.weight"), entries.get(f"{layer}.bias")
    if weight is None or weight.ndim != 2:
        raise ModelError(f"{name}: the structure's {layer!r} has no entry {layer}.weight with two axes; name a layer")
    rows = weight.shape[0]
    zeros = torch.zeros(rows, dtype=weight.dtype)
    renamed = {key: value for key, value in entries.items() if key not in (f"{layer}.weight", f"{layer}.bias")}
    renamed |= {
        f"{layer}.weight_ih_l0": weight.detach(),
        f"{layer}.weight_hh_l0": torch.zeros(rows, rows, dtype=weight.dtype),
        f"{layer}.bias_ih_l0": zeros if bias is None else bias.detach(),
        f"{layer}.bias_hh_l0": zeros.clone(),
    }
    front = [f"{word}:linear" if _is_layer(word) else word for word in words[:place]]
    return renamed, " ".join([*front, f"{layer}:{cell}", *words[place + 2 :]])


def _is_layer(word: str) -> bool:
    return word not in ACTIVATIONS


def _words(module: nn.Module, prefix: str) -> list[str]:
    """The structure text of an nn.Sequential, word by word."""
    if not isinstance(module, nn.Sequential):
        raise ModelError(
            f"{prefix.removesuffix('.') or 'the module'} is a {type(module).__name__}, whose order of layers cannot be "
            "read; use nn.Sequential, or give the structure, as 'fc1 relu fc2'"
        )
    words: list[str] = []
    children = list(module.named_children())
    for k, (name, part) in enumerate(children):
        where = prefix + name
        if type(part) is nn.Linear:
            words.append(where)
        elif type(part) in _ACTIVATIONS:
            words.append(_ACTIVATIONS[type(part)])
        elif isinstance(part, nn.Sequential):
            words += _words(part, f"{where}.")
        elif isinstance(part, nn.Flatten):
            if words or (part.start_dim, part.end_dim) != (1, -1):
                raise ModelError(f"{where}: {part} is understood only in front and as Flatten(1, -1)")
        elif not isinstance(part, _IDLE) and not (type(part) in _LAST and not prefix and k == len(children) - 1):
            raise ModelError(
                f"{where} ({type(part).__name__}) is not understood; supported are Linear, ReLU, Tanh, Sigmoid, "
                "Flatten, Dropout, Identity and a last Softmax or LogSoftmax of torch.nn"
            )
    return words


def _compare(module: nn.Module, model: RecurrentClassifier, name: str) -> None:
    """Raise ModelError unless both give the same outputs on random inputs, up to a last (log-)softmax."""
    own = copy.deepcopy(module).to(device="cpu", dtype=torch.float64).eval()
    x = torch.randn(_PROBES, model.input_size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            found = own(x)
        except (RuntimeError, TypeError, ValueError) as error:
            raise ModelError(f"{name} cannot be run on inputs of shape {tuple(x.shape)}: {error}") from error
    needed = model.logits(x[:, None])
    readings = (needed, needed.log_softmax(1), needed.softmax(1))
    close = [
        isinstance(found, Tensor)
        and found.shape == reading.shape
        and bool(((found - reading).abs() <= _TOLERANCE * (1 + reading.abs().max())).all())
        for reading in readings
    ]
    if not any(close):
        raise ModelError(
            f"{name} computes something else than its layers in this order ({model.reading}); give the structure that "
            "`forward` follows, or apply what else it does to the data"
        )
