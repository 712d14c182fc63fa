"""The public strategies in the reference's own types, at the size that exact arithmetic takes; and single directions.

Networks come from the same recipes as the engine's (`ClassifierRecipe.reference`), input sets from the public ones.
`recurrent` builds one direction of a network that a test puts together by hand.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st

from gpu_engine import inputs
from refcert import strategies
from refcert.reference.input_sets import BoxSet, FrameBalls, SequenceBall, Substitutions
from refcert.reference.networks import BLOCKS, READOUTS, Recurrent
from refcert.strategies import intervals, points_inside
from tests.reference.engine_side import engine_set

__all__ = ["CELLS", "CLIP", "KINDS", "input_sets", "intervals", "networks", "points_of", "recurrent", "seeds"]

CELLS = tuple(BLOCKS)
NORMS = (math.inf, 2.0, 1.0, 3.0)
RADII = (0.1, 0.01, 0.5, 0.0)
CLIP = (-1.0, 1.0)
KINDS = {
    "balls": {"kinds": ("frames",), "clips": (None,)},
    "clipped": {"kinds": ("frames",), "clips": (CLIP,)},
    "sequence": {"kinds": ("sequence",), "clips": (None, CLIP), "fixed_frames": False},
    "box": {"kinds": ("boxes",)},
    "substitutions": {"kinds": ("substitutions",)},
}
"""What the reference has, as options of the public strategy."""

seeds = st.integers(0, 2**32 - 1)


def recurrent(rng, cell, size, hidden, scale=1.0, reverse=False, output=None, started=False):
    """One direction with weights at random; output: the size of a projection."""
    rows, out = BLOCKS[cell] * hidden, hidden if output is None else output
    return Recurrent(
        cell,
        rng.normal(0, scale, (rows, size)),
        rng.normal(0, scale, (rows, out)),
        rng.normal(0, scale, rows),
        rng.normal(0, scale, rows),
        None if output is None else rng.normal(0, scale, (out, hidden)),
        rng.normal(0, 1, out) if started else None,
        rng.normal(0, 1, hidden) if started and cell == "lstm" else None,
        reverse,
    )


def networks(cells=CELLS, readouts=READOUTS, max_size=3, stacks=True):
    """(network, input size): everything that the public networks can have but embeddings."""
    drawn = strategies.classifiers(
        cells=cells,
        readouts=readouts,
        max_size=max_size,
        max_classes=2,
        stacks=stacks,
        max_blocks=2,
        scales=(1.0, 0.5, 0.1, 2.0),
    )
    return drawn.map(lambda model: (model.recipe.reference(), model.input_size))


def input_sets(time, size, kinds=tuple(KINDS)):
    """One input set of any kind of the reference; radii from zero to large."""
    options = {"norms": NORMS, "radii": RADII, "batch": 1, "time": time, "size": size}
    drawn = [strategies.input_sets(**options, **KINDS[kind]) for kind in kinds]
    return st.one_of(drawn).map(reference_set)


def reference_set(region):
    """The input set of a batch of one in the reference's type."""
    if isinstance(region, inputs.Boxes):
        return BoxSet(region.lower[0].numpy(), region.upper[0].numpy())
    center = region.center[0].numpy()
    if isinstance(region, inputs.Substitutions):
        allowed = [words[there].numpy() for words, there in zip(region.candidates[0], region.allowed[0], strict=True)]
        return Substitutions([np.vstack([frame, *words]) for frame, words in zip(center, allowed, strict=True)])
    if isinstance(region, inputs.SequenceBall):
        assert region.moves is None
        return SequenceBall(center, float(region.radius[0]), region.p, region.clip)
    return FrameBalls(center, region.radius[0].numpy(), region.p, region.clip)


def points_of(input_set, rng, count):
    """Points of the set (count, time, input), many of them on its rim."""
    return points_inside(engine_set(input_set), count, int(rng.integers(2**32)))[:, 0].numpy()
