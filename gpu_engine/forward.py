"""The plain forward pass of the normal form in float64: what bounds are about, and what samples are classified by.

Source: the equations in PyTorch's documentation of nn.RNN, nn.LSTM and nn.GRU. Shapes: x (batch, time, input).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gpu_engine.errors import SpecificationError

if TYPE_CHECKING:
    from gpu_engine.model import Block, Direction, RecurrentClassifier

_FUNCTIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}


def logits(model: RecurrentClassifier, x: Tensor) -> Tensor:
    """x (batch, time, input) -> (batch, classes), or (batch, time, classes) for the readout `every`."""
    hidden = _blocks(model.before, x.to(torch.float64))
    finals: list[Tensor] = []
    for layer in model.layers:
        runs = [_direction(direction, hidden) for direction in layer]
        hidden = torch.cat(runs, dim=2)
        finals = [run[:, 0 if direction.reverse else -1] for direction, run in zip(layer, runs, strict=True)]
    if model.readout == "final":
        read = torch.cat(finals, dim=1)
    elif model.readout == "last_frame":
        read = hidden[:, -1]
    elif model.readout == "mean":
        read = hidden.mean(1)
    elif model.readout == "max":
        read = hidden.amax(1)
    else:
        read = hidden
    return _blocks(model.after, read)


def logits_ragged(model: RecurrentClassifier, x: Tensor, lengths: Sequence[int] | Tensor) -> Tensor:
    """Like `logits` for sequences of different lengths: of sequence b only x[b, :lengths[b]] is read.

    x (batch, time, input), lengths (batch,) in 1..time. What lies behind a sequence's end has no influence, in either
    direction, as with PyTorch's packed sequences. For the readout `every` the answers behind the end, which do not
    exist, are NaN. Raises SpecificationError for lengths that do not fit x.
    """
    counts = [int(n) for n in lengths]
    batch, time = x.shape[:2]
    if len(counts) != batch or not all(1 <= n <= time for n in counts):
        raise SpecificationError(
            f"lengths {counts} do not fit {batch} sequences of up to {time} frames; give one length per sequence, "
            f"each in 1..{time}"
        )
    shape = (batch, time, model.classes) if model.readout == "every" else (batch, model.classes)
    result = torch.full(shape, torch.nan, dtype=torch.float64, device=x.device)
    for length in sorted(set(counts)):
        rows = torch.tensor([b for b, n in enumerate(counts) if n == length], device=x.device)
        answers = logits(model, x[rows, :length])
        if model.readout == "every":
            result[rows, :length] = answers
        else:
            result[rows] = answers
    return result


def _blocks(blocks: tuple[Block, ...], value: Tensor) -> Tensor:
    for block in blocks:
        kind = getattr(block, "kind", None)
        if kind is not None:
            value = _FUNCTIONS[kind](value)
        else:
            value = value @ block.weight.to(value.device).T + block.bias.to(value.device)  # type: ignore[union-attr]
    return value


def _direction(direction: Direction, x: Tensor) -> Tensor:
    """Outputs of one direction at every frame, (batch, time, output)."""
    device, batch = x.device, x.shape[0]

    def start(value: Tensor | None, size: int) -> Tensor:
        first = torch.zeros(size, dtype=torch.float64) if value is None else value
        return first.to(device).expand(batch, size)

    state = start(direction.initial_hidden, direction.output_size), start(direction.initial_cell, direction.hidden_size)
    frames = range(x.shape[1] - 1, -1, -1) if direction.reverse else range(x.shape[1])
    outputs: dict[int, Tensor] = {}
    for t in frames:
        state = _step(direction, x[:, t], *state)
        outputs[t] = state[0]
    return torch.stack([outputs[t] for t in range(x.shape[1])], dim=1)


def _step(direction: Direction, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
    """(h, c) after one frame; c is passed through by cells that have none."""
    device = x.device
    weight_hh, bias_hh = direction.weight_hh.to(device), direction.bias_hh.to(device)
    from_x = x @ direction.weight_ih.to(device).T + direction.bias_ih.to(device)
    if direction.cell == "lstm":
        i, f, g, o = (from_x + h @ weight_hh.T + bias_hh).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        return (h if direction.weight_hr is None else h @ direction.weight_hr.to(device).T), c
    if direction.cell.startswith("gru"):
        size = direction.hidden_size
        x_r, x_z, x_n = from_x.chunk(3, dim=1)
        h_r, h_z = (h @ weight_hh[: 2 * size].T + bias_hh[: 2 * size]).chunk(2, dim=1)
        r, z = torch.sigmoid(x_r + h_r), torch.sigmoid(x_z + h_z)
        weight_n, bias_n = weight_hh[2 * size :], bias_hh[2 * size :]
        if direction.cell == "gru":
            n = torch.tanh(x_n + r * (h @ weight_n.T + bias_n))
        else:
            n = torch.tanh(x_n + (r * h) @ weight_n.T + bias_n)
        return (1 - z) * n + z * h, c
    function = _FUNCTIONS[direction.cell.removeprefix("rnn_")]
    return function(from_x + h @ weight_hh.T + bias_hh), c
