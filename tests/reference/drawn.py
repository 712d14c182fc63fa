"""Hypothesis strategies for these tests: tiny networks of every kind, input sets, and points of these sets."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from refcert.reference.input_sets import BoxSet, FrameBalls, SequenceBall, Substitutions
from refcert.reference.intervals import Interval
from refcert.reference.networks import ACTIVATIONS, BLOCKS, READOUTS, Dense, Network, Recurrent

CELLS = tuple(BLOCKS)
KINDS = ("balls", "clipped", "sequence", "box", "substitutions")
NORMS = (math.inf, 2.0, 1.0, 3.0)
CLIP = (-1.0, 1.0)

seeds = st.integers(0, 2**32 - 1)


def recurrent(rng, cell, inputs, hidden, scale=1.0, reverse=False, output=None, started=False):
    """One direction with weights at random; output: the size of a projection."""
    rows, out = BLOCKS[cell] * hidden, hidden if output is None else output
    return Recurrent(
        cell,
        rng.normal(0, scale, (rows, inputs)),
        rng.normal(0, scale, (rows, out)),
        rng.normal(0, scale, rows),
        rng.normal(0, scale, rows),
        None if output is None else rng.normal(0, scale, (out, hidden)),
        rng.normal(0, 1, out) if started else None,
        rng.normal(0, 1, hidden) if started and cell == "lstm" else None,
        reverse,
    )


@st.composite
def networks(draw, cells=CELLS, readouts=READOUTS, max_size=3, stacks=True):
    """(network, input size): 1 or 2 layers, 1 or 2 directions, projections, start states, stacks on both sides."""
    rng = np.random.default_rng(draw(seeds))
    scale = draw(st.sampled_from((0.5, 1.0, 0.1, 2.0)))
    inputs = below = int(rng.integers(1, max_size + 1))
    before, below = _stack(rng, below, max_size) if stacks and draw(st.booleans()) else ((), below)
    layers = []
    for _ in range(draw(st.sampled_from((1, 1, 2)))):
        cell = draw(st.sampled_from(cells))
        hidden = int(rng.integers(1, max_size + 1))
        output = 1 if cell == "lstm" and hidden > 1 and draw(st.booleans()) else None
        ways = draw(st.sampled_from(((False,), (False, True), (True,))))
        started = draw(st.booleans())
        layer = tuple(recurrent(rng, cell, below, hidden, scale, way, output, started) for way in ways)
        layers.append(layer)
        below = sum(part.output for part in layer)
    after, below = _stack(rng, below, max_size) if stacks and draw(st.booleans()) else ((), below)
    head = Dense(rng.normal(0, 1, (2, below)), rng.normal(0, 0.3, 2))
    return Network(tuple(layers), (*after, head), before, draw(st.sampled_from(readouts))), inputs


def _stack(rng, below, max_size):
    size = int(rng.integers(1, max_size + 1))
    dense = Dense(rng.normal(0, 1, (size, below)), rng.normal(0, 0.3, size))
    return (dense, str(rng.choice(ACTIVATIONS))), size


@st.composite
def input_sets(draw, time, inputs, kinds=KINDS):
    """One input set of any kind; radii from zero to large."""
    rng = np.random.default_rng(draw(seeds))
    kind = draw(st.sampled_from(kinds))
    center = rng.uniform(-1, 1, (time, inputs))
    radius = draw(st.sampled_from((0.1, 0.01, 0.5, 0.0)))
    p = draw(st.sampled_from(NORMS))
    if kind == "box":
        return BoxSet(center - radius * rng.random(center.shape), center + radius)
    if kind == "substitutions":
        choices = [center[t] + rng.normal(0, radius, (1 + t % 3, inputs)) for t in range(time)]
        return Substitutions(choices)
    if kind == "sequence":
        return SequenceBall(center, radius, p)
    radii = radius * rng.integers(0, 3, time)
    return FrameBalls(center, radii, p, CLIP if kind == "clipped" else None)


def points_of(input_set, rng, count):
    """Points of the set (count, time, input), many of them on its rim."""
    time, inputs = input_set.shape
    if isinstance(input_set, BoxSet):
        share = rng.integers(0, 2, (count, time, inputs)) * rng.choice((0.5, 1.0), (count, 1, 1))
        # never outside by rounding
        return np.clip(input_set.lower + share * (input_set.upper - input_set.lower), input_set.lower, input_set.upper)
    if isinstance(input_set, Substitutions):
        return np.array([[choice[rng.integers(len(choice))] for choice in input_set.candidates] for _ in range(count)])
    together = isinstance(input_set, SequenceBall)
    step = rng.choice((-1.0, 0.0, 1.0), (count, time, inputs)) * rng.random((count, time, inputs)) ** rng.choice((0, 1))
    length = np.linalg.norm(
        step.reshape(count, -1) if together else step, ord=input_set.p, axis=1 if together else 2
    ).reshape((count, 1, 1) if together else (count, time, 1))
    radius = input_set.radius if together else input_set.radius[:, None]
    # a hair inside, so that rounding leaves no point outside
    moved = input_set.center + step / np.maximum(length, 1e-300) * radius * (1 - 1e-12)
    return moved if input_set.clip is None else np.clip(moved, *input_set.clip)


@st.composite
def intervals(draw):
    """Point, thin, wide, huge, saturated, sign-crossing, or touching zero."""
    # + 0.0 turns -0.0 into 0.0
    centre = draw(st.sampled_from((0.0, 0.1, 1.0, 4.0, 10.0, 40.0))) * draw(st.floats(-1, 1)) + 0.0
    width = draw(st.sampled_from((0.0, 1e-9, 1e-3, 0.1, 1.0, 5.0, 20.0, 200.0))) * draw(st.floats(0, 1))
    if draw(st.integers(0, 9)) == 0:
        return Interval(*sorted((0.0, centre)))
    low = centre - width / 2
    return Interval(low, max(low, low + width))
