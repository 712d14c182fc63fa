"""A PyTorch module -> the normal form, read off its submodules and compared with what the module computes.

The code of `forward` cannot be read. So the module is run on a few random inputs while the calls of its layers are
recorded (`gpu_engine.module_trace`), which gives the reading: the order of the layers, the activations between them and
the readout. Then the outputs of the normal form built from that reading must be those of the module. That finds another
frame, a scaled input or a permutation; it cannot find code that acts only on inputs that were not tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Final

from torch import Tensor, nn
from torch.nn.utils import parametrize

from gpu_engine.entries import check_finite
from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict
from gpu_engine.model import READOUTS, RecurrentClassifier
from gpu_engine.module_probe import GIVE, Probe
from gpu_engine.module_trace import ACTIVATION_PARTS, RECURRENT

_WITHOUT_WEIGHTS: Final = (nn.Dropout, nn.Identity, nn.Softmax, nn.LogSoftmax, *ACTIVATION_PARTS)
_STATELESS_CELLS: Final = (nn.LSTMCell, nn.GRUCell, nn.RNNCell)


def from_module(
    module: nn.Module, probe: bool = True, structure: str | None = None, readout: str | None = None
) -> RecurrentClassifier:
    """The classifier that a module of recurrent, linear and activation layers computes in evaluation mode.

    Submodules: nn.LSTM, nn.GRU, nn.RNN (all options, batch_first either way), nn.Linear, nn.Embedding (first), nn.ReLU,
    nn.Tanh, nn.Sigmoid, nn.Dropout, nn.Identity, nn.Softmax and nn.LogSoftmax behind the logits (dropped: they keep the
    order). The probe (12 sequences of 5 frames, or of tokens if there is an embedding) is put in as the recurrence
    reads it, or else the other way round; a `forward` with a second required argument gets the lengths, and is also
    compared on sequences of different lengths. structure (`gpu_engine.structure`) and readout, where given, are
    compared instead of found; what the inputs tried leave open has to be given. probe=False needs both and trusts them.
    The module's training mode and the global random state are put back. The result's `reading` and `readout` repeat the
    reading from the module's state dict.
    Raises ModelError with the submodule's dotted name, or with what was tried and the differences.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"a {type(module).__name__} is no torch.nn.Module; give the module itself")
    parts, entries, own = _walk(module)
    _require_kinds(parts)
    name = type(module).__name__
    if structure is not None:
        structure = _with_roles(structure, parts, name)
    if readout is not None and readout not in READOUTS:
        raise ModelError(f"readout {readout!r} is not known; known: {', '.join(READOUTS)}")
    for key, value in entries.items():
        check_finite(value.detach(), key, name)
    build = partial(from_state_dict, entries, name)
    if not probe:
        if structure is None or readout is None:
            raise ModelError(f"{name}: without the probe the code between the layers is unknown; {GIVE}")
        return build(structure=structure, readout=readout)
    return Probe(module, build, list(parts), list(own)).find(structure, readout)


def _walk(module: nn.Module) -> tuple[dict[str, nn.Module], dict[str, Tensor], dict[str, Tensor]]:
    """Parts that are called, all entries, and the entries outside of the parts; refuses by name."""
    parts: dict[str, nn.Module] = {}
    entries: dict[str, Tensor] = {}
    own: dict[str, Tensor] = {}
    for name, part in module.named_modules():
        _check_part(name or type(module).__name__, part)
        prefix = f"{name}." if name else ""
        values = {**dict(part.named_parameters(recurse=False)), **dict(part.named_buffers(recurse=False))}
        named = {prefix + key: value for key, value in values.items()}
        entries |= named
        if type(part) in (*RECURRENT, nn.Linear, nn.Embedding, *ACTIVATION_PARTS):
            parts[name] = part
        else:
            own |= named
    return parts, entries, own


def _require_kinds(parts: Mapping[str, nn.Module]) -> None:
    for kinds, shown in ((RECURRENT, "nn.LSTM, nn.GRU or nn.RNN"), ((nn.Linear,), "nn.Linear")):
        if not any(isinstance(part, kinds) for part in parts.values()):
            raise ModelError(f"the module has no {shown} submodule; give the whole classifier")


