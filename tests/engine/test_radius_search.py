"""The search by itself, on margins that are known functions of the radius, and boxes that scale."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.errors import NumericalError, SpecificationError
from gpu_engine.inputs import Boxes
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.search.certify import Options
from gpu_engine.search.radius import certified_radius, scaled_boxes, search_radius
from gpu_engine.spec import untargeted

SHAPES = {
    "line": lambda radius, edge: 1 - radius / edge,
    "steep": lambda radius, edge: 1 - (radius / edge) ** 9,
    "flat": lambda radius, edge: 1 - (radius / edge) ** 0.1,
    "step": lambda radius, edge: torch.where(radius < edge, 1.0, -1.0),
    "cliff": lambda radius, edge: torch.where(radius < edge, 1e-6, -math.inf),
    "zero at the edge": lambda radius, edge: (edge - radius).clamp(min=0.0),
}


@pytest.mark.parametrize("shape", SHAPES)
@given(data=st.data(), tolerance=st.sampled_from([0.3, 1e-3, 1e-6]), largest=st.sampled_from([1.0, 1e-3, 1e6]))
def test_the_bracket_closes_on_the_edge(shape, data, tolerance, largest):
    """Both ends were tried, with the outcome that they stand for, and are close; nothing beyond the largest is."""
    edges = data.draw(st.lists(st.floats(1e-6, 3.0), min_size=1, max_size=4))
    edge = largest * torch.tensor(edges, dtype=torch.float64)
    tried: dict[int, dict[float, float]] = {k: {} for k in range(len(edges))}

    def margins(index: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
        found = SHAPES[shape](radius, edge[index]).to(torch.float64)
        for k, r, m in zip(index.tolist(), radius.tolist(), found.tolist(), strict=True):
            tried[k][r] = m
        return found

    finished: list[int] = []
    radii = search_radius(margins, len(edges), largest, tolerance, finished.append)
    assert sum(finished) == len(edges)
    assert radii.evaluations == sum(len(values) for values in tried.values())
    for k, values in tried.items():
        proved, failed = float(radii.proved[k]), float(radii.failed[k])
        assert max(values) <= largest
        assert values[proved] == float(radii.margin[k]) > 0
        assert proved == max(r for r, m in values.items() if m > 0)
        if proved == largest:
            assert failed == math.inf
        else:
            assert values[failed] <= 0
            assert failed - proved <= tolerance * failed
            assert proved < float(edge[k]) <= failed


def test_samples_that_are_not_proved_or_cannot_move_are_not_searched():
    margins = torch.tensor([-1.0, 0.0, 2.0, 2.0], dtype=torch.float64)
    movable = torch.tensor([True, True, True, False])
    radii = search_radius(lambda index, radius: margins[index] - radius, 4, 8.0, 0.01, None, movable)
    assert radii.proved[:2].tolist() == [0.0, 0.0]
    assert radii.failed[:2].tolist() == [0.0, 0.0]
    assert radii.margin[:2].tolist() == [-1.0, 0.0]
    assert 1.98 <= float(radii.proved[2]) < 2.0 <= float(radii.failed[2]) <= 2.02
    assert (float(radii.proved[3]), float(radii.failed[3]), float(radii.margin[3])) == (0.0, math.inf, 2.0)


def test_a_batch_finds_what_each_sample_finds_alone():
    edge = torch.tensor([0.3, 1e-5, 0.9, 5.0], dtype=torch.float64)

    def search(which: torch.Tensor):
        return search_radius(lambda index, radius: 1 - (radius / edge[which][index]) ** 3, len(which), 1.0, 1e-4)

    together = search(torch.arange(4))
    for k in range(4):
        alone = search(torch.tensor([k]))
        assert float(alone.proved) == float(together.proved[k])
        assert float(alone.failed) == float(together.failed[k])


def test_a_margin_that_is_no_number_is_never_a_proof():
    def margins(index: torch.Tensor, radius: torch.Tensor) -> torch.Tensor:
        return torch.where(radius > 0.1, math.nan, 1.0).to(torch.float64)

    with pytest.raises(NumericalError, match="sample 1: the margin at radius"):
        search_radius(lambda i, r: torch.where(i == 1, margins(i, r), 1 - r), 2, 1.0)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"tolerance": 0.0}, "tolerance is 0.0"),
        ({"tolerance": 1.0}, "tolerance is 1.0"),
        ({"tolerance": math.nan}, "nan"),
        ({"largest": 0.0}, "largest radius to try is 0.0"),
        ({"largest": math.inf}, "inf"),
        ({"largest": math.nan}, "nan"),
    ],
)
def test_bad_searches_show_the_value(change, shown):
    with pytest.raises(SpecificationError) as caught:
        search_radius(lambda index, radius: 1 - radius, 1, **({"largest": 1.0} | change))
    assert shown in str(caught.value)


@given(seed=st.integers(0, 2**31), scale=st.sampled_from([0.0, 1e-12, 0.3, 1.0, 7.5]), more=st.floats(1, 4))
def test_scaled_boxes_are_outward_and_nested(seed, scale, more):
    rng = np.random.default_rng(seed)
    low, high = np.sort(rng.normal(0, 10.0 ** rng.integers(-8, 8), (2, 1, 2, 3)), axis=0)
    point = low + rng.choice([0.0, 0.5, 1.0], low.shape) * (high - low)
    point = point.clip(low, high)
    low = np.where(rng.random(low.shape) < 0.2, point, low)
    boxes, center = Boxes(torch.tensor(low), torch.tensor(high)), torch.tensor(point)
    found = scaled_boxes(boxes, center, torch.tensor([scale], dtype=torch.float64))
    larger = scaled_boxes(boxes, center, torch.tensor([scale * more], dtype=torch.float64))
    assert bool((larger.lower <= found.lower).all())
    assert bool((larger.upper >= found.upper).all())
    exact = np.vectorize(Fraction, otypes=[object])
    c, s = exact(point), Fraction(scale)
    assert (exact(found.lower.numpy()) <= c + s * (exact(low) - c)).all()
    assert (exact(found.upper.numpy()) >= c + s * (exact(high) - c)).all()
    stays = (low == point) | (scale == 0)
    assert (found.lower.numpy()[stays] == point[stays]).all()
    size = np.abs(point) + scale * (high - low)
    assert (np.abs(found.lower.numpy() - (point + scale * (low - point))) <= 1e-14 * size).all()


def test_a_radius_at_which_bounds_overflow_is_not_proved_and_stops_nobody():
    """One overflowing sample ended the whole batch; float32 and ReLU, whose bounds have no end."""
    one = [torch.tensor(v, dtype=torch.float64) for v in ([[1.0]], [[0.0]], [0.0], [0.0])]
    head = Dense(torch.tensor([[1e30], [0.0]], dtype=torch.float64), torch.tensor([0.0, 0.0], dtype=torch.float64))
    model = RecurrentClassifier(((Direction("rnn_relu", *one),),), (head,))
    center = torch.tensor([[[1.0]], [[2.0]]], dtype=torch.float64)
    spec = untargeted(torch.zeros(2, dtype=torch.int64), 2)
    direction = torch.ones(2, 1, dtype=torch.float64)
    options = Options(dtype="float32")
    radii = certified_radius(model, center, direction, spec, largest=1e12, options=options)
    torch.testing.assert_close(radii.proved, torch.tensor([1.0, 2.0], dtype=torch.float64), rtol=0.01, atol=0)
