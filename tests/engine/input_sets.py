"""The public input sets, two samples at a time; rows for them; and points in exact rational arithmetic, bad for a row.

What is drawn, and which points are members, is `refcert.strategies`'. Only here: mixtures of members in Fractions,
which no float holds and no perturbation therefore is, for laws about what holds on a whole convex set.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from hypothesis import strategies as st

from gpu_engine.inputs import Boxes, InputSet, Substitutions
from refcert import strategies
from refcert.strategies import SET_KINDS as KINDS
from refcert.strategies import extremes, last_inside
from refcert.strategies.membership import exactly
from refcert.strategies.membership import holds as contains

__all__ = ["BATCH", "KINDS", "NORMS", "contains", "exactly", "input_sets", "members", "rows_for"]

NORMS = tuple(sorted(strategies.NORMS))
BATCH = 2

input_sets = partial(strategies.input_sets, batch=BATCH, time=(1, 3))


@st.composite
def rows_for(draw, inputs: InputSet, dtype=torch.float64, spec=3):
    """Rows (BATCH, time, spec, input) of one scale, some of them exactly zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (BATCH, inputs.time, spec, inputs.center.shape[2])
    rows = rng.normal(0, draw(st.sampled_from([1e-8, 1.0, 1e6])), shape)
    rows[rng.random(shape) < 0.2] = 0.0
    return torch.tensor(rows).to(dtype)


def members(inputs: InputSet, sample: int, row: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Points (time, input) of Fractions, among them ones that are bad for the row (time, input).

    The center, the row's own corner and others, the last floats before the border, and a mixture of two points: of
    substitutions' hull, too, on which bounds hold.
    """
    one = inputs.select(slice(sample, sample + 1))
    directions = np.stack([row, rng.normal(0, 1, row.shape), np.sign(row)]).astype(float)
    corners = extremes(one, torch.tensor(directions)[:, None])
    found = [one.center[0], *(corner[0] for corner in corners)]
    if not isinstance(inputs, Boxes | Substitutions):
        t, i = np.unravel_index(np.abs(row).argmax(), row.shape)
        at = (0, int(t), int(i))
        found += [last_inside(one, corner, at, up=bool(row[t, i] < 0))[0] for corner in corners[:2]]
    points = [exactly(x.numpy()) for x in found]
    share = exactly(rng.random())[()]
    return [*points, share * points[1] + (1 - share) * points[2]]
