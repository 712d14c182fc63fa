"""Concretized bounds are the minimum where they say so, and what the dual norm is made of."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.propagation.concretize import prepare
from gpu_engine.propagation.input_sets.norms import cut_ball, dual_exponent, dual_norm
from refcert.strategies import NORMS
from tests.engine.convex_minimum import convex_minimum

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # cvxpy on its conic approximation of p-norms

SPEC = 3
SOLVER_ACCURACY = 1e-5  # relative, of the independent solver


def _bounds(inputs, rows: torch.Tensor) -> torch.Tensor:
    """Bounds of rows . (x - inputs.center), rows (batch, time, spec, input) -> (batch, spec)."""
    prepared = prepare(inputs, torch.float64)
    bound = prepared.concretize_all({t: rows[:, t] for t in range(rows.shape[1])})
    return bound + torch.einsum("btsi,bti->bs", rows, prepared.center - inputs.center)


def _minima(inputs, rows: torch.Tensor) -> torch.Tensor:
    batch, _, spec, _ = rows.shape
    found = [[convex_minimum(inputs, b, rows[b, :, s].numpy()) for s in range(spec)] for b in range(batch)]
    return torch.tensor(found, dtype=torch.float64)


def _question(seed: int, time: int = 2, size: int = 4):
    rng = np.random.default_rng(seed)
    center = rng.uniform(0, 1, (1, time, size))
    center = np.where(rng.random(center.shape) < 0.3, rng.integers(0, 2, center.shape), center)
    return rng, torch.tensor(center), torch.tensor(rng.normal(0, 1, (1, time, SPEC, size)))


def _sets(rng, center: torch.Tensor, p: float, clip, clip_bound: str = "exact"):
    radius = torch.tensor(rng.uniform(0.1, 0.6, center.shape[:2]))
    yield FrameBalls(center, radius, p, clip, clip_bound)
    yield SequenceBall(center, radius[:, 0] * 2, p, clip, None, clip_bound)
    moves = torch.ones(center.shape[:2], dtype=torch.bool)
    moves[:, 0] = False
    yield SequenceBall(center, radius[:, 0] * 2, p, clip, moves, clip_bound)


@pytest.mark.parametrize("p", NORMS)
@pytest.mark.parametrize("clip", [None, (0.0, 1.0)])
def test_balls_are_bounded_by_their_minimum(p, clip):
    """Sound and tight for every norm, cut by a clip range or not, per frame and over the sequence."""
    rng, center, rows = _question(17)
    for inputs in _sets(rng, center, p, clip):
        bound, true = _bounds(inputs, rows), _minima(inputs, rows)
        torch.testing.assert_close(bound, true, rtol=SOLVER_ACCURACY, atol=1e-8)


@pytest.mark.parametrize("p", NORMS)
def test_the_simple_clip_bound_is_sound_and_between(p):
    """At most the exact one, at least that of the whole ball and of the whole box."""
    _, center, rows = _question(3, time=3, size=6)
    clip = (0.0, 1.0)
    exact = [_bounds(inputs, rows) for inputs in _sets(np.random.default_rng(5), center, p, clip)]
    simple = [_bounds(inputs, rows) for inputs in _sets(np.random.default_rng(5), center, p, clip, "simple")]
    whole = [_bounds(inputs, rows) for inputs in _sets(np.random.default_rng(5), center, p, None)]
    for best, coarse, uncut in zip(exact, simple, whole, strict=True):
        assert bool((coarse <= best + 1e-12).all())
        assert bool((coarse >= uncut - 1e-12).all())
    if not math.isinf(p):
        assert any(bool((coarse < best - 1e-6).any()) for best, coarse in zip(exact, simple, strict=True))


def test_boxes_and_substitutions_are_bounded_by_their_minimum():
    rng, center, rows = _question(23)
    reach = torch.tensor(rng.uniform(0, 1, (2, *center.shape)))
    vectors = torch.tensor(rng.normal(0, 1, (1, 2, 5, 4)))
    allowed = torch.tensor(rng.random((1, 2, 5)) < 0.7)
    for inputs in (Boxes(center - reach[0], center + reach[1]), Substitutions(center, vectors, allowed)):
        torch.testing.assert_close(_bounds(inputs, rows), _minima(inputs, rows), rtol=SOLVER_ACCURACY, atol=1e-8)


@given(seed=st.integers(0, 2**32 - 1), p=st.sampled_from([1.0, 1.1, 1.5, 2.0, 3.0, 10.0]))
def test_no_other_split_of_a_cut_ball_is_better(seed, p):
    """The closed form of the multiplier against a fine search, rooms from nothing to far beyond the ball."""
    rng = np.random.default_rng(seed)
    size = torch.tensor(rng.exponential(1, 6) * rng.choice([0.0, 1.0, 1.0], 6))
    room = torch.tensor(rng.exponential(rng.choice([0.01, 1.0, 10.0]), 6) * rng.choice([0.0, 1.0, 1.0], 6))
    radius = torch.tensor(rng.choice([1e-6, 0.1, 1.0, 5.0]))
    found = float(cut_ball(size, room, radius, p))
    inside = torch.minimum(room, radius)
    weight = inside ** (p - 1)
    for mu in np.concatenate([[0.0], np.logspace(-9, 9, 300)]):
        part = torch.minimum(size, mu * weight)
        other = float(radius * dual_norm(part, p) + ((size - part) * inside).sum())
        assert found <= other * (1 + 1e-12)


def test_rooms_that_are_next_to_nothing():
    """A cast to float32 leaves rooms of 1e-45: the split's multiplier must not overflow into NaN."""
    center = torch.tensor([[[0.1, 0.0, 1.0]]], dtype=torch.float64)
    for p in (1.0, 1.001, 1.5, 2.0, 3.0, 10.0, 1e4):
        for radius in (0.0, 1e-44, 1e-30, 3.0, 1e200):
            for dtype in (torch.float32, torch.float64):
                if radius > torch.finfo(dtype).max:
                    continue
                rows = torch.tensor([[[1.0, 2.0, -3.0], [1e-30, 0.0, 1e30]]], dtype=dtype)
                balls = FrameBalls(center, torch.full((1, 1), radius, dtype=torch.float64), p, (0.0, 1.0))
                ball = SequenceBall(center, torch.full((1,), radius, dtype=torch.float64), p, (0.0, 1.0))
                for inputs in (balls, ball):
                    found = prepare(inputs, dtype).concretize(rows, 0)
                    assert bool(torch.isfinite(found).all())
                    assert bool((found <= 0).all())
                    # Never better than the whole box, whose rooms are at most 1.
                    assert bool((found >= -4.0 * rows.abs().sum(-1)).all())


def test_dual_norm_does_not_overflow_or_underflow():
    for scale in (1e200, 1e-200):
        row = torch.tensor([[3.0, 4.0]], dtype=torch.float64) * scale
        assert float(dual_norm(row, 2.0)) == pytest.approx(5 * scale, rel=1e-15)
    assert float(dual_norm(torch.zeros(1, 3, dtype=torch.float64), 1.7)) == 0.0


def test_dual_exponents():
    assert dual_exponent(1.0) == math.inf
    assert dual_exponent(math.inf) == 1.0
    assert dual_exponent(2.0) == 2.0
    assert 1 / dual_exponent(3.0) + 1 / 3 == pytest.approx(1, abs=1e-14)
    assert dual_exponent(3.0) < 1.5
