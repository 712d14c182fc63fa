"""A PyTorch module -> the normal form, read off its submodules and compared with what the module computes.

The code of `forward` cannot be read. So the module is run on a few random inputs, and its outputs must be the
logits of the reading: LSTM from zero start states, then the linear head on the top layer's hidden state after
the last frame. That finds another frame, a softmax, an activation or a permutation; it cannot find code that
acts only on inputs that were not tried.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gpu_engine.errors import ModelError
from gpu_engine.loading import from_state_dict
from gpu_engine.model import RecurrentClassifier

PROBE_ROUNDINGS: Final = 256
"""Allowed difference, in units of the dtype's rounding times the head's largest sum of |weights| and |bias|.

A hidden state is at most 1 in size, so that sum bounds every logit. Trained float32 LSTMs (MNIST, digits,
motion) differ by up to 9 of these units from their float64 forms, while another frame or a softmax gives
10^5 and more. No bound rests on this number.
"""

PROBE_BATCH, PROBE_TIME, PROBE_SEED = 4, 5, 20190501

_IDENTITY_IN_EVALUATION: Final = (nn.Dropout, nn.Identity)
_OTHER_CELLS: Final = {nn.GRU: "a GRU", nn.RNN: "a vanilla RNN"}


def from_module(module: nn.Module, probe: bool = True) -> RecurrentClassifier:
    """The classifier that a module of one nn.LSTM and one nn.Linear computes in evaluation mode.

    batch_first either way; the probe (4 sequences of 5 standard normal frames) is put in as the LSTM reads
    it, or else the other way round. The module's training mode and the global random state are put back.
    probe=False trusts that `forward` is as the reading says.
    Raises ModelError with the submodule's dotted name, or with the difference that the probe found.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"a {type(module).__name__} is no torch.nn.Module; give the module itself")
    lstms: dict[str, nn.LSTM] = {}
    linears: dict[str, nn.Linear] = {}
    for name, part in module.named_modules():
        shown = name or type(module).__name__
        _check_part(shown, part)
        if type(part) is nn.LSTM:
            lstms[name] = part
        elif type(part) is nn.Linear:
            linears[name] = part
    _require_one("nn.LSTM", list(lstms), "stack layers with num_layers")
    _require_one("nn.Linear", list(linears), "keep the head alone, and apply other layers to the data")
    (lstm_name, lstm), (linear_name, linear) = next(iter(lstms.items())), next(iter(linears.items()))
    entries = {f"{lstm_name}.{name}": value for name, value in lstm.named_parameters()}
    entries |= {f"{linear_name}.{name}": value for name, value in linear.named_parameters()}
    model = from_state_dict(entries, name=type(module).__name__)
    if probe:
        reading = (
            f"nn.LSTM {lstm_name!r} from zero start states, then nn.Linear {linear_name!r} on the top "
            "layer's hidden state after the last frame, its outputs being the logits"
        )
        _probe(module, lstm, model, reading)
    return model


def _require_one(kind: str, names: list[str], remedy: str) -> None:
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise ModelError(f"the module has {len(names)} {kind} submodules ({found}), it needs one; {remedy}")


