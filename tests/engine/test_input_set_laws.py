"""Laws that every prepared input set keeps: sound in exact arithmetic, the same in batches and alone, outward."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.errors import SpecificationError
from gpu_engine.inputs import Boxes, FrameBalls, SequenceBall, Substitutions
from gpu_engine.propagation.concretize import PREPARE, PreparedInput, prepare
from gpu_engine.rounding import gamma
from tests.engine.input_sets import BATCH, KINDS, NORMS, exactly, input_sets, members, rows_for

DTYPES = (torch.float64, torch.float32)


def _by_frame(rows: torch.Tensor) -> dict[int, torch.Tensor]:
    return {t: rows[:, t] for t in range(rows.shape[1])}


def charge(prepared: PreparedInput, rows: torch.Tensor) -> np.ndarray:
    """The rounding of `concretize_all` as lemma `concretize_rounding` bounds it, (batch, spec) of Fractions."""
    roundings = math.ceil(3.5 * prepared.summands) + 20 + rows.shape[1]
    terms = exactly(rows.abs().double().numpy()) * exactly(prepared.magnitude().double().numpy())[:, :, None]
    return terms.sum((1, 3)) * Fraction(gamma(roundings, rows.dtype))


def lowest(inputs, prepared: PreparedInput, rows: torch.Tensor, seed: int) -> np.ndarray:
    """The least exact value of every row found in the set, (batch, spec) of Fractions."""
    rng = np.random.default_rng(seed)
    center = exactly(prepared.center.double().numpy())
    plain = rows.double().numpy()
    values = np.empty((BATCH, rows.shape[2]), dtype=object)
    for b in range(BATCH):
        for s in range(rows.shape[2]):
            row = exactly(plain[b, :, s])
            values[b, s] = min((row * (x - center[b])).sum() for x in members(inputs, b, plain[b, :, s], rng))
    return values


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), inputs=input_sets(), seed=st.integers(0, 2**31))
def test_no_point_of_the_set_is_below(dtype, data, inputs, seed):
    rows = data.draw(rows_for(inputs, dtype))
    prepared = prepare(inputs, dtype)
    bound = exactly(prepared.concretize_all(_by_frame(rows)).double().numpy())
    assert (bound - charge(prepared, rows) <= lowest(inputs, prepared, rows, seed)).all()


@given(data=st.data(), inputs=input_sets(), seed=st.integers(0, 2**31))
def test_a_bound_that_is_too_high_is_noticed(data, inputs, seed):
    """Planted fault: the points that the law tries do reach the bound, wherever it claims to be the minimum."""
    rows = data.draw(rows_for(inputs))
    prepared = prepare(inputs, torch.float64)
    bound = prepared.concretize_all(_by_frame(rows)).numpy()
    if getattr(inputs, "clip", None) is not None:
        return  # the minimisers that are tried are those of the whole ball
    found = lowest(inputs, prepared, rows, seed).astype(float)
    raised = bound * (1 - 1e-3)
    assert (raised[bound < -1e-7 * rows.abs().amax().item()] > found[bound < -1e-7 * rows.abs().amax().item()]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(inputs=input_sets(), seed=st.integers(0, 2**31))
def test_box_and_magnitude_hold_every_point(dtype, inputs, seed):
    prepared = prepare(inputs, dtype)
    low, high = (exactly(end.double().numpy()) for end in (prepared.box.lower, prepared.box.upper))
    center, reach = exactly(prepared.center.double().numpy()), exactly(prepared.magnitude().double().numpy())
    rng = np.random.default_rng(seed)
    for b in range(BATCH):
        for x in members(inputs, b, rng.normal(0, 1, tuple(inputs.center.shape[1:])), rng):
            assert (low[b] <= x).all()
            assert (x <= high[b]).all()
            assert (abs(x - center[b]) <= reach[b]).all()


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data(), inputs=input_sets())
def test_batch_is_the_same_as_one_by_one(dtype, data, inputs):
    rows = data.draw(rows_for(inputs, dtype))
    whole = prepare(inputs, dtype)
    together = whole.concretize_all(_by_frame(rows))
    for b in range(BATCH):
        one = slice(b, b + 1)
        for alone in (
            whole.part(one),
            prepare(inputs.select(one), dtype),
            prepare(inputs.select(torch.tensor([b])), dtype),
        ):
            torch.testing.assert_close(alone.concretize_all(_by_frame(rows[one])), together[one], rtol=1e-5, atol=0)
            assert torch.equal(alone.magnitude(), whole.magnitude()[one])
            assert torch.equal(alone.box.lower, whole.box.lower[one])


@given(data=st.data(), inputs=input_sets())
def test_shared_rows_and_missing_frames(data, inputs):
    rows = data.draw(rows_for(inputs))
    prepared = prepare(inputs, torch.float64)
    repeated = prepared.concretize_all(_by_frame(rows[:1].expand(BATCH, -1, -1, -1)))
    torch.testing.assert_close(prepared.concretize_all(_by_frame(rows[:1])), repeated, rtol=1e-12, atol=0)
    rows = rows.clone()
    rows[:, 0] = 0.0
    with_zeros = prepared.concretize_all(_by_frame(rows))
    if inputs.time > 1:
        left_out = prepared.concretize_all({t: rows[:, t] for t in range(1, inputs.time)})
        torch.testing.assert_close(left_out, with_zeros, rtol=1e-9, atol=0)
    else:
        assert bool((with_zeros == 0).all())


@given(data=st.data(), inputs=input_sets())
def test_the_sum_over_frames_is_at_least_the_sum_of_frames(data, inputs):
    rows = data.draw(rows_for(inputs))
    prepared = prepare(inputs, torch.float64)
    apart = sum(prepared.concretize(rows[:, t], t) for t in range(inputs.time))
    together = prepared.concretize_all(_by_frame(rows))
    if prepared.per_frame:
        torch.testing.assert_close(together, apart, rtol=1e-12, atol=0)
    else:
        assert bool((together >= apart * (1 + 1e-12)).all())


@given(data=st.data(), inputs=input_sets(kinds=("frames", "sequence")))
def test_no_radius_is_exactly_nothing(data, inputs):
    rows = data.draw(rows_for(inputs))
    prepared = prepare(replace(inputs, radius=torch.zeros_like(inputs.radius)), torch.float64)
    assert torch.equal(prepared.center, inputs.center)
    assert torch.equal(prepared.box.lower, inputs.center)
    assert torch.equal(prepared.box.upper, inputs.center)
    assert bool((prepared.concretize_all(_by_frame(rows)) == 0).all())
    assert bool((prepared.magnitude() == 0).all())


@given(data=st.data(), inputs=input_sets())
def test_opposite_and_scaled_rows(data, inputs):
    """The bounds of a row and of its opposite hold 0 between them, since the center is in the set."""
    rows = data.draw(rows_for(inputs))
    prepared = prepare(inputs, torch.float64)
    low, other = prepared.concretize_all(_by_frame(rows)), prepared.concretize_all(_by_frame(-rows))
    slack = torch.tensor(charge(prepared, rows).astype(float))
    assert bool((low + other <= 2 * slack).all())
    torch.testing.assert_close(prepared.concretize_all(_by_frame(4 * rows)), 4 * low, rtol=1e-12, atol=0)


@given(inputs=input_sets())
def test_first_frames_are_the_first_frames(inputs):
    part = inputs.first_frames(1)
    assert part.time == 1
    assert len(part) == len(inputs) == BATCH
    whole, first = prepare(inputs, torch.float64), prepare(part, torch.float64)
    assert torch.equal(whole.box.upper[:, :1], first.box.upper)
    assert torch.equal(inputs.to(torch.device("cpu")).center, inputs.center)


def test_every_kind_is_drawn_and_inputs_stay_as_they_are():
    assert {kind.__name__ for kind in PREPARE} == {"FrameBalls", "SequenceBall", "Boxes", "Substitutions"}
    assert len(KINDS) == len(PREPARE)
    center = torch.rand(2, 2, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    kept = center.clone()
    radius = torch.full((2,), 0.1, dtype=torch.float64)
    sets = [Boxes(center, center), Substitutions(center, center[:, :, None], torch.ones(2, 2, 1, dtype=torch.bool))]
    sets += [FrameBalls(center, radius[:, None].expand(2, 2), p, (0.0, 1.0)) for p in NORMS]
    sets += [SequenceBall(center, radius, p, (0.0, 1.0)) for p in NORMS]
    for inputs in sets:
        for dtype in DTYPES:
            prepare(inputs, dtype).concretize_all({0: torch.ones(1, 1, 3, dtype=dtype)})
    assert torch.equal(center, kept)


def test_what_is_no_input_set_is_refused():
    with pytest.raises(SpecificationError, match="dict is not an input set; known: FrameBalls"):
        prepare({}, torch.float64)  # type: ignore[arg-type]


def test_no_rows_at_all_is_a_fault():
    zero = torch.zeros(1, 1, 1, dtype=torch.float64)
    for inputs in (Boxes(zero, zero), SequenceBall(zero, zero[:, 0, 0], 2.0)):
        with pytest.raises(ValueError, match="no frame has rows"):
            prepare(inputs, torch.float64).concretize_all({})
