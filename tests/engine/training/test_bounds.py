"""Training's bounds: no claim rests on them, but what they minimise has to be a bound of what the network does."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import Box
from gpu_engine.errors import SpecificationError
from gpu_engine.model import GATES, Dense, Direction, RecurrentClassifier
from gpu_engine.training import backsubstituted, interval
from gpu_engine.training.lines import curve, product
from gpu_engine.training.losses import Labelled, plain_loss, worst_loss
from gpu_engine.training.recipe import CERTIFIED
from gpu_engine.training.regions import Region
from gpu_engine.training.tapes import answers, tape_of
from gpu_engine.training.trainable import Trainable
from refcert.strategies import classifiers, sequences

NORMS = (math.inf, 2.0, 1.0, 1.5)
SCALES = (0.5, 0.1, 1.0, 3.0)


def points_in(region: Region, rng: np.random.Generator) -> torch.Tensor:
    """One random point of every frame's ball, often at its border."""
    center = region.center
    move = torch.tensor(rng.normal(size=center.shape) * (rng.random(center.shape) > 0.5))
    length = torch.linalg.vector_norm(move, region.p, dim=-1, keepdim=True).clamp(min=1e-300)
    x = center + move / length * region.radius * torch.tensor(rng.choice((1.0, 0.3), (*center.shape[:2], 1)))
    return x if region.clip is None else x.clamp(*region.clip)


def margins_at(model, x, labels):
    """F_label - F_j at j, like the bounds."""
    logits = model.logits(x)
    logits = logits if model.readout == "every" else logits[:, None]
    return logits.gather(2, labels[:, None, None].expand(-1, logits.shape[1], 1)) - logits


def bounds_of(kind, tape, region, labels):
    if kind == "interval":
        return interval.margins(tape, interval.boxes(tape, region), region, labels)
    _, planes = backsubstituted.boxes(tape, region, every=kind == "every")
    return backsubstituted.margins(tape, planes, region, labels)


def slack(values: torch.Tensor) -> float:
    return 1e-9 * (1 + float(values.abs().max()))


@pytest.mark.parametrize("kind", ["interval", "final", "every"])
@settings(max_examples=30)
@given(data=st.data(), p=st.sampled_from(NORMS), radius=st.sampled_from((0.1, 0.01, 1.0)), clipped=st.booleans())
def test_margins_on_the_region_are_above_their_bounds(kind, data, p, radius, clipped):
    model = data.draw(classifiers(scales=SCALES, max_size=4))
    x, seed = data.draw(sequences(model, time=(1, 3), ragged=False)).x, data.draw(st.integers(0, 2**32 - 1))
    x = x.clamp(-1, 1) if clipped else x
    rng = np.random.default_rng(seed)
    labels = torch.tensor(rng.integers(0, model.classes, len(x)))
    region = Region(x, radius, p, (-1.0, 1.0) if clipped else None)
    bounds = bounds_of(kind, tape_of(model, x.shape[1]), region, labels)
    for _ in range(5):
        found = margins_at(model, points_in(region, rng), labels)
        assert bool((found >= bounds - slack(bounds)).all())


@pytest.mark.parametrize("kind", ["interval", "final", "every"])
@settings(max_examples=25)
@given(data=st.data())
def test_without_a_radius_bounds_are_the_plain_forward_pass(kind, data):
    model = data.draw(classifiers(scales=SCALES, max_size=4))
    x = data.draw(sequences(model, time=(1, 3), ragged=False)).x
    labels = torch.zeros(len(x), dtype=torch.int64)
    tape, region = tape_of(model, x.shape[1]), Region(x, 0.0)
    logits = model.logits(x)
    torch.testing.assert_close(answers(tape, x).flatten(), logits.flatten(), rtol=1e-9, atol=1e-9)
    found = bounds_of(kind, tape, region, labels)
    size = float(logits.abs().max()) + float(interval.boxes(tape, region)[-1].upper.abs().max())
    torch.testing.assert_close(found, margins_at(model, x, labels), rtol=1e-7, atol=1e-8 * (1 + size))


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from((1.0, 0.01, 5.0)))
def test_planes_bound_their_functions(seed, scale):
    rng = np.random.default_rng(seed)

    def box() -> Box:
        low = torch.tensor(rng.normal(0, scale, 50))
        return Box(low, low + torch.tensor(rng.exponential(scale, 50) * (rng.random(50) > 0.1)))

    def inside(box: Box) -> torch.Tensor:
        return box.lower + torch.tensor(rng.random((20, 50))) * (box.upper - box.lower)

    v, z = box(), box()
    at_v, at_z = inside(v), inside(z)
    values = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh}
    for kind, function in values.items():
        low, high = curve(kind, v).low, curve(kind, v).high
        assert bool((low[0] * at_v + low[2] <= function(at_v) + 1e-9).all())
        assert bool((high[0] * at_v + high[2] >= function(at_v) - 1e-9).all())
    for kind, factor in (("sigmoid_times_tanh", torch.tanh(at_z)), ("sigmoid_times_identity", at_z)):
        value, planes = torch.sigmoid(at_v) * factor, product(kind, v, z)
        for (slope_v, slope_z, offset), sign in ((planes.low, 1.0), (planes.high, -1.0)):
            assert slope_z is not None
            assert bool((sign * (value - slope_v * at_v - slope_z * at_z - offset) >= -1e-8 * (1 + scale)).all())


