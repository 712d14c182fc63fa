"""What every exact offset rests on: the larger of two candidates, with NaN seen, and how far a tangent can rise."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.bounds import Box
from gpu_engine.relaxations import s_curve
from gpu_engine.relaxations.offsets import larger, largest
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.s_curve import CurveMaximum

seeds = st.integers(0, 2**32 - 1)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 1, 2), (1, 2, 0)])
def test_nan_wins_wherever_it_stands_and_else_the_largest(order):
    """Regression: a NaN that was not the last candidate was written over, as ~(x <= nan) is true."""
    values = [double(1.0, 1.0, 3.0), double(2.0, math.nan, -math.inf), double(0.0, 5.0, 2.0)]
    points = [double(k, k, k) for k in (10.0, 20.0, 30.0)]
    best = largest([(values[k], points[k], -points[k]) for k in order])
    assert best.value[[0, 2]].tolist() == [2.0, 3.0]
    assert best.v[[0, 2]].tolist() == [20.0, 10.0]
    assert best.z[[0, 2]].tolist() == [-20.0, -10.0]
    assert math.isnan(best.value[1])
    pair = larger(CurveMaximum(values[order[0]], points[0]), CurveMaximum(values[order[2]], points[1]))
    assert math.isnan(pair.value[1]) == (1 in (order[0], order[2]))


@given(seed=seeds)
def test_no_point_of_a_tangent_is_higher_than_its_excess_says(seed):
    rng = np.random.default_rng(seed)
    lower, at, upper = (torch.tensor(x) for x in np.sort(rng.normal(0, 3, (3, 40)), axis=0))
    slope = torch.tensor(rng.normal(0, 1, 40))
    excess = s_curve._tangent_excess(slope, at, lower, upper)
    for share in np.linspace(0, 1, 9):
        x = lower + share * (upper - lower)
        assert bool((slope * (x - at) <= excess + 1e-12).all())
    assert bool((excess == torch.maximum(slope * (upper - at), slope * (lower - at))).all())


@pytest.mark.parametrize("kind", PRODUCTS)
@given(seed=seeds)
def test_offsets_hold_wherever_the_tangents_touch(kind, seed):
    """No root has to be found: the logarithms that give it are off by up to 1, and every offset still holds."""
    rng = np.random.default_rng(seed)
    low = torch.tensor(rng.uniform(-3, 3, (2, 30)))
    v, z = (Box(row, row + torch.tensor(rng.uniform(0, 4, 30))) for row in low)
    a, b = torch.tensor(rng.uniform(-0.3, 0.3, 30)), torch.tensor(rng.uniform(-0.2, 1.0, 30))
    product, generator = PRODUCTS[kind], torch.Generator().manual_seed(seed % 2**31)

    class Blurred:
        """torch, but for a logarithm that is wrong."""

        def __getattr__(self, name):
            return getattr(torch, name)

        def log(self, x):
            return torch.log(x) + torch.rand(x.shape, generator=generator, dtype=x.dtype) * 2 - 1

    plain = s_curve.torch
    s_curve.torch = Blurred()
    try:
        offset = product.upper_maximum(v, z, a, b).value
    finally:
        s_curve.torch = plain
    for i in np.linspace(0, 1, 15):
        for j in np.linspace(0, 1, 15):
            p, q = v.lower + i * (v.upper - v.lower), z.lower + j * (z.upper - z.lower)
            assert bool((product.value(p, q) - a * p - b * q <= offset + 1e-12).all())
