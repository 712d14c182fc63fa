"""What a module does with its layers, seen by running it: the order of the calls, and what stands between them.

The code of `forward` cannot be read, but the inputs and outputs of every layer can be recorded while it runs. From
the output of one layer and the input of the next, the readout and the activation between them are found by trying each:
that whose result agrees within rounding is taken, if it is the only one. Shapes: canonical values are (batch, time,
features) or, behind a readout, (batch, features), in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from gpu_engine.errors import ModelError

RECURRENT: Final = (nn.LSTM, nn.GRU, nn.RNN)
ACTIVATION_PARTS: Final[Mapping[type[nn.Module], str]] = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid"}
FUNCTIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "none": lambda value: value,
    "relu": torch.relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
ENDINGS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "none": lambda value: value,
    "softmax": lambda value: value.softmax(-1),
    "log_softmax": lambda value: value.log_softmax(-1),
}
"""What may stand behind the logits: it keeps their order."""

POOLS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "last_frame": lambda value: value[:, -1],
    "mean": lambda value: value.mean(1),
    "max": lambda value: value.amax(1),
    "every": lambda value: value,
}

NONNEGATIVE: Final = ("relu", "sigmoid")

GAP_ROUNDINGS: Final = 16
"""Allowed difference between two layers, in units of the dtype's rounding times the largest value there.

