"""What bound propagation has to refuse or to add up, in cases that ordinary networks seldom reach."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.errors import NumericalError, SoundnessFault
from gpu_engine.inputs import FrameBalls
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.propagation.backward import joined
from gpu_engine.propagation.schedule import bound
from gpu_engine.relaxations.registry import RELAXATIONS
from gpu_engine.search.certify import Certified
from gpu_engine.spec import Specification

PARALLEL = RELAXATIONS["parallel"]


def question(cell="lstm", blocks=4, time=3, radius=0.1, scale=1.0):
    rng = np.random.default_rng(0)
    shapes = ((blocks * 2, 2), (blocks * 2, 2), (blocks * 2,), (blocks * 2,))
    weights = [torch.tensor(rng.normal(0, scale, shape)) for shape in shapes]
    head = Dense(torch.tensor(rng.normal(0, 1, (2, 2))), torch.zeros(2, dtype=torch.float64))
    model = RecurrentClassifier(((Direction(cell, *weights),),), (head,))
    inputs = FrameBalls(torch.tensor(rng.normal(0, 1, (1, time, 2))), torch.full((1, time), radius).double())
    rows = torch.tensor([[[1.0, -1.0]]], dtype=torch.float64)
    return model, inputs, Specification(rows, torch.zeros(1, 1, dtype=torch.float64))


@pytest.mark.parametrize("side", ["lower", "upper"])
def test_planes_that_contradict_interval_arithmetic_stop_the_run(side):
    """A lower plane far above the surface makes a box whose ends have changed places: nothing may be proved with it."""
    model, inputs, rows = question()

    def wrong(product, v, z):
        pair = PARALLEL.product(product, v, z)
        shifted = [Plane(p.slope_v, p.slope_z, p.offset) for p in (pair.lower, pair.upper)]
        k = 0 if side == "lower" else 1
        shifted[k] = dataclasses.replace(shifted[k], offset=shifted[k].offset + (10.0 if side == "lower" else -10.0))
        return PlanePair(*shifted)

    bound(model, inputs, rows, PARALLEL, dtype=torch.float64)
    with pytest.raises(SoundnessFault, match="contradict"):
        bound(model, inputs, rows, dataclasses.replace(PARALLEL, product=wrong), dtype=torch.float64)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_planes_that_are_not_finite_stop_the_run_and_name_the_place(value):
    model, inputs, rows = question()

    def wrong(product, v, z):
        pair = PARALLEL.product(product, v, z)
        bad = pair.upper.offset.clone()
        bad[0, 1] = value
        return PlanePair(pair.lower, dataclasses.replace(pair.upper, offset=bad))

    with pytest.raises(NumericalError, match=r"\[0, 1\].*(nan|inf)"):
        bound(model, inputs, rows, dataclasses.replace(PARALLEL, product=wrong), dtype=torch.float64)


def test_boxes_that_overflow_stop_the_run():
    model, inputs, rows = question("rnn_relu", 1)
    grown = {name: getattr(model.layers[0][0], name).abs() * 1e30 for name in ("weight_ih", "weight_hh")}
    model = dataclasses.replace(model, layers=((dataclasses.replace(model.layers[0][0], **grown),),))
    with pytest.raises(NumericalError, match="overflow"):
        bound(model, inputs, rows, PARALLEL, dtype=torch.float32)


@pytest.mark.parametrize("order", [("parallel", "constants"), ("constants", "parallel")])
def test_every_row_takes_the_better_of_several_relaxations(order):
    model, inputs, rows = question()
    several = bound(model, inputs, rows, [RELAXATIONS[name] for name in order], dtype=torch.float64).lower
    alone = [bound(model, inputs, rows, RELAXATIONS[name], dtype=torch.float64).lower for name in order]
    assert all(bool((several >= lower).all()) for lower in alone)
    assert float(max(alone)) > float(min(alone)) + 1e-3


@pytest.mark.parametrize("block_bytes", [1, 200, 10_000])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_blocks_of_samples_keep_their_own_inputs_and_planes(cell, block_bytes):
    """Samples and rows are substituted block by block; the samples here differ in everything that they have."""
    model, _, _ = question(cell, {"lstm": 4, "gru": 3}[cell])
    rng = np.random.default_rng(1)
    center = torch.tensor(rng.normal(0, 2, (4, 3, 2)))
    for p in (2.0, math.inf):
        inputs = FrameBalls(center, torch.tensor(rng.uniform(0, 0.5, (4, 3))), p)
        rows = Specification(torch.tensor(rng.normal(0, 1, (4, 3, 2))), torch.tensor(rng.normal(0, 1, (4, 3))))
        whole = bound(model, inputs, rows, PARALLEL, dtype=torch.float64).lower
        parts = bound(model, inputs, rows, PARALLEL, dtype=torch.float64, block_bytes=block_bytes).lower
        torch.testing.assert_close(parts, whole, rtol=0, atol=1e-9)


def test_coefficients_on_overlapping_units_are_added():
    pieces = {(0, 3): torch.ones(1, 1, 3), (2, 5): 10 * torch.ones(1, 1, 3), (4, 6): 100 * torch.ones(2, 1, 2)}
    total, ranges = joined(pieces)
    assert ranges == ((0, 6),)
    assert total.tolist() == [[[1.0, 1.0, 11.0, 10.0, 110.0, 100.0]]] * 2
    apart, ranges = joined({(4, 6): torch.ones(1, 1, 2), (0, 3): 2 * torch.ones(1, 1, 3)})
    assert ranges == ((0, 3), (4, 6))
    assert apart.tolist() == [[[2.0, 2.0, 2.0, 1.0, 1.0]]]


def test_a_box_is_cut_on_both_sides():
    one = Box(torch.tensor([0.0, -1.0]), torch.tensor([2.0, 1.0]))
    other = Box(torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 3.0]))
    for found in (one.intersect(other), other.intersect(one)):
        assert found.lower.tolist() == [0.0, 0.0]
        assert found.upper.tolist() == [1.0, 1.0]


def test_a_margin_of_zero_proves_nothing():
    margin = torch.tensor([-1e-300, 0.0, -0.0, 1e-300], dtype=torch.float64)
    assert Certified(margin[:, None], margin).proved.tolist() == [False, False, False, True]
