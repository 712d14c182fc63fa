"""Hypothesis strategies that draw small random networks of every kind that the normal form holds.

The kind is drawn value by value, so that failing examples shrink to the plainest network that still fails; the numbers
come from one drawn seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from gpu_engine.model import (
    ACTIVATIONS,
    GATES,
    READOUTS,
    Activation,
    Block,
    Dense,
    Direction,
    Layer,
    RecurrentClassifier,
)

CELLS = tuple(GATES)
DIRECTIONS = ("forward", "both", "reverse")

SCALES = (0.5, 0.1, 1.0, 3.0, 30.0)
"""Standard deviations of the weights, from nearly linear to saturated."""
RELU_SCALE = 3.0
"""The largest for ReLU cells: they never saturate, and 30 would leave float32 within a few frames."""


class _Numbers:
    """Normal numbers from one seed; some exact zeros, which every rule has to survive."""

    def __init__(self, seed: int, scale: float, zeros: bool) -> None:
        self.rng, self.scale, self.zeros = np.random.default_rng(seed), scale, zeros

    def normal(self, *shape: int, scale: float | None = None) -> Tensor:
        values = self.rng.normal(0, self.scale if scale is None else scale, shape)
        if self.zeros:
            values *= self.rng.random(shape) > 0.25
        return torch.tensor(values)

    def bias(self, size: int, biased: bool, scale: float | None = None) -> Tensor:
        return self.normal(size, scale=scale) if biased else torch.zeros(size, dtype=torch.float64)


@st.composite
def networks(
    draw,
    max_layers: int = 2,
    cells: Sequence[str] | None = None,
    readouts: Sequence[str] | None = None,
    directions: Sequence[str] = DIRECTIONS,
    projections: bool = True,
    initial_states: bool = True,
    stacks: bool = True,
    embeddings: bool = False,
    max_size: int = 6,
    scales: Sequence[float] = SCALES,
    mixed: bool = True,
) -> RecurrentClassifier:
    """A random classifier with 1 to `max_layers` recurrent layers and sizes 1 to `max_size` (2 classes and more).

    cells, readouts, directions: what may occur, None for everything; mixed: layers may differ in cell and direction.
    projections (of LSTMs), initial_states, stacks (Dense and activations, in front and behind), embeddings: may they
    occur?
    """
    cell_kinds = st.sampled_from(tuple(CELLS if cells is None else cells))
    ways = st.sampled_from(tuple(directions))
    size = st.integers(1, max_size)
    inputs, classes = draw(size), draw(st.integers(2, max(2, max_size)))
    count = draw(st.integers(1, max_layers))
    own = mixed and count > 1 and draw(st.booleans())
    kind, way = draw(cell_kinds), draw(ways)
    plan = [(draw(cell_kinds), draw(ways)) if own else (kind, way) for _ in range(count)]
    scale = draw(st.sampled_from(tuple(scales)))
    if any(cell == "rnn_relu" for cell, _ in plan):
        scale = min(scale, RELU_SCALE)
    numbers = _Numbers(draw(st.integers(0, 2**32 - 1)), scale, draw(st.booleans()))
    biased = draw(st.booleans())

    before, below = draw(_blocks(numbers, inputs, max_size, biased)) if stacks else ((), inputs)
    layers: list[Layer] = []
    for cell, way in plan:
        hidden = draw(size)
        projected = projections and cell == "lstm" and hidden > 1 and draw(st.booleans())
        output = draw(st.integers(1, hidden - 1)) if projected else hidden
        started = initial_states and draw(st.booleans())
        reverses = {"forward": (False,), "both": (False, True), "reverse": (True,)}[way]
        layers.append(
            tuple(_direction(numbers, cell, below, hidden, output, biased, projected, started, r) for r in reverses)
        )
        below = output * len(reverses)
    after, below = draw(_blocks(numbers, below, max_size, biased)) if stacks else ((), below)
    head = Dense(numbers.normal(classes, below, scale=1.0), numbers.bias(classes, biased, scale=0.3))
    words = draw(st.integers(1, 9)) if embeddings and draw(st.booleans()) else 0
    return RecurrentClassifier(
        layers=tuple(layers),
        after=(*after, head),
        before=before,
        readout=draw(st.sampled_from(tuple(READOUTS if readouts is None else readouts))),
        embedding=numbers.normal(words, inputs, scale=1.0) if words else None,
    )


@st.composite
def _blocks(draw, numbers: _Numbers, below: int, max_size: int, biased: bool) -> tuple[tuple[Block, ...], int]:
    """Up to three blocks in any order, and the size that they give."""
    blocks: list[Block] = []
    for kind in draw(st.lists(st.sampled_from(("dense", *ACTIVATIONS)), max_size=3)):
        if kind == "dense":
            size = draw(st.integers(1, max_size))
            blocks.append(Dense(numbers.normal(size, below, scale=1.0), numbers.bias(size, biased, scale=0.3)))
            below = size
        else:
            blocks.append(Activation(kind))
    return tuple(blocks), below


def _direction(
    numbers: _Numbers,
    cell: str,
    below: int,
    hidden: int,
    output: int,
    biased: bool,
    projected: bool,
    started: bool,
    reverse: bool,
) -> Direction:
    rows = GATES[cell] * hidden
    return Direction(
        cell,
        numbers.normal(rows, below),
        numbers.normal(rows, output),
        numbers.bias(rows, biased),
        numbers.bias(rows, biased),
        weight_hr=numbers.normal(output, hidden) if projected else None,
        initial_hidden=numbers.normal(output, scale=1.0) if started else None,
        initial_cell=numbers.normal(hidden, scale=1.0) if started and cell == "lstm" else None,
        reverse=reverse,
    )


@st.composite
def frames_of(draw, model: RecurrentClassifier, max_batch: int = 3, max_time: int = 4) -> Tensor:
    """Random sequences for the model, (batch, time, input) in float64; tokens are looked up by whoever wants them."""
    batch, time = draw(st.integers(1, max_batch)), draw(st.integers(1, max_time))
    scale = draw(st.sampled_from((1.0, 0.1, 10.0)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return torch.tensor(rng.normal(0, scale, (batch, time, model.input_size)))
