"""A module run on random sequences, and its outputs compared with those of a reading (see `module_loading`)."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch import Tensor, nn

from gpu_engine import forward
from gpu_engine.errors import ModelError
from gpu_engine.model import READOUTS, Dense, RecurrentClassifier
from gpu_engine.module_trace import ENDINGS, RECURRENT, Call, Reading, TraceError, layouts, read_calls, recorded

PROBE_ROUNDINGS: Final = 256
"""Allowed difference, in units of the dtype's rounding times the head's largest sum of |weights| and |bias|.

What the head reads is at most 1 in size behind an LSTM, so that sum bounds every logit; where it is larger, the sum
grows with it. Trained float32 LSTMs (MNIST, digits, motion) differ by up to 9 of these units from their float64 forms,
while another frame gives 10^5 and more. No bound rests on this number.
"""

PROBE_BATCH, PROBE_TIME, PROBE_SEED = 12, 5, 20190501
PROBE_SCALES: Final = (*(1.0,) * 6, *(4.0,) * 3, *(16.0,) * 3)
"""One for each sequence: larger frames reach both sides of an activation in more places."""
PROBE_LENGTHS: Final = (5, 5, 5, 4, 4, 3, 3, 2, 2, 2, 1, 1)

GIVE: Final = (
    "give `structure`, the layers in order with the activations between them, as 'linear1 relu lstm linear2', and "
    f"`readout`, one of {', '.join(READOUTS)}"
)


class Probe:
    """Runs a module on random sequences and finds a reading whose outputs agree."""

    def __init__(
        self, module: nn.Module, build: Callable[..., RecurrentClassifier], parts: list[str], own: list[str]
    ) -> None:
        weight = next(module.parameters())
        self.name, self.device, self.dtype = type(module).__name__, weight.device, weight.dtype
        if self.dtype in (torch.float16, torch.bfloat16):  # too coarse to compare; widening the weights is exact
            module, self.dtype = copy.deepcopy(module).to(torch.float32), torch.float32
        self.module, self.build = module, build
        self.parts = {name: module.get_submodule(name) for name in parts}
        values: dict[str, Tensor] = dict(module.named_parameters(remove_duplicate=False))
        values |= dict(module.named_buffers(remove_duplicate=False))
        self.own = {name: values[name] for name in own}
        self.eps = torch.finfo(self.dtype).eps
        required = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        signature = inspect.signature(module.forward).parameters.values()
        self.with_lengths = sum(p.kind in required and p.default is p.empty for p in signature) > 1

    def find(self, structure: str | None, readout: str | None) -> RecurrentClassifier:
        """The first reading that agrees; ModelError with what was tried if none does."""
        first = next(part for part in self.parts.values() if isinstance(part, RECURRENT)).batch_first
        problems: list[str] = []
        failures: list[str] = []
        cause: Exception | None = None
        for x, batch_first in itertools.product(self.inputs(), (first, not first)):
            axes = "(batch, time" if batch_first else "(time, batch"
            tried = f"with {axes}{', input' if x.ndim == 3 else ''}) inputs"
            try:
                with recorded(self.parts) as calls:
                    output = self.run(x, batch_first, [PROBE_TIME] * PROBE_BATCH)
            except Exception as error:  # whatever the user's own code raises
                failures.append(f"{tried} of shape {tuple(x.shape)}, it raised {type(error).__name__}: {error}")
                cause = cause or error
                continue
            try:
                readings = self.readings(structure, readout, calls, x, output)
            except TraceError as error:
                problems.append(f"{tried}, {error}")
                continue
            agreeing: dict[str, RecurrentClassifier] = {}
            for reading in readings:
                model = self.build(structure=reading.structure, readout=reading.readout)
                if (x.ndim == 3 and x.shape[2] != model.input_size) or (x.ndim == 2) != (model.embedding is not None):
                    problems.append(f"{tried} of shape {tuple(x.shape)}, [{reading.structure}] reads other inputs")
                    continue
                problem = self.compare(model, reading, x, output) or self.compare_ragged(model, reading, x, batch_first)
                if problem is None:
                    agreeing.setdefault(_plain_readout(model), model)
                elif reading.ending == readings[0].ending:
                    problems.append(f"{tried}, [{reading.structure}; readout {reading.readout}]: {problem}")
            if len(agreeing) == 1:
                return next(iter(agreeing.values()))
            if agreeing:
                kinds = " and ".join(agreeing)
                raise ModelError(
                    f"{self.name}: the readouts {kinds} cannot be told apart on the inputs tried; give one"
                )
        raise ModelError(
            f"no reading of {self.name} was found: {'; '.join(problems or failures)}. Change `forward`, build the "
            f"model that is meant, or trust a reading without trying it by probe=False: {GIVE}"
        ) from (None if problems else cause)

    def inputs(self) -> list[Tensor]:
        """Tokens (batch, time) for each embedding, then frames (batch, time, input) of each size that a layer reads."""
        generator = torch.Generator().manual_seed(PROBE_SEED)
        words = [part.num_embeddings for part in self.parts.values() if isinstance(part, nn.Embedding)]
        tokens = [torch.randint(count, (PROBE_BATCH, PROBE_TIME), generator=generator) for count in words]
        sizes = [part.input_size if isinstance(part, RECURRENT) else part.in_features for part in self.layers()]
        scales = torch.tensor(PROBE_SCALES)[:, None, None]
        return tokens + [
            (scales * torch.randn(PROBE_BATCH, PROBE_TIME, size, generator=generator)).to(self.dtype)
            for size in dict.fromkeys(sizes)
        ]

    def layers(self) -> list[Any]:
        return [part for part in self.parts.values() if isinstance(part, (*RECURRENT, nn.Linear))]

    def run(self, x: Tensor, batch_first: bool, lengths: list[int]) -> Any:
        given = (x if batch_first else x.transpose(0, 1)).to(self.device, copy=True)
        with torch.no_grad(), _evaluation(self.module):
            return self.module(given, torch.tensor(lengths)) if self.with_lengths else self.module(given)

    def readings(
        self, structure: str | None, readout: str | None, calls: list[Call], x: Tensor, output: Any
    ) -> list[Reading]:
        """What to compare: the reading that the calls show, or the given one with what is left open."""
        if structure is None:
            shown = read_calls(calls, x, output, self.parts, self.own, self.eps, readout)
            return [shown if readout is None else dataclasses.replace(shown, readout=readout)]
        readouts = READOUTS if readout is None else (readout,)
        return [Reading(structure, kind, ending) for kind in readouts for ending in ENDINGS]

    def compare(self, model: RecurrentClassifier, reading: Reading, x: Tensor, output: Any) -> str | None:
        """None if the output is the model's, else how it differs."""
        return self.difference(model, reading, x, output, forward.logits(model, self.frames(model, x)))

    def compare_ragged(self, model: RecurrentClassifier, reading: Reading, x: Tensor, batch_first: bool) -> str | None:
        """The same for sequences of different lengths, where `forward` reads lengths."""
        if not self.with_lengths:
            return None
        lengths = list(PROBE_LENGTHS)
        try:
            output = self.run(x, batch_first, lengths)
        except Exception as error:  # whatever the user's own code raises
            return f"with lengths {lengths} it raised {type(error).__name__}: {error}"
        expected = forward.logits_ragged(model, self.frames(model, x), lengths)
        problem = self.difference(model, reading, x, output, expected)
        return problem and f"with lengths {lengths}, {problem}"

    def frames(self, model: RecurrentClassifier, x: Tensor) -> Tensor:
        return x if model.embedding is None else model.embedding[x]

    def difference(
        self, model: RecurrentClassifier, reading: Reading, x: Tensor, output: Any, expected: Tensor
    ) -> str | None:
        if not isinstance(output, Tensor):
            return f"the output is a {type(output).__name__}, not logits of shape {tuple(expected.shape)}"
        output = output.detach().cpu()
        there = ~expected.isnan()  # answers behind a sequence's end do not exist
        expected = ENDINGS[reading.ending](expected)
        found = [layout(output) for layout in layouts(output, PROBE_BATCH, PROBE_TIME)]
        found = [value for value in found if value.shape == expected.shape]
        if not found:
            return f"the output is of shape {tuple(output.shape)}, not logits of shape {tuple(expected.shape)}"
        differences = [(value - expected)[there].abs().max().item() for value in found]
        difference = min(differences, key=lambda d: math.inf if math.isnan(d) else d)
        allowed = PROBE_ROUNDINGS * self.eps * self.size(model, x)
        if difference <= allowed:  # false for NaN
            return None
        return f"outputs differ by up to {difference:.3g} (rounding explains {allowed:.3g})"

    def size(self, model: RecurrentClassifier, x: Tensor) -> float:
        """The head's largest sum of |weights| times the largest value that it reads (at least 1), and |bias|."""
        identity = torch.eye(model.head.weight.shape[1], dtype=torch.float64)
        body = dataclasses.replace(
            model, after=(*model.after[:-1], Dense(identity, torch.zeros(len(identity)).double()))
        )
        read = max(1.0, forward.logits(body, self.frames(model, x)).abs().max().item())
        return (model.head.weight.abs().sum(dim=1) * read + model.head.bias.abs()).max().item()


def _plain_readout(model: RecurrentClassifier) -> str:
    """The readout, by one name for the two that are the same where the top layer has one forward direction."""
    plain = len(model.layers[-1]) == 1 and model.readout == "last_frame"
    return "final" if plain else model.readout


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