The same tensor is compared with itself behind one elementwise function or a mean. No bound rests on this number.
"""

SHOWN: Final = 6
"""How many of the trials a message lists, nearest first."""


class TraceError(Exception):
    """The calls are not those of a supported network; the text says where."""


@dataclass
class Call:
    """One call of a part: its input, its output and, for a recurrent one, the start states given to it."""

    name: str
    part: nn.Module
    value: Any
    states: tuple[Tensor, ...] = ()
    output: Any = None

    @property
    def word(self) -> str:
        return self.name or "."


@dataclass(frozen=True)
class Reading:
    """A structure text and a readout, with the ending behind the logits (one of ENDINGS)."""

    structure: str
    readout: str
    ending: str


@contextmanager
def recorded(parts: Mapping[str, nn.Module]) -> Iterator[list[Call]]:
    """The calls of these parts while the context lasts, in order; the hooks are removed afterwards."""
    calls: list[Call] = []
    handles = []
    for name, part in parts.items():

        def before(part: nn.Module, args: Any, kwargs: Any, name: str = name) -> None:
            value = args[0] if args else kwargs.get("input")
            states = args[1] if len(args) > 1 else kwargs.get("hx")
            given = () if states is None else (states,) if isinstance(states, Tensor) else tuple(states)
            calls.append(Call(name, part, _copy(value), tuple(_copy(state) for state in given)))

        def after(part: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
            call = next(call for call in reversed(calls) if call.part is part)
            call.output = _copy(output)

        handles.append(part.register_forward_pre_hook(before, with_kwargs=True))
        handles.append(part.register_forward_hook(after, with_kwargs=True))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def read_calls(
    calls: list[Call],
    x: Tensor,
    output: Any,
    parts: Mapping[str, nn.Module],
    own: Mapping[str, Tensor],
    eps: float,
    readout: str | None = None,
) -> Reading:
    """The reading that the calls of one run on x (batch, time, input), or tokens (batch, time), show.

    own: parameters and buffers outside of the parts, among which start states are looked for; readout: None to find
    it. Raises TraceError where the values show something else or leave it open, ModelError with the part's name where
    no input could help.
    """
    _check_calls(calls, parts)
    return _Reader(x, own, eps, readout).read(calls, output)


def layouts(value: Any, batch: int, time: int, part: nn.Module | None = None) -> list[Callable[[Any], Tensor]]:
    """The ways in which a value can be canonical: functions that make it so, fitting by its shape."""
    if isinstance(value, PackedSequence):
        return [lambda v: pad_packed_sequence(v, batch_first=True)[0].double()]
    if not isinstance(value, Tensor):
        return []
    shape = tuple(value.shape[:2]) if value.ndim > 1 else ()
    if isinstance(part, RECURRENT):
        wanted = (batch, time) if part.batch_first else (time, batch)
        first = part.batch_first
        return [lambda v: v.double() if first else v.transpose(0, 1).double()] if shape == wanted else []
    found: list[Callable[[Any], Tensor]] = []
    if value.ndim == 3 or isinstance(part, nn.Embedding):
        if shape == (batch, time):
            found.append(lambda v: v.double())
        if shape == (time, batch):
            found.append(lambda v: v.transpose(0, 1).double())
        if value.ndim == 3 and shape == (1, batch):
            found.append(lambda v: v[0].double())
        if value.ndim == 3 and shape == (batch, 1):
            found.append(lambda v: v[:, 0].double())
    elif value.ndim == 2:
        if shape[0] == batch:
            found.append(lambda v: v.double())
        if shape[0] == batch * time:
            found.append(lambda v: v.reshape(batch, time, -1).double())
            found.append(lambda v: v.reshape(time, batch, -1).transpose(0, 1).double())
    return found


def _copy(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, PackedSequence):
        return value.cpu()
    if isinstance(value, tuple):
        return tuple(_copy(item) for item in value)
    return value


def _check_calls(calls: list[Call], parts: Mapping[str, nn.Module]) -> None:
    for name, part in parts.items():
        if type(part) in ACTIVATION_PARTS:
            continue
        count = sum(call.part is part for call in calls)
        if count != 1:
            remedy = "remove it from the module" if count == 0 else "its weights would have to be there several times"
            raise ModelError(
                f"{name or type(part).__name__} ({type(part).__name__}) is called {count} times by `forward`, it needs "
                f"one call; {remedy}"
            )


class _Reader:
    """Walks along the calls; `have` is what the last one gave, in canonical form."""

    def __init__(self, x: Tensor, own: Mapping[str, Tensor], eps: float, wanted: str | None) -> None:
        self.batch, self.time = x.shape[:2]
        self.have = x.double()
        self.own, self.eps, self.wanted = own, eps, wanted
        self.words: list[str] = []
        self.readout: str | None = None
        self.finals: Tensor | None = None
        self.stacked = self.pooled = False
        self.directions = 1
        self.nonnegative = False  # whether the last value cannot be negative, for whatever input
        self.dense = self.curved = False  # what stands behind the recurrence so far
        self.where = "the input"

    def read(self, calls: list[Call], output: Any) -> Reading:
        for k, call in enumerate(calls):
            here = f"between {self.where} and {call.word!r}"
            last = isinstance(call.part, RECURRENT) and not any(isinstance(c.part, RECURRENT) for c in calls[k + 1 :])
            if isinstance(call.part, RECURRENT):
                # Nothing can stand between two recurrent layers: the normal form has no place for it.
                functions = {"none": FUNCTIONS["none"]} if self.stacked else FUNCTIONS
                self.gap(here, call.value, call.part, {"every": self.have}, functions)
                self.recurrent(call, last)
            elif isinstance(call.part, nn.Embedding):
                self.gap(here, call.value, call.part, {"every": self.have}, {"none": FUNCTIONS["none"]})
                self.words.append(f"{call.word}:embedding")
                layout = layouts(call.output, self.batch, self.time)[0]
                self.have = layout(call.output)
            else:
                layout = self.gap(here, call.value, call.part, self.alternatives(), FUNCTIONS)
                self.have = layout(call.output)
                if isinstance(call.part, nn.Linear):
                    self.words.append(call.word + (":linear" if "embed" in call.word.lower() else ""))
                    self.dense |= self.readout is not None
                    self.nonnegative = False
                else:
                    self.words.append(ACTIVATION_PARTS[type(call.part)])
                    self.nonnegative = self.words[-1] in NONNEGATIVE
                    self.curved |= self.readout is not None
            self.where = repr(call.word)
        before = len(self.words)
        self.ending = "none"
        self.gap(f"behind {self.where}", output, None, self.alternatives(), ENDINGS, ending=True)
        assert len(self.words) == before
        readout = self.readout or "final"
        if readout == "last_frame" and self.directions == 1 and self.wanted is None:
            readout = "final"  # the same, and the name that a state dict's reading has
        return Reading(" ".join(self.words), readout, self.ending)

    def alternatives(self) -> dict[str, Tensor]:
        """What may be read of the last value: frames may be pooled now or, where it comes to the same, later."""
        if self.readout is None or self.pooled:
            return {"every": self.have}
        found: dict[str, Tensor] = {} if self.finals is None else {"final": self.finals}
        for name, pool in POOLS.items():
            # A mean can be taken in front of linear layers only, a maximum in front of monotone activations only.
            if not (name == "mean" and self.curved) and not (name == "max" and self.dense):
                found[name] = pool(self.have)
        same = ("final", "last_frame") if self.directions == 1 else ()
        kept = {"every", self.wanted, *(same if self.wanted in same else ())}
        return found if self.wanted is None else {name: value for name, value in found.items() if name in kept}

    def gap(
        self,
        here: str,
        value: Any,
        part: nn.Module | None,
        alternatives: Mapping[str, Tensor],
        functions: Mapping[str, Callable[[Tensor], Tensor]],
        ending: bool = False,
    ) -> Callable[[Any], Tensor]:
        """Find what stands between the last value and the next; note it, and give the next one's layout."""
        trials: list[tuple[float, int, str, str, Callable[[Any], Tensor]]] = []
        ways = layouts(value, self.batch, self.time, part)
        for layout in ways:
            target = layout(value)
            for readout, source in alternatives.items():
                for kind, function in functions.items():
                    if source.shape == target.shape:
                        difference = (function(source) - target).abs().max().item()
                        difference = math.inf if math.isnan(difference) else difference
                        trials.append((difference, len(trials), readout, kind, layout))
        if not trials:
            shape = tuple(value.shape) if isinstance(value, Tensor) else f"of a {type(value).__name__}"
            tried = ", ".join(f"{name} {tuple(source.shape)}" for name, source in alternatives.items())
            axes = f", read with batch_first={part.batch_first}," if isinstance(part, RECURRENT) else ""
            raise TraceError(f"{here} the shape {shape}{axes} does not fit what is there: {tried}")
        trials.sort(key=lambda trial: trial[:2])
        difference, _, readout, kind, layout = trials[0]
        allowed = GAP_ROUNDINGS * self.eps * max(self.have.abs().max().item(), layout(value).abs().max().item())
        if not difference <= allowed:
            tried = ", ".join(f"{_trial(r, k, alternatives)} by {d:.3g}" for d, _, r, k, _ in trials[:SHOWN])
            raise TraceError(
                f"{here} `forward` does what is not understood: tried, nearest first, and differing: {tried} (rounding "
                f"explains {allowed:.3g})"
            )
        agreeing = [(readout, kind)]
        for distance, _, r, k, _ in trials:
            if distance <= allowed and not any(self.same((r, k), one) for one in agreeing):
                agreeing.append((r, k))
        if len(agreeing) > 1:
            either = " and ".join(_trial(r, k, alternatives) for r, k in agreeing[:SHOWN])
            raise TraceError(
                f"{here} {either} cannot be told apart on the inputs tried; give `structure` and `readout`"
            )
        if self.readout is not None and not self.pooled:
            self.readout = readout
            self.pooled = readout != "every"
        self.finals = None
        if ending:
            self.ending = kind
        elif kind != "none":
            self.words.append(kind)
            self.nonnegative = kind in NONNEGATIVE
            self.curved |= self.readout is not None
        return layout

    def same(self, one: tuple[str, str], other: tuple[str, str]) -> bool:
        """Whether two readouts with functions behind them are the same for every input."""
        readouts, kinds = {one[0], other[0]}, {one[1], other[1]}
        ends = readouts == {"final", "last_frame"} and self.directions == 1
        return (len(readouts) == 1 or ends) and (len(kinds) == 1 or (kinds == {"none", "relu"} and self.nonnegative))

    def recurrent(self, call: Call, last: bool) -> None:
        part = call.part
        assert isinstance(part, RECURRENT)
        self.stacked = True
        self.words += self.start_words(call, part)
        self.words.append(call.word + (f":rnn_{part.nonlinearity}" if isinstance(part, nn.RNN) else ""))
        outputs, states = call.output
        ways = layouts(outputs, self.batch, self.time, part)
        if not ways:
            raise TraceError(f"{call.word!r} gives values of another shape than (batch, time, features)")
        self.have = ways[0](outputs)
        self.nonnegative = isinstance(part, nn.RNN) and part.nonlinearity in NONNEGATIVE
        if last:
            self.readout = "every"
            self.directions = 2 if part.bidirectional else 1
            hidden = (states[0] if isinstance(part, nn.LSTM) else states)[-self.directions :]
            self.finals = torch.cat(list(hidden.double()), dim=1)

    def start_words(self, call: Call, part: nn.Module) -> list[str]:
        """The words for start states other than zero, which have to be parameters or buffers of the module."""
        words = []
        for role, state in zip(("initial_hidden", "initial_cell"), call.states, strict=False):
            if not bool(state.any()):
                continue
            name = next((name for name, value in self.own.items() if _starts_all(value, state)), None)
            if name is None:
                what = role.replace("_", " ")
                raise ModelError(
                    f"{call.word} ({type(part).__name__}) starts from another {what} state than zero, which is no "
                    "parameter or buffer of shape (layers * directions, 1, size) of the module; store it as one"
                )
            words.append(f"{name}:{role}")
        return words


def _trial(readout: str, kind: str, alternatives: Mapping[str, Tensor]) -> str:
    return kind if len(alternatives) == 1 else readout if kind == "none" else f"{readout} and {kind}"


def _starts_all(value: Tensor, state: Tensor) -> bool:
    """Whether each sequence of the batch starts from these values; state (layers * directions, batch, size)."""
    count, _, size = state.shape
    shape = tuple(n for n in value.shape if n != 1)
    if shape != tuple(n for n in (count, size) if n != 1):
        return False
    stored = value.detach().cpu().reshape(count, 1, size).to(state.dtype)
    return bool((stored == state).all())
