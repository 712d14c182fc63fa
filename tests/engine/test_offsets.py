"""Laws of exact offsets of products: sound on every box and tight, for any slopes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import PRODUCTS, Product
from refcert.kernel.claims import PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane
from tests.engine.plane_claims import claims, engine_boxes, not_proved

KINDS = sorted(PRODUCTS)


def _exact(product: Product, v: Box, z: Box, slope_v: torch.Tensor, slope_z: torch.Tensor) -> PlanePair:
    v2, z2 = both_sides(v, z)
    a, b = torch.stack((slope_v, -slope_v)), torch.stack((slope_z, slope_z))
    return pair_from_sides(Plane(a, b, product.upper_maximum(v2, z2, a, b).value))


@pytest.mark.parametrize("kind", KINDS)
@given(box=engine_boxes(), seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([1e-9, 0.1, 1.0, 30.0]))
def test_offsets_are_sound_for_any_slopes(kind, box, seed, reach):
    v, z = box
    rng = np.random.default_rng(seed)
    slope_v = torch.tensor(rng.normal(0, reach, v.lower.shape))
    slope_z = torch.tensor(rng.normal(0, reach, v.lower.shape))
    pair = _exact(PRODUCTS[kind], v, z, slope_v, slope_z)
    assert not_proved(claims(kind, v, z, pair)) == []


def points_of(box: Box, share: torch.Tensor) -> torch.Tensor:
    """Points of the box at these shares in [0, 1], never outside by rounding."""
    point = box.lower + share * (box.upper - box.lower)
    return torch.minimum(torch.maximum(point, box.lower), box.upper)


@pytest.mark.parametrize("kind", KINDS)
@given(box=engine_boxes(), seed=st.integers(0, 2**32 - 1))
def test_offsets_touch_the_surface(kind, box, seed):
    """Tangent slopes, where contacts are inside: an offset a hair further inward is refuted."""
    v, z = box
    share = torch.tensor(np.random.default_rng(seed).uniform(0, 1, (2, *v.lower.shape)))
    at_v, at_z = points_of(v, share[0]), points_of(z, share[1])
    product = PRODUCTS[kind]
    s = torch.sigmoid(at_v)
    pair = _exact(product, v, z, s * torch.sigmoid(-at_v) * product.g_value(at_z), s * product.g_slope(at_z))
    for claim in claims(kind, v, z, pair):
        reach = abs(claim.lower_v) + abs(claim.upper_v), abs(claim.lower_z) + abs(claim.upper_z)
        width = claim.upper_v - claim.lower_v
        terms = min(reach[1], 1.0) if kind.endswith("tanh") else reach[1]
        terms = terms * (1 + width) + abs(claim.slope_v) * reach[0] + (1 + abs(claim.slope_z)) * reach[1]
        inward = (1 if claim.side == "lower" else -1) * (1e-12 * terms + 1e-300)
        moved = PlaneClaim(
            *(claim.kind, claim.side, claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z),
            *(claim.slope_v, claim.slope_z, claim.offset + inward),
        )
        assert check_plane(moved).status is Status.REFUTED


@pytest.mark.parametrize("width", [0.1, 1.0, 8.0])
def test_offsets_touch_beside_a_double_root(width):
    """Newton's method, which halves its distance to a double root at each step, left offsets loose by 1e-7 and more."""
    product = PRODUCTS["sigmoid_times_tanh"]
    at_z = torch.linspace(0.5, 6.0, 40, dtype=torch.float64)
    border = torch.log1p(product.g_slope(at_z) / (2 * product.g_value(at_z) ** 2))  # of the concave region
    for distance in (1e-3, 1e-2, 1e-1):
        at_v = border + distance
        v = Box(border, border + width)
        z = Box(at_z - width / 2, at_z + width / 2)
        s = torch.sigmoid(at_v)
        a, b = s * torch.sigmoid(-at_v) * product.g_value(at_z), s * product.g_slope(at_z)
        bound = product.upper_maximum(v, z, a, b).value
        step = torch.linspace(0, 1, 33, dtype=torch.float64)[:, None, None]
        grid_v = border + width * step
        grid_z = at_z - width / 2 + width * step.transpose(0, 1)
        reached = (product.value(grid_v, grid_z) - a * grid_v - b * grid_z).amax((0, 1))
        reached = torch.maximum(reached, product.value(at_v, at_z) - a * at_v - b * at_z)
        interior = product.value(at_v, at_z) - a * at_v - b * at_z >= reached - 1e-15
        assert interior.any()
        assert bool((bound - reached)[interior].max() <= 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@given(box=engine_boxes(), seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([0.1, 30.0]))
def test_float32_offsets_are_sound_for_the_exact_values_they_are(kind, box, seed, reach):
    v, z = (Box(b.lower.float(), torch.maximum(b.lower.float(), b.upper.float())) for b in box)
    rng = np.random.default_rng(seed)
    slope_v = torch.tensor(rng.normal(0, reach, v.lower.shape)).float()
    slope_z = torch.tensor(rng.normal(0, reach, v.lower.shape)).float()
    pair = _exact(PRODUCTS[kind], v, z, slope_v, slope_z)
    assert not_proved(claims(kind, v, z, pair)) == []
