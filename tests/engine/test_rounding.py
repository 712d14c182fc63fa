"""The constants of outward rounding hold on this device: elementary functions against ball arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from flint import arb

from gpu_engine.bounds import Box
from gpu_engine.propagation import interval
from gpu_engine.relaxations.s_curve import sech_squared
from gpu_engine.rounding import ELEMENTARY_UNITS, gamma, tiny, unit_roundoff
from refcert.kernel.ball import exact, float_above, precision

FUNCTIONS = {
    "sigmoid": (torch.sigmoid, lambda x: 1 / (1 + (-x).exp())),
    "tanh": (torch.tanh, lambda x: x.tanh()),
    "exp": (torch.exp, lambda x: x.exp()),
    "sech_squared": (sech_squared, lambda x: 1 / (x.cosh() * x.cosh())),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_elementary_functions_are_as_accurate_as_assumed(name, dtype):
    function, truth = FUNCTIONS[name]
    rng = np.random.default_rng(0)
    reach = 700.0 if dtype == torch.float64 else 80.0
    x = np.concatenate((rng.uniform(-reach, reach, 2000), rng.normal(0, 1, 2000), rng.normal(0, 1e-6, 500)))
    points = torch.tensor(x).to(dtype)
    computed = function(points).double()
    with precision(200):
        for at, value in zip(points.double().tolist(), computed.tolist(), strict=True):
            true = truth(exact(at))
            allowed = ELEMENTARY_UNITS * unit_roundoff(dtype) * float_above(abs(true)) + tiny(dtype)
            assert float_above(abs(exact(value) - true)) <= allowed, (name, at)


def test_gamma_is_rounded_upward_and_refuses_what_it_cannot_bound():
    for n in (1, 3, 10, 1000, 10**6):
        with precision(200):
            n_u = n * exact(2.0**-53)
            assert exact(gamma(n, torch.float64)) >= n_u / (1 - n_u)
    with pytest.raises(ValueError, match="wider dtype"):
        gamma(2**23, torch.float32)


def test_interval_products_and_sums_contain_the_exact_ones():
    rng = np.random.default_rng(1)
    low = torch.tensor(rng.normal(0, 1, (2, 500)))
    a, b = (Box(row, row + torch.tensor(rng.uniform(0, 1, 500))) for row in low)
    product, total = interval.multiply(a, b), interval.add(a, b)
    with precision(200):
        for k in range(500):
            for x in (float(a.lower[k]), float(a.upper[k])):
                for y in (float(b.lower[k]), float(b.upper[k])):
                    for box, value in ((product, exact(x) * exact(y)), (total, exact(x) + exact(y))):
                        assert exact(float(box.lower[k])) <= value <= exact(float(box.upper[k]))


def test_interval_images_are_outward_and_inside_their_range():
    x = torch.tensor([-1000.0, -40.0, -1.0, 0.0, 1e-300, 2.0, 40.0, 1000.0], dtype=torch.float64)
    for image, truth, floor in (
        (interval.sigmoid(Box(x, x)), FUNCTIONS["sigmoid"][1], 0.0),
        (interval.tanh(Box(x, x)), FUNCTIONS["tanh"][1], -1.0),
    ):
        with precision(4000):
            for k, at in enumerate(x.tolist()):
                assert exact(float(image.lower[k])) <= truth(exact(at)) <= exact(float(image.upper[k]))
        assert bool((image.lower >= floor).all() and (image.upper <= 1).all())


def test_one_ball_helper_is_exact():
    assert exact(0.1) == arb(0.1)
