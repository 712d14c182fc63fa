"""Points for scores: inside their ball, spread over all of it, the same for the same seed."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.attacks.family import BallFamily
from gpu_engine.scores.draws import Draws

NORMS = (1.0, 1.3, 2.0, 3.0, 50.0, math.inf)


def family(p, *, clip=None, shared=False, weight=None, time=3, size=4, seed=0) -> BallFamily:
    center = torch.rand(1, time, size, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    center[0, 0, 0] = 0.0  # at the border of a clip range
    weight = torch.ones(1, time, dtype=torch.float64) if weight is None else torch.tensor([weight]).to(torch.float64)
    return BallFamily(center, weight, p, clip, shared)


@given(
    st.sampled_from(NORMS),
    st.sampled_from([None, (0.0, 1.0)]),
    st.booleans(),
    st.sampled_from([(1, 1, 1), (0, 1, 0), (1, 0, 1)]),
    st.sampled_from([0.0, 1e-12, 1e-4, 0.3, 50.0]),
    st.integers(0, 100),
)
def test_points_lie_in_the_ball(p, clip, shared, weight, radius, seed):
    """As `BallFamily.size` measures them, rounded up: clip and frames that stay included."""
    balls = family(p, clip=clip, shared=shared, weight=weight, seed=seed)
    x = Draws(balls, radius, seed).batch(20)
    sizes = balls.select(torch.zeros(20, dtype=torch.int64)).size(x)
    assert bool((sizes <= radius).all())


class _Longest:
    """Draws the noise of a real generator, and for every share of a length the whole of it."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def random(self, shape: tuple[int, ...]) -> np.ndarray:
        return np.ones(shape)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rng, name)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("radius", [1e-14, 1e-9, 1e-4, 0.3, 50.0])
def test_longest_offsets_lie_in_the_ball(p, shared, radius):
    """Rounding does not lead out, also around large values."""
    plain = family(p, shared=shared, size=30)
    for scale in (1.0, 1e4):
        balls = BallFamily(plain.center * scale, plain.weight, p, None, shared)
        draws = Draws(balls, radius, 0)
        draws.rng = cast("np.random.Generator", _Longest())
        sizes = balls.select(torch.zeros(50, dtype=torch.int64)).size(draws.batch(50))
        assert bool((sizes <= radius).all())


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("shared", [False, True])
def test_points_are_uniform(p, shared):
    """The share of points within half the radius is 2^-n, n the coordinates of one ball; the mean is the center."""
    balls = family(p, shared=shared, time=2, size=1)
    x = Draws(balls, 0.5, seed=1).batch(20_000)
    offset = x - balls.center
    n = 2 if shared else 1
    norm = torch.linalg.vector_norm(offset.flatten(1) if shared else offset, p, dim=-1)
    share = float((norm < 0.25).double().mean())
    assert share == pytest.approx(2.0**-n, abs=0.02)
    assert float(offset.mean().abs()) < 0.01
    assert float(norm.max()) > 0.49


def test_weights_scale_the_balls():
    balls = family(2.0, weight=(1.0, 0.5, 0.0))
    reach = (Draws(balls, 0.5, seed=0).batch(500) - balls.center).norm(dim=2).amax(0)
    assert reach.tolist() == pytest.approx([0.5, 0.25, 0.0], rel=0.1)


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_clip_leaves_no_pile_at_its_ends(p):
    """A center at the border of the range: points are inside the range, not all on its border."""
    balls = family(p, clip=(0.0, 1.0))
    x = Draws(balls, 0.2, seed=0).batch(1000)[:, 0, 0]
    assert float((x == 0).double().mean()) < 0.05
    assert float(x.max()) > 0.01


@pytest.mark.parametrize("p", NORMS)
def test_same_seed_same_points(p):
    """Batch after batch; another seed, other points."""
    one, same, other = (Draws(family(p), 0.3, seed) for seed in (4, 4, 5))
    first, second = one.batch(3), one.batch(3)
    assert torch.equal(first, same.batch(3))
    assert torch.equal(second, same.batch(3))
    assert not torch.equal(first, second)
    assert not torch.equal(first, other.batch(3))
