"""Laws of planes over octagons: sound on every octagon for any slopes, near what points show, and kinder than boxes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import Box, Diagonals, Plane, PlanePair
from gpu_engine.relaxations.octagon import octagon
from gpu_engine.relaxations.octagon_edges import Octagon, both_octagons
from gpu_engine.relaxations.octagon_maximum import octagon_maximum
from gpu_engine.relaxations.offsets import pair_from_sides
from gpu_engine.relaxations.products import PRODUCTS
from refcert.kernel.claims import PlaneClaim
from tests.engine.plane_claims import claims, not_proved

KINDS = sorted(PRODUCTS)
DTYPES = (torch.float64, torch.float32)
WIDTHS = (0.0, 1e-9, 1e-3, 0.3, 2.0, 2.0, 8.0)
CENTRES = (0.0, 1.0, 1.0, 3.0, 30.0)
SEEDS = st.integers(0, 2**32 - 1)


def drawn(seed: int, dtype: torch.dtype, size: int = 16) -> Octagon:
    """Octagons around a point: bounds of v, z, v + z and v - z, some of them implied by others."""
    rng = np.random.default_rng(seed)
    centre = rng.choice(CENTRES, (2, size)) * rng.uniform(-1, 1, (2, size))
    half = rng.choice(WIDTHS, (2, size))
    v, z = (
        Box(c - w * rng.uniform(0, 1, size), c + w * rng.uniform(0, 1, size)) for c, w in zip(centre, half, strict=True)
    )
    sums = []
    for sign in (1.0, -1.0):
        middle, wide = centre[0] + sign * centre[1], half[0] + half[1]
        cut = rng.choice((0.01, 0.3, 0.6, 0.9, 2.0), (2, size)) * wide + 1e-5 * (1 + np.abs(middle))
        sums.append(Box(middle - cut[0], middle + cut[1]))
    return Octagon(*(Box(*(torch.tensor(end).to(dtype) for end in (box.lower, box.upper))) for box in (v, z, *sums)))


def slopes_near(shape: Octagon, kind: str, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Slopes of tangent planes somewhere in the box, some of them disturbed: maxima on every edge and inside."""
    rng, product = np.random.default_rng(seed), PRODUCTS[kind]

    def random(*values: float) -> torch.Tensor:
        return torch.tensor(rng.choice(values, shape.v.lower.shape) * rng.normal(0, 1, shape.v.lower.shape)).to(
            shape.v.lower.dtype
        )

    at_v, at_z = (box.lower + random(0.5).abs().clamp(max=1.0) * (box.upper - box.lower) for box in (shape.v, shape.z))
    s = torch.sigmoid(at_v)
    a, b = s * torch.sigmoid(-at_v) * product.g_value(at_z), s * product.g_slope(at_z)
    return a + random(0.0, 0.0, 0.1, 1.0), b + random(0.0, 0.0, 0.1, 1.0)


def pair_of(shape: Octagon, kind: str, a: torch.Tensor, b: torch.Tensor) -> PlanePair:
    """Both planes with these slopes."""
    a, b = torch.stack((a, -a)), torch.stack((b, b))
    return pair_from_sides(Plane(a, b, octagon_maximum(PRODUCTS[kind], both_octagons(shape), a, b).value))


def claimed(shape: Octagon, kind: str, pair: PlanePair) -> list[PlaneClaim]:
    """Both planes of every octagon."""
    ends = (shape.plus.lower, shape.plus.upper, shape.minus.lower, shape.minus.upper)
    rows = list(zip(*(end.double().tolist() for end in ends), strict=True)) * 2
    plain = claims(kind, shape.v, shape.z, pair)
    return [dataclasses.replace(claim, diagonals=row) for claim, row in zip(plain, rows, strict=True)]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(seed=SEEDS)
def test_offsets_are_sound_for_any_slopes(kind, dtype, seed):
    shape = drawn(seed, dtype)
    assert not_proved(claimed(shape, kind, pair_of(shape, kind, *slopes_near(shape, kind, seed)))) == []


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(seed=SEEDS)
def test_planes_of_the_relaxation_are_sound(kind, dtype, seed):
    shape = drawn(seed, dtype)
    pair = octagon(PRODUCTS[kind], shape.v, shape.z, Diagonals(shape.plus, shape.minus))
    assert pair.lower.slope_z is pair.upper.slope_z
    assert not_proved(claimed(shape, kind, pair)) == []
