"""One region's program: its affine maps are the network, and three ways to solve it agree."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gpu_engine.attacks.lp.fixed import radius_of_fall
from gpu_engine.attacks.lp.highs import Deadline
from gpu_engine.attacks.lp.lazy import solve_at_once, solve_lazily
from gpu_engine.attacks.lp.program import (
    INFEASIBLE,
    OPTIMAL,
    TIME_LIMIT,
    Budget,
    Program,
    scale_of,
    solve_spelled_out,
)
from gpu_engine.attacks.lp.region import region_of, require_piecewise_linear
from gpu_engine.attacks.lp.targets import ALL, SECOND, targets_of
from gpu_engine.cells.unroll import unroll
from gpu_engine.errors import ModelError, SpecificationError
from gpu_engine.model import READOUTS, Dense, Direction, RecurrentClassifier
from gpu_engine.spec import LabelAgainstOthers, Specification, per_class, top_k, untargeted
from refcert.strategies import classifiers
from tests.engine.attacks.lp_cases import case, relu_network

SEEDS = st.integers(0, 10_000)
CASES = st.builds(
    case,
    SEEDS,
    time=st.integers(1, 3),
    inputs=st.integers(1, 4),
    hidden=st.integers(1, 5),
    p=st.sampled_from([math.inf, 1.0]),
    clip=st.booleans(),
    stacks=st.booleans(),
    readout=st.sampled_from(READOUTS[:4]),
)


@given(CASES, SEEDS)
def test_the_maps_are_the_network_wherever_the_signs_hold(one, seed):
    rng = np.random.default_rng(seed)
    point = one.center + rng.normal(0, 0.5, one.center.shape)
    region = one.region(point=point)
    delta = (point - one.center)[one.moves]
    assert (region.signed(delta) >= -1e-12).all()  # the point lies in its own region
    for share in (1.0, 0.999, 0.99, 0.9, 0.0):
        near = one.center.copy()
        near[one.moves] += share * delta
        if (region.signed(share * delta) < 0).any():
            continue
        needed = one.question.model.logits(torch.from_numpy(near)[None]).numpy().ravel()
        np.testing.assert_allclose(region.output_value + region.output_slope @ (share * delta), needed, atol=1e-9)


@given(classifiers(cells=["rnn_relu"], max_size=4, initial_states=True, scales=(0.5, 1.0)), SEEDS)
def test_networks_of_every_shape(model, seed):
    """Layers, directions, start states, every readout: where all is a ReLU, the maps agree; elsewhere it is refused."""
    x = np.random.default_rng(seed).normal(size=(3, model.input_size))
    tape = unroll(model, 3)
    blocks = (*model.before, *model.after)
    if any(getattr(block, "kind", "relu") != "relu" for block in blocks):
        with pytest.raises(ModelError, match=r"piecewise-linear.*(tanh|sigmoid)"):
            require_piecewise_linear(tape)
        return
    region = region_of(tape, x, np.ones(x.shape, dtype=bool), x)
    needed = model.logits(torch.from_numpy(x)[None]).numpy().ravel()
    np.testing.assert_allclose(region.output_value, needed, atol=1e-8 * (1 + np.abs(needed).max()))
    x_torch = torch.from_numpy(x)[None].requires_grad_(True)
    model.logits(x_torch).flatten()[0].backward()
    if not region.ties.any():
        slope = x_torch.grad.numpy().ravel()
        np.testing.assert_allclose(region.output_slope[0], slope, atol=1e-8 * (1 + np.abs(slope).max()))


@given(CASES)
@settings(max_examples=20)
def test_lazy_at_once_and_spelled_out_have_one_optimum(one):
    for program in one.programs(one.region(point=one.center)):
        spelled = solve_spelled_out(program)
        others = [solve_lazily(program), solve_at_once(program)]
        if program.budget.p == math.inf:
            others.append(solve_at_once(program, rising=True))
        for answer in others:
            assert answer.status == spelled.status
            if spelled.status != OPTIMAL:
                assert answer.status == INFEASIBLE
                continue
            assert answer.radius == pytest.approx(spelled.radius, rel=1e-7, abs=1e-7)
            _check_feasible(program, answer)


@given(CASES, SEEDS)
@settings(max_examples=20)
# Barely infeasible: the rising radius stalled, or HiGHS gave it up; each was reported as a failure of the solver.
@example(case(9999, time=2, inputs=3, hidden=1, clip=True), 0)
@example(case(892, time=3, inputs=3, hidden=3), 42)
def test_regions_that_do_not_hold_the_center_too(one, seed):
    """The same in a region elsewhere, where no perturbation at all is infeasible."""
    region = one.region(point=np.random.default_rng(seed).normal(0, 2, one.center.shape))
    for program in one.programs(region):
        lazy, once = solve_lazily(program), solve_at_once(program)
        assert lazy.status == once.status
        if lazy.status == OPTIMAL:
            assert lazy.radius == pytest.approx(once.radius, rel=1e-7, abs=1e-7)
            _check_feasible(program, lazy)
            assert solve_lazily(program, most=0.9 * lazy.radius - 1e-6).status == INFEASIBLE


def test_a_wider_network():
    """60 ReLUs behind 100 inputs: the lazy program needs a part of the constraints only, for the same optimum."""
    one = case(1, time=1, inputs=100, hidden=60, clip=True)
    program = one.programs(one.region(point=one.center))[0]
    lazy, once, spelled = solve_lazily(program), solve_at_once(program), solve_spelled_out(program)
    assert lazy.status == once.status == spelled.status == OPTIMAL
    assert lazy.radius == pytest.approx(once.radius, rel=1e-9) == pytest.approx(spelled.radius, rel=1e-9)
    assert lazy.signs < once.signs == 60
    np.testing.assert_array_equal(lazy.binding > 1e-9, once.binding > 1e-9)


def _check_feasible(program: Program, answer) -> None:
    budget, region = program.budget, program.region
    kept = region.constrained
    assert (answer.delta >= budget.low - 1e-7).all() and (answer.delta <= budget.high + 1e-7).all()
    assert budget.radius(answer.delta) <= answer.radius + 1e-6 * (1 + answer.radius)
    assert (region.signed(answer.delta) / scale_of(region.slope))[kept].min(initial=0.0) >= -1e-7
    excess = program.target_slope @ answer.delta - program.required
    assert (excess <= 1e-7 * scale_of(program.target_slope)).all()
    assert (answer.binding[~kept] == 0).all() and (answer.binding >= 0).all()


@given(SEEDS, st.integers(1, 6), st.floats(0.01, 5.0))
def test_the_least_radius_of_a_fall_is_the_least(seed, size, needed):
    rng = np.random.default_rng(seed)
    steep, weight = rng.random(size) * (rng.random(size) > 0.2), 0.1 + rng.random(size)
    room = np.where(rng.random(size) > 0.5, rng.random(size), math.inf)

    def fall(r: float) -> float:
        reach = np.minimum(r * weight, room)
        return float(np.where(steep > 0, steep * reach, 0.0).sum())

    radius = radius_of_fall(steep, weight, room, needed)
    if math.isinf(radius):
        assert fall(1e12) < needed
    else:
        assert fall(radius) == pytest.approx(needed) and fall(0.999 * radius) < needed


def test_a_passed_deadline_is_a_time_limit():
    one = case(3)
    program = one.programs(one.region(point=one.center))[0]
    for p in (math.inf, 1.0):
        limited = Program(
            program.region,
            Budget(p, program.budget.group, program.budget.weight, program.budget.low, program.budget.high),
            program.rows,
            program.offset,
            program.strictness,
        )
        for answer in (solve_lazily(limited, Deadline.after(0.0)), solve_at_once(limited, Deadline.after(0.0))):
            assert answer.status == TIME_LIMIT and math.isinf(answer.radius)


@pytest.mark.parametrize("p", [2.0, 1.5])
def test_other_norms_are_refused_by_name(p):
    with pytest.raises(SpecificationError, match=f"p = {p:g}"):
        Budget(p, np.zeros(1, dtype=np.int64), np.ones(1), np.zeros(1), np.ones(1))


def test_a_zero_pre_activation_is_a_tie():
    """A unit that is exactly zero is named; both of its sides give the network's outputs at the point."""
    one = Direction("rnn_relu", torch.eye(2).double(), torch.zeros(2, 2).double(), *torch.zeros(2, 2).double())
    model = RecurrentClassifier(((one,),), (Dense(torch.eye(2).double(), torch.zeros(2).double()),))
    x, moves = np.array([[0.0, 1.0]]), np.ones((1, 2), dtype=bool)
    region = region_of(unroll(model, 1), x, moves, x)
    assert region.ties.tolist() == [True, False] and region.active.tolist() == [False, True]
    other = region_of(unroll(model, 1), x, moves, None, np.array([True, True]))
    assert region.output_value.tolist() == other.output_value.tolist() == [0.0, 1.0]
    assert region.output_slope[0].tolist() == [0.0, 0.0] and other.output_slope[0].tolist() == [1.0, 0.0]