def _check_part(shown: str, part: nn.Module) -> None:
    """Raise unless the part is understood, or a container whose parts are."""
    kind = type(part).__name__
    if parametrize.is_parametrized(part):
        raise ModelError(
            f"{shown} ({kind}) is parametrized; make its weights plain first: "
            "torch.nn.utils.parametrize.remove_parametrizations(submodule, name)"
        )
    own = {name for name, _ in part.named_parameters(recurse=False)}
    own |= {name for name, _ in part.named_buffers(recurse=False)}
    if type(part) in RECURRENT:
        assert isinstance(part, RECURRENT)
        sides = ["weight_ih", "weight_hh", *(["bias_ih", "bias_hh"] if part.bias else [])]
        sides += ["weight_hr"] if part.proj_size else []
        ends = ("", "_reverse") if part.bidirectional else ("",)
        _require_own(
            shown, own, {f"{side}_l{k}{end}" for side in sides for k in range(part.num_layers) for end in ends}
        )
    elif type(part) is nn.Linear:
        _require_own(shown, own, {"weight"} if part.bias is None else {"weight", "bias"})
    elif type(part) is nn.Embedding:
        _require_own(shown, own, {"weight"})
        if part.max_norm is not None:
            raise ModelError(
                f"{shown} (Embedding) has max_norm={part.max_norm}, which changes its vectors when they are used; "
                "renorm them once, and set max_norm=None"
            )
    elif isinstance(part, _STATELESS_CELLS):
        raise ModelError(
            f"{shown} ({kind}) is a single cell, whose loop is in `forward` and cannot be read; use "
            f"nn.{kind.removesuffix('Cell')}, whose weights have the same form"
        )
    elif type(part) not in _WITHOUT_WEIGHTS and (own or next(part.children(), None) is None):
        _check_container(shown, kind, part, own)


def _check_container(shown: str, kind: str, part: nn.Module, own: set[str]) -> None:
    """A module with submodules may own start states (see `module_trace`); any other owner is not understood."""
    if next(part.children(), None) is not None and not isinstance(part, _LAYERS):
        return
    if own:
        raise ModelError(
            f"{shown} ({kind}) has parameters or buffers of its own ({', '.join(sorted(own))}) that are not "
            "understood; only LSTM, GRU, RNN, Linear and Embedding may hold weights"
        )
    raise ModelError(
        f"{shown} ({kind}) is not understood; supported are LSTM, GRU, RNN, Linear, Embedding, ReLU, Tanh, Sigmoid, "
        "Dropout, Identity and a last Softmax of torch.nn. Leave it out, or apply it to the data"
    )


_LAYERS: Final = (*RECURRENT, nn.Linear, nn.Embedding)


def _require_own(shown: str, own: set[str], expected: set[str]) -> None:
    if own != expected:
        raise ModelError(
            f"{shown} holds {', '.join(sorted(own ^ expected))} otherwise than a plain layer does (weight "
            "norm or pruning?); make its weights plain first, as torch.nn.utils.remove_weight_norm or "
            "prune.remove do"
        )


def _with_roles(structure: str, parts: Mapping[str, nn.Module], shown: str) -> str:
    """The structure with the roles that the submodules' kinds say; a role that contradicts them is refused."""
    words = []
    for word in structure.split():
        layer, _, given = word.rpartition(":") if word not in parts and ":" in word else (word, "", "")
        part = parts.get("" if layer == "." else layer)
        role = _role(part) if part is not None else given
        if given and role and given != role:
            raise ModelError(f"{shown}: {layer} is a {type(part).__name__}, its role is {role}, not {given}")
        open_ = role.startswith("rnn_") or role == "embedding" or (role == "linear" and "embed" in layer.lower())
        words.append(f"{layer}:{role}" if open_ else word)
    return " ".join(words)


def _role(part: nn.Module) -> str:
    if isinstance(part, nn.RNN):
        return f"rnn_{part.nonlinearity}"
    kinds = {nn.LSTM: "lstm", nn.GRU: "gru", nn.Linear: "linear", nn.Embedding: "embedding"}
    return kinds.get(type(part), "")