def _check_part(shown: str, part: nn.Module) -> None:
    """Raise unless the part is understood: an LSTM, a linear layer, an identity, or a container of others."""
    kind = type(part).__name__
    if parametrize.is_parametrized(part):
        raise ModelError(
            f"{shown} ({kind}) is parametrized; make its weights plain first: "
            "torch.nn.utils.parametrize.remove_parametrizations(submodule, name)"
        )
    own = {name for name, _ in part.named_parameters(recurse=False)}
    own |= {name for name, _ in part.named_buffers(recurse=False)}
    if type(part) is nn.LSTM:
        if part.bidirectional or part.proj_size:
            what = "bidirectional" if part.bidirectional else f"projected (proj_size={part.proj_size})"
            raise ModelError(
                f"{shown} is a {what} LSTM; only LSTMs that read forward, without projection, are supported"
            )
        sides = ("weight_ih", "weight_hh") + (("bias_ih", "bias_hh") if part.bias else ())
        _require_own(shown, own, {f"{side}_l{k}" for side in sides for k in range(part.num_layers)})
    elif type(part) is nn.Linear:
        _require_own(shown, own, {"weight"} if part.bias is None else {"weight", "bias"})
    elif isinstance(part, tuple(_OTHER_CELLS)):
        what = next(text for cell, text in _OTHER_CELLS.items() if isinstance(part, cell))
        raise ModelError(f"{shown} is {what}; only nn.LSTM is supported so far")
    elif own:
        raise ModelError(
            f"{shown} ({kind}) has parameters or buffers of its own ({', '.join(sorted(own))}) that are not "
            "understood; only one nn.LSTM and one nn.Linear may hold weights"
        )
    elif type(part) not in _IDENTITY_IN_EVALUATION and next(part.children(), None) is None:
        raise ModelError(
            f"{shown} ({kind}) is not understood; supported are one nn.LSTM, one nn.Linear, nn.Dropout and "
            "nn.Identity. Leave it out, or apply it to the data"
        )


def _require_own(shown: str, own: set[str], expected: set[str]) -> None:
    if own != expected:
        raise ModelError(
            f"{shown} holds {', '.join(sorted(own ^ expected))} otherwise than a plain layer does (weight "
            "norm or pruning?); make its weights plain first, as torch.nn.utils.remove_weight_norm or "
            "prune.remove do"
        )


def _probe(module: nn.Module, lstm: nn.LSTM, model: RecurrentClassifier, reading: str) -> None:
    weight = next(lstm.parameters())
    dtype = weight.dtype
    if dtype in (torch.float16, torch.bfloat16):  # too coarse to compare; widening the weights is exact
        module, dtype = copy.deepcopy(module).to(torch.float32), torch.float32
    generator = torch.Generator().manual_seed(PROBE_SEED)
    x = torch.randn(PROBE_BATCH, PROBE_TIME, model.input_size, generator=generator).to(dtype)
    expected = model.logits(x)
    size = (model.head_weight.abs().sum(dim=1) + model.head_bias.abs()).max().item()
    allowed = PROBE_ROUNDINGS * torch.finfo(dtype).eps * size

    problems: list[str] = []
    cause: Exception | None = None
    for batch_first in (lstm.batch_first, not lstm.batch_first):
        layout = "(batch, time, input)" if batch_first else "(time, batch, input)"
        problem = _compare(module, (x if batch_first else x.transpose(0, 1)).to(weight.device), expected, allowed)
        if problem is None:
            return
        problems.append(f"with {layout} inputs, {problem[0]}")
        cause = cause or problem[1]
    raise ModelError(
        f"{type(module).__name__} does not compute the reading [{reading}]: {'; '.join(problems)}. Change "
        "`forward`, or build the model that is meant; probe=False trusts the reading without trying it"
    ) from cause


def _compare(module: nn.Module, x: Tensor, expected: Tensor, allowed: float) -> tuple[str, Exception | None] | None:
    """None if the module gives the expected logits for x, else what it does, and what it raised if it did."""
    try:
        with torch.no_grad(), _evaluation(module):
            output = module(x)
    except Exception as error:
        return f"it raised {type(error).__name__}: {error}", error
    if not isinstance(output, Tensor) or output.shape != expected.shape:
        found = f"of shape {tuple(output.shape)}" if isinstance(output, Tensor) else f"a {type(output).__name__}"
        return f"the output is {found}, not logits of shape {tuple(expected.shape)}", None
    difference = (output.detach().cpu().to(torch.float64) - expected).abs().max().item()
    if difference <= allowed:  # false for NaN
        return None
    return f"outputs differ from its logits by up to {difference:.3g} (rounding explains {allowed:.3g})", None


@contextmanager
def _evaluation(module: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; every submodule's mode and the random states are put back afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    devices = sorted({p.device.index or 0 for p in module.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices):
        try:
            module.eval()
            yield
        finally:
            for part, mode in modes:
                part.training = mode
