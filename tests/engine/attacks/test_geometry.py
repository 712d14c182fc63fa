"""Laws of all geometries: no point ever leaves its set, in exact arithmetic; corners and projections are optimal."""

from __future__ import annotations

import math
from dataclasses import replace

import cvxpy as cp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.geometry.norms import cut_corner, norm_above
from gpu_engine.attacks.geometry.registry import geometry_of
from gpu_engine.inputs import FrameBalls, InputSet, SequenceBall
from tests.engine.convex_minimum import convex_minimum
from tests.engine.input_sets import BATCH, KINDS, contains, exactly, input_sets, rows_for

FACTORS = (1.0, 1e-7, 1e-16, 1e-300, 5e-324, 1e6, 1e150)


def holds(inputs: InputSet, sample: int, x: torch.Tensor) -> bool:
    """Is x (time, input) a point of the sample's set, in exact arithmetic?"""
    return contains(inputs, sample, exactly(x.numpy()))


@st.composite
def extreme_sets(draw, kinds=KINDS) -> InputSet:
    """The public sets, also stretched: tiny and huge radii, and floats that are farther apart than the set is wide."""
    inputs = draw(input_sets(kinds=kinds))
    factor = draw(st.sampled_from(FACTORS))
    if isinstance(inputs, FrameBalls | SequenceBall):
        inputs = replace(inputs, radius=inputs.radius * factor)
        if inputs.clip is None and draw(st.booleans()):
            return replace(inputs, center=inputs.center * 1e9)
    return inputs


def points(inputs: InputSet, slope: torch.Tensor, seed: int):
    """Points by every way that a geometry has."""
    geometry, generator = geometry_of(inputs), torch.Generator().manual_seed(seed)
    noise = torch.randn(inputs.center.shape, generator=generator, dtype=torch.float64)
    broken = torch.where(noise > 0.5, math.nan, torch.where(noise < -0.5, math.inf, noise))
    yield from (geometry.random(generator), geometry.random(generator, alike=True))
    yield from (geometry.inside(inputs.center + size * noise) for size in (1e-9, 1.0, 1e9))
    yield from (geometry.inside(broken), geometry.corner(broken))
    x = geometry.corner(slope)
    for share in (2.0, 0.3, 1e-9, 0.0):
        yield x
        x = geometry.descend(x, slope * noise, torch.full((BATCH,), share, dtype=torch.float64))
    yield from (x, geometry.descend(x, broken, torch.ones(BATCH, dtype=torch.float64)))


@given(data=st.data(), inputs=extreme_sets(), seed=st.integers(0, 2**31))
def test_no_point_leaves_its_set(data, inputs, seed):
    slope = data.draw(rows_for(inputs))[:, :, 0]
    for x in points(inputs, slope, seed):
        assert all(holds(inputs, sample, x[sample]) for sample in range(BATCH))


@given(inputs=extreme_sets(), seed=st.integers(0, 2**31))
@settings(max_examples=25)
def test_points_of_the_set_stay(inputs, seed):
    """A center is always inside; so is what lies clearly within."""
    geometry = geometry_of(inputs)
    assert torch.equal(geometry.inside(inputs.center), inputs.center)
    x = geometry.random(torch.Generator().manual_seed(seed))
    within = x if geometry.discrete else inputs.center + (x - inputs.center) / 2
    if all(holds(inputs, sample, within[sample]) for sample in range(BATCH)):
        torch.testing.assert_close(geometry.inside(within), within, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=12)
def test_corners_are_where_the_linear_form_is_least(kind, data):
    inputs = data.draw(input_sets(kinds=(kind,)))
    slope = data.draw(rows_for(inputs))[:, :, 0]
    corner = geometry_of(inputs).corner(slope)
    for sample in range(BATCH):
        row = slope[sample].numpy()
        value = float((slope[sample] * (corner - inputs.center)[sample]).sum())
        far = (inputs.candidates - inputs.center[:, :, None]).abs().max() if kind == "substitutions" else 0.0
        solver = 1e-7 * float(np.abs(row).max()) * (1.0 + float(far))  # its own tolerance
        assert value == pytest.approx(convex_minimum(inputs, sample, row), rel=1e-5, abs=solver)


@given(data=st.data(), inputs=input_sets(kinds=("frames", "sequence")))
@settings(max_examples=25)
def test_descent_goes_down(data, inputs):
    """From the center, a step of the radius ends no higher than the center."""
    slope = data.draw(rows_for(inputs))[:, :, 0]
    moved = geometry_of(inputs).descend(inputs.center, slope, torch.ones(BATCH, dtype=torch.float64))
    gain = (slope * (moved - inputs.center)).sum((1, 2))
    assert bool((gain <= 0).all())


@given(
    inputs=input_sets(kinds=("frames",), norms=(1.0, 2.0)).filter(lambda s: float(s.radius.max()) >= 0.01),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=25)