@pytest.mark.parametrize("bound", CERTIFIED)
@pytest.mark.parametrize("cell", GATES)
@pytest.mark.parametrize("p", [math.inf, 2.0])
def test_gradients_are_those_of_finite_differences(cell, bound, p):
    rng, model = np.random.default_rng(3), small(cell)
    network = Trainable(model)
    x = torch.tensor(rng.normal(size=(2, 3, model.input_size)))
    data = Labelled(x, torch.tensor([0, 1]))

    def loss() -> torch.Tensor:
        return worst_loss(network.classifier(), data, bound, 0.05, p, None, torch.float64)

    gradients = torch.autograd.grad(loss(), list(network.parameters()))
    directions = [torch.tensor(rng.normal(size=tuple(value.shape))) for value in network.parameters()]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    step, at = 1e-6, []
    for sign in (1, -2):
        with torch.no_grad():
            for value, direction in zip(network.parameters(), directions, strict=True):
                value += sign * step * direction
            at.append(float(loss()))
    assert math.isfinite(slope)
    assert slope == pytest.approx((at[0] - at[1]) / (2 * step), rel=1e-4, abs=1e-7)


def small(cell: str, seed: int = 3) -> RecurrentClassifier:
    """Two inputs, three units, two classes."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.tensor(rng.normal(0, 0.7, shape))

    rows = 3 * GATES[cell]
    direction = Direction(cell, normal(rows, 2), normal(rows, 3), normal(rows), normal(rows))
    return RecurrentClassifier(layers=((direction,),), after=(Dense(normal(2, 3), normal(2)),))


@settings(max_examples=25)
@given(data=st.data())
def test_float32_is_close_and_stays_float32(data):
    model = data.draw(classifiers(scales=(0.1, 0.5), max_size=4))
    x = data.draw(sequences(model, time=(1, 3), ragged=False)).x.clamp(-1, 1)
    labels = torch.zeros(x.shape[:2] if model.readout == "every" else len(x), dtype=torch.int64)
    batch = Labelled(x, labels)
    for loss in (plain_loss, lambda m, b, dtype: worst_loss(m, b, "interval", 0.1, 2.0, None, dtype)):
        single, double = loss(model, batch, torch.float32), loss(model, batch, torch.float64)
        assert single.dtype == torch.float32
        assert float(single.detach()) == pytest.approx(float(double.detach()), rel=1e-3, abs=1e-3)


def test_lengths_cut_the_sequences():
    model = small("lstm")
    x = torch.randn(3, 4, model.input_size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels, lengths = torch.tensor([0, 1, 0]), torch.tensor([2, 4, 2])
    behind = x.clone()
    behind[0, 2:] = 9.0
    for loss in (plain_loss, lambda m, b, dtype: worst_loss(m, b, "backsubstituted", 0.1, math.inf, None, dtype)):
        whole = loss(model, Labelled(behind, labels, lengths), torch.float64)
        alone = [loss(model, Labelled(x[k : k + 1, : lengths[k]], labels[k : k + 1]), torch.float64) for k in range(3)]
        torch.testing.assert_close(whole, torch.stack(alone).mean())


@pytest.mark.parametrize(
    ("center", "radius", "p", "said"),
    [
        (torch.zeros(2, 3), 0.1, 2.0, "batch, time, input"),
        (torch.zeros(1, 2, 3), -0.1, 2.0, "radius -0.1"),
        (torch.zeros(1, 2, 3), math.nan, 2.0, "radius nan"),
        (torch.full((1, 2, 3), math.nan), 0.1, 2.0, "sequences"),
        (torch.zeros(1, 2, 3), 0.1, 0.5, "0.5"),
    ],
)
def test_regions_that_make_no_sense_are_refused(center, radius, p, said):
    with pytest.raises(SpecificationError, match=said):
        Region(center, radius, p)
