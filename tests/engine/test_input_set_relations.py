"""Input sets that are the same set have the same bounds, and a larger set never has a higher one."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.inputs import Boxes, FrameBalls, Substitutions
from gpu_engine.propagation.concretize import prepare
from tests.engine.input_sets import BATCH, NORMS, input_sets, rows_for


def _bound(inputs, rows: torch.Tensor, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Bounds of rows . (x - inputs.center), whichever point the prepared set counts from."""
    prepared = prepare(inputs, dtype)
    bound = prepared.concretize_all({t: rows[:, t] for t in range(rows.shape[1])})
    return bound + torch.einsum("btsi,bti->bs", rows, prepared.center - inputs.center.to(dtype))


@given(data=st.data(), ball=input_sets(kinds=("sequence",)))
def test_a_sequence_ball_with_one_moving_frame_is_a_frame_ball(data, ball):
    rows = data.draw(rows_for(ball))
    t = data.draw(st.integers(0, ball.time - 1))
    moves = torch.zeros(BATCH, ball.time, dtype=torch.bool)
    moves[:, t] = True
    alone = FrameBalls(ball.center, ball.radius[:, None] * moves, ball.p, ball.clip, ball.clip_bound)
    torch.testing.assert_close(_bound(replace(ball, moves=moves), rows), _bound(alone, rows), rtol=1e-9, atol=1e-14)
    still = replace(ball, moves=torch.zeros_like(moves))
    assert bool((_bound(still, rows) == 0).all())


@given(data=st.data(), ball=input_sets(kinds=("sequence",), norms=(math.inf,)))
def test_an_l_inf_sequence_ball_is_frame_balls_with_equal_radii(data, ball):
    rows = data.draw(rows_for(ball))
    moves = torch.ones(BATCH, ball.time, dtype=torch.bool) if ball.moves is None else ball.moves
    frames = FrameBalls(ball.center, ball.radius[:, None] * moves, math.inf, ball.clip)
    assert torch.equal(_bound(ball, rows), _bound(frames, rows))
    assert prepare(ball, torch.float64).per_frame


@given(data=st.data(), balls=input_sets(kinds=("frames",), norms=(math.inf,)))
def test_boxes_that_are_cubes_are_l_inf_balls(data, balls):
    rows = data.draw(rows_for(balls))
    prepared = prepare(balls, torch.float64)
    boxes = Boxes(prepared.box.lower, prepared.box.upper)
    size = rows.abs().sum((1, 3)) * (1 + balls.radius.amax())
    low, other = _bound(balls, rows), _bound(boxes, rows)
    shift = torch.einsum("btsi,bti->bs", rows, boxes.center - balls.center)
    assert bool(((low - other - shift).abs() <= 1e-14 * size).all())


@pytest.mark.parametrize("size", [1, 2, 3])
@given(data=st.data(), seed=st.integers(0, 2**31))
def test_candidates_at_the_corners_of_a_cube_are_the_cube(size, data, seed):
    generator = torch.Generator().manual_seed(seed)
    center = torch.randint(-8, 8, (BATCH, 2, size), generator=generator) / 4.0  # so that corners are exact
    center = center.double()
    corners = torch.tensor(list(itertools.product([-0.25, 0.25], repeat=size)), dtype=torch.float64)
    candidates = center[:, :, None] + corners
    words = Substitutions(center, candidates, torch.ones(candidates.shape[:3], dtype=torch.bool))
    cube = FrameBalls(center, torch.full((BATCH, 2), 0.25).double())
    rows = data.draw(rows_for(words))
    torch.testing.assert_close(_bound(words, rows), _bound(cube, rows), rtol=1e-12, atol=0)
    assert torch.equal(prepare(words, torch.float64).box.upper, center + 0.25)


@given(data=st.data(), words=input_sets(kinds=("substitutions",)))
def test_candidates_that_are_not_allowed_are_never_read(data, words):
    rows = data.draw(rows_for(words))
    spoilt = torch.where(words.allowed[..., None], words.candidates, math.nan)
    assert torch.equal(_bound(replace(words, candidates=spoilt), rows), _bound(words, rows))
    none = replace(words, allowed=torch.zeros_like(words.allowed))
    assert bool((_bound(none, rows) == 0).all())


@given(data=st.data(), words=input_sets(kinds=("substitutions",)))
def test_one_more_candidate_never_raises_the_bound(data, words):
    rows = data.draw(rows_for(words))
    fewer = words.allowed.clone()
    fewer[..., 0] = False
    assert bool((_bound(words, rows) <= _bound(replace(words, allowed=fewer), rows)).all())


@given(data=st.data(), inputs=input_sets(kinds=("frames", "sequence")), share=st.floats(0, 1))
def test_a_smaller_radius_never_lowers_the_bound(data, inputs, share):
    rows = data.draw(rows_for(inputs))
    smaller = replace(inputs, radius=inputs.radius * share)
    slack = 1e-13 * rows.abs().sum((1, 3)) * (1 + inputs.radius.max())
    assert bool((_bound(smaller, rows) >= _bound(inputs, rows) - slack).all())


@given(data=st.data(), inputs=input_sets(kinds=("frames", "sequence")))
def test_larger_norms_have_larger_balls(data, inputs):
    """||x||_p falls with p, so the ball grows, for a cut ball as well."""
    rows = data.draw(rows_for(inputs))
    slack = 1e-13 * rows.abs().sum((1, 3)) * (1 + inputs.radius.max())
    bounds = [_bound(replace(inputs, p=p, clip_bound="exact"), rows) for p in NORMS]
    for smaller, larger in itertools.pairwise(bounds):
        assert bool((larger <= smaller + slack).all())


@given(data=st.data(), inputs=input_sets())
def test_narrow_floats_are_close_and_never_above(data, inputs):
    """float32 bounds the same set: a little lower at most, by the rounding of its center and its sums."""
    rows = data.draw(rows_for(inputs, torch.float32))
    wide = prepare(inputs, torch.float64)
    narrow = prepare(inputs, torch.float32)
    frames = range(inputs.time)
    found = narrow.concretize_all({t: rows[:, t] for t in frames}).double()
    # The constants' point differs: count both from the point of float64.
    shift = torch.einsum("btsi,bti->bs", rows.double(), narrow.center.double() - wide.center)
    exact = wide.concretize_all({t: rows[:, t].double() for t in frames})
    size = (rows.abs().double() * (1 + narrow.magnitude().double() + inputs.center.abs())[:, :, None]).sum((1, 3))
    assert bool(((found + shift - exact).abs() <= 1e-5 * size).all())