def test_targets_are_what_breaks_each_reading():
    """A target's rows all at most 0 <=> the margin is at most 0 for some target, on random outputs."""
    rng = np.random.default_rng(0)
    labels = torch.tensor([1])
    readings = [untargeted(labels, 4), per_class(labels, 4), top_k(labels, 2, 4)]
    for specification in readings:
        for outputs in rng.normal(size=(200, 4)):
            rows = (specification.C @ torch.from_numpy(outputs))[:, :] + specification.d
            broken = bool(specification.margins(rows)[0] <= 0)
            every = targets_of(specification, outputs, ALL)
            found = [bool((t.rows @ outputs + t.offset <= 0).all()) for t in every]
            assert any(found) == broken
            (nearest,) = targets_of(specification, outputs, SECOND)
            assert bool((nearest.rows @ outputs + nearest.offset <= 0).all()) == broken


def test_too_many_sets_of_rows_are_refused_and_the_reading_is_named():
    labels = torch.tensor([0])
    with pytest.raises(SpecificationError, match="sets of"):
        targets_of(top_k(labels, 12, 40), np.zeros(40), ALL)
    with pytest.raises(SpecificationError, match="'some' of 1"):
        targets_of(untargeted(labels, 3), np.zeros(3), "some")
    model = relu_network(0, 2, 2)
    with pytest.raises(SpecificationError, match="give its own"):
        targets_of(Specification(torch.ones(1, 2, 2).double(), torch.zeros(1, 2).double(), LabelAgainstOthers()),
                   np.zeros(model.classes), ALL)  # fmt: skip
