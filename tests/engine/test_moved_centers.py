"""A center that float32 cannot hold moves; the ball grows by as much, so that no point of the real ball is lost."""

import math

import numpy as np
import pytest
import torch

from gpu_engine.inputs import FrameBalls, SequenceBall
from gpu_engine.propagation.concretize import prepare
from gpu_engine.propagation.input_sets.norms import dual_norm

RADII = (0.0, 1e-9, 1e-6, 0.1)


@pytest.mark.parametrize("radius", RADII[1:])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("kind", ["frames", "sequence"])
def test_the_bound_holds_for_the_real_center(kind, p, radius):
    """Rows that point along what the center lost: there the real ball reaches furthest beyond the moved one."""
    rng = np.random.default_rng(0)
    center = torch.tensor(rng.uniform(0.1, 1, (20, 1, 5)))
    moved = center.to(torch.float32).double()
    lost = center - moved
    assert bool((lost != 0).all())
    if kind == "frames":
        inputs = FrameBalls(center, torch.full((20, 1), radius, dtype=torch.float64), p)
    else:
        inputs = SequenceBall(center, torch.full((20,), radius, dtype=torch.float64), p)
    prepared = prepare(inputs, torch.float32)
    assert torch.equal(prepared.center.double(), moved)
    for rows in (-lost.sign(), lost.sign(), -lost / lost.abs().amax()):
        rows = rows.float()
        found = prepared.concretize_all({0: rows}).double()
        exact = (rows.double() * lost).sum(-1) - radius * dual_norm(rows.double().abs(), p)
        # the caller charges the rounding of the sum itself
        charged = prepared.summands * 2.0**-24 * found.abs()
        assert bool((found - charged <= exact).all())
