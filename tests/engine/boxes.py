"""Hypothesis strategies for the engine's tests: awkward boxes, slopes and small LSTMs."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st

from gpu_engine.bounds import Box
from gpu_engine.model import Dense, Direction, RecurrentClassifier

WIDTHS = (0.0, 1e-12, 1e-9, 1e-3, 0.1, 1.0, 5.0, 20.0, 200.0, 2000.0)
CENTRES = (0.0, 0.1, 1.0, 4.0, 10.0, 40.0, 1000.0)


@st.composite
def intervals(draw):
    """Point, thin, wide, huge, saturated, sign-crossing, or touching zero."""
    centre = draw(st.sampled_from(CENTRES)) * draw(st.floats(-1, 1))
    width = draw(st.sampled_from(WIDTHS)) * draw(st.floats(0, 1))
    if draw(st.integers(0, 9)) == 0:
        return tuple(sorted((0.0, centre)))
    low = centre - width / 2
    return low, max(low, low + width)


@st.composite
def boxes(draw, size=40):
    """A batch of `size` boxes (v, z). One seed decides most of them, so that shrinking stays quick."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    drawn = [draw(intervals()) for _ in range(4)]
    pick = [[drawn[0], drawn[1]], [drawn[2], drawn[3]]]
    columns = []
    for axis in range(2):
        centre = rng.choice(CENTRES, size) * rng.uniform(-1, 1, size)
        width = rng.choice(WIDTHS, size) * rng.uniform(0, 1, size)
        low = centre - width / 2
        high = np.maximum(low, low + width)
        for k in range(2):
            low[k], high[k] = pick[axis][k]
        columns.append(Box(torch.tensor(low), torch.tensor(high)))
    return columns[0], columns[1]


def points_of(box: Box, share: torch.Tensor) -> torch.Tensor:
    """Points of the box at these shares in [0, 1], never outside by rounding."""
    point = box.lower + share * (box.upper - box.lower)
    return torch.minimum(torch.maximum(point, box.lower), box.upper)


@st.composite
def classifiers(draw, max_layers=2):
    """A random plain LSTM classifier: sizes 1 to 8, weights from small to saturating (all kinds: `networks`)."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    inputs, classes = draw(st.integers(1, 8)), draw(st.integers(2, 5))
    scale = draw(st.sampled_from((0.1, 0.5, 1.0, 3.0, 30.0)))
    layers, below = [], inputs
    for _ in range(draw(st.integers(1, max_layers))):
        hidden = draw(st.integers(1, 8))
        shapes = ((4 * hidden, below), (4 * hidden, hidden), (4 * hidden,), (4 * hidden,))
        layers.append((Direction("lstm", *(torch.tensor(rng.normal(0, scale, shape)) for shape in shapes)),))
        below = hidden
    head = Dense(torch.tensor(rng.normal(0, 1.0, (classes, below))), torch.tensor(rng.normal(0, 0.3, classes)))
    return RecurrentClassifier(tuple(layers), (head,))