def test_the_l1_projection_is_the_nearest_point(inputs, seed):
    inputs = replace(inputs, p=1.0)
    generator = torch.Generator().manual_seed(seed)
    far = inputs.center + 2 * torch.randn(inputs.center.shape, generator=generator, dtype=torch.float64)
    found = geometry_of(inputs).inside(far)
    for t in range(inputs.time):
        center, radius = inputs.center[0, t].numpy(), float(inputs.radius[0, t])
        x = cp.Variable(len(center))
        conditions = [cp.norm1(x - center) <= radius]
        if inputs.clip is not None:
            conditions += [x >= inputs.clip[0], x <= inputs.clip[1]]
        problem = cp.Problem(cp.Minimize(cp.sum_squares(x - far[0, t].numpy())), conditions)
        problem.solve(solver=cp.CLARABEL)
        assert problem.status == cp.OPTIMAL
        assert float((found[0, t] - far[0, t]).square().sum()) == pytest.approx(
            float(problem.value), rel=1e-5, abs=1e-7
        )


@given(inputs=extreme_sets(), seed=st.integers(0, 2**31))
@settings(max_examples=30)
def test_alike_points_do_not_depend_on_the_batch(inputs, seed):
    together = geometry_of(inputs).random(torch.Generator().manual_seed(seed), alike=True)
    for k in range(BATCH):
        alone = geometry_of(inputs.select(slice(k, k + 1))).random(torch.Generator().manual_seed(seed), alike=True)
        assert torch.equal(alone[0], together[k])


def test_random_points_of_one_set_differ():
    center = torch.zeros(1, 2, 3, dtype=torch.float64)
    geometry = geometry_of(FrameBalls(center.expand(4, 2, 3), torch.ones(4, 2, dtype=torch.float64), 2.0))
    x = geometry.random(torch.Generator().manual_seed(0))
    assert len({tuple(row.flatten().tolist()) for row in x}) == 4


@given(data=st.data(), p=st.sampled_from([1.0, 1.5, 2.0, 3.0, 40.0]), seed=st.integers(0, 2**31))
def test_cut_corners_use_all_they_may(data, p, seed):
    """Scales from the smallest to the largest numbers: the length is the radius, or every coordinate is at its end."""
    rng = np.random.default_rng(seed)
    scale = data.draw(st.sampled_from([1e-200, 1.0, 1e200]))
    size, room = (
        torch.tensor(rng.random((3, 5)) * 10.0 ** rng.integers(-8, 9, (3, 5))),
        torch.tensor(rng.random((3, 5))),
    )
    moves = cut_corner(size, room * scale, torch.full((3,), 0.7 * scale, dtype=torch.float64), p)
    assert bool((moves >= 0).all()) and bool((moves <= room * scale).all())
    length = norm_above(moves / scale, p)
    full = (moves == (room * scale).clamp(max=0.7 * scale)).all(-1)
    assert bool((full | ((length - 0.7).abs() < 1e-6)).all())


@given(data=st.data(), p=st.sampled_from([1.0, 1.5, 2.0, 3.0, math.inf]), seed=st.integers(0, 2**31))
def test_the_ball_of_its_size_holds_an_input(data, p, seed):
    """In exact arithmetic, for weights of every magnitude; and the size is not much more than needed."""
    rng = np.random.default_rng(seed)
    shared, clip = data.draw(st.booleans()), data.draw(st.sampled_from([None, (0.0, 1.0)]))
    center = torch.tensor(rng.random((BATCH, 3, 2)))
    weight = torch.tensor(rng.choice([0.0, 1.0] if shared else [0.0, 1e-9, 0.3, 1.0, 7.0], (BATCH, 3)))
    family = BallFamily(center, weight, p, clip, shared)
    x = geometry_of(family.at(torch.tensor([0.5, 1e-3]).double())).random(torch.Generator().manual_seed(seed))
    size = family.size(x)
    assert bool((size <= torch.tensor([0.5, 1e-3]).double() * (1 + 1e-9)).all())
    assert all(contains(family.at(size), k, exactly(x[k].numpy())) for k in range(BATCH))


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
def test_a_slope_in_one_coordinate_moves_that_one(p):
    """The room of coordinates without a slope was counted as spent, and the corner was the center."""
    slope = torch.tensor([[[-5e-9, 0.0, 0.0]], [[0.0, 0.0, 2.0]]], dtype=torch.float64)
    corner = geometry_of(FrameBalls(torch.zeros(2, 1, 3).double(), torch.ones(2, 1).double(), p)).corner(slope)
    assert corner.flatten().tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0, 0.0, -1.0], abs=1e-9)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0, math.inf])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_cannot_be_measured_has_no_size(value, p, shared):
    """Infinity divided by itself was no number, and that was read as a perturbation of size 0."""
    family = BallFamily(torch.zeros(1, 2, 2).double(), torch.ones(1, 2).double(), p, None, shared)
    x = family.center.clone()
    x[0, 1, 0] = value
    assert family.size(x).tolist() == [math.inf]
    assert float(norm_above(x[0, 1], p)) == math.inf


def test_what_no_ball_holds_has_no_size():
    center = torch.full((3, 2, 1), 0.5, dtype=torch.float64)
    family = BallFamily(center, torch.tensor([[1.0, 0.0]] * 3).double(), math.inf, (0.0, 1.0))
    x = center.clone()
    x[0, 1], x[1, 0] = 0.6, 1.1
    assert family.size(x).tolist() == [math.inf, math.inf, 0.0]
    tiny = BallFamily(center, torch.full((3, 2), 1e-310, dtype=torch.float64))
    assert torch.isinf(tiny.size(center + 0.1)).all()
