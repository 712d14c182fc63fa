"""Laws of exact offsets: sound on every box, tight, for any slopes and every rule."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.offsets import both_sides, pair_from_sides
from gpu_engine.relaxations.products import PRODUCTS, Product
from gpu_engine.relaxations.rules import RULES
from refcert.kernel.claims import PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane
from tests.engine.boxes import boxes, points_of

KINDS = sorted(PRODUCTS)


def _claims(kind: str, v: Box, z: Box, pair: PlanePair) -> list[PlaneClaim]:
    rows = []
    for side, plane in (("lower", pair.lower), ("upper", pair.upper)):
        values = (v.lower, v.upper, z.lower, z.upper, plane.slope_v, plane.slope_z, plane.offset)
        columns = [value.double().reshape(-1).tolist() for value in values]
        rows += [PlaneClaim(kind, side, *row) for row in zip(*columns, strict=True)]
    return rows


def _not_proved(claims: list[PlaneClaim]) -> list[tuple[PlaneClaim, object]]:
    verdicts = ((claim, check_plane(claim)) for claim in claims)
    return [(claim, verdict) for claim, verdict in verdicts if verdict.status is not Status.PROVED]


def _exact(product: Product, v: Box, z: Box, slope_v: torch.Tensor, slope_z: torch.Tensor) -> PlanePair:
    v2, z2 = both_sides(v, z)
    a, b = torch.stack((slope_v, -slope_v)), torch.stack((slope_z, slope_z))
    return pair_from_sides(Plane(a, b, product.upper_maximum(v2, z2, a, b).value))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", sorted(RULES))
@given(box=boxes())
def test_every_plane_of_every_rule_is_proved(kind, rule, box):
    v, z = box
    pair = RULES[rule](PRODUCTS[kind], v, z)
    assert _not_proved(_claims(kind, v, z, pair)) == []


@pytest.mark.parametrize("kind", KINDS)
@given(box=boxes(), seed=st.integers(0, 2**32 - 1), reach=st.sampled_from([1e-9, 0.1, 1.0, 30.0]))
def test_offsets_are_sound_for_any_slopes(kind, box, seed, reach):
    v, z = box
    rng = np.random.default_rng(seed)
    slope_v = torch.tensor(rng.normal(0, reach, v.lower.shape))
    slope_z = torch.tensor(rng.normal(0, reach, v.lower.shape))
    pair = _exact(PRODUCTS[kind], v, z, slope_v, slope_z)
    assert _not_proved(_claims(kind, v, z, pair)) == []


@pytest.mark.parametrize("kind", KINDS)
@given(box=boxes(), seed=st.integers(0, 2**32 - 1))
def test_offsets_touch_the_surface(kind, box, seed):
    """Tangent slopes, where contacts are inside: an offset a hair further inward is refuted."""
    v, z = box
    share = torch.tensor(np.random.default_rng(seed).uniform(0, 1, (2, *v.lower.shape)))
    at_v, at_z = points_of(v, share[0]), points_of(z, share[1])
    product = PRODUCTS[kind]
    s = torch.sigmoid(at_v)
    pair = _exact(product, v, z, s * torch.sigmoid(-at_v) * product.g_value(at_z), s * product.g_slope(at_z))
    for claim in _claims(kind, v, z, pair):
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
@pytest.mark.parametrize("rule", sorted(RULES))
@given(box=boxes())
def test_float32_planes_are_proved_as_the_exact_values_they_are(kind, rule, box):
    v, z = (Box(b.lower.float(), torch.maximum(b.lower.float(), b.upper.float())) for b in box)
    pair = RULES[rule](PRODUCTS[kind], v, z)
    assert _not_proved(_claims(kind, v, z, pair)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rule", sorted(RULES))
@given(box=boxes(size=7))
def test_batch_is_loop(kind, rule, box):
    v, z = box
    whole = RULES[rule](PRODUCTS[kind], v, z)
    for k in range(len(v.lower)):
        part = slice(k, k + 1)
        alone = RULES[rule](PRODUCTS[kind], Box(v.lower[part], v.upper[part]), Box(z.lower[part], z.upper[part]))
        for side in ("lower", "upper"):
            for name in ("slope_v", "slope_z", "offset"):
                one, many = getattr(getattr(alone, side), name), getattr(getattr(whole, side), name)[part]
                torch.testing.assert_close(one, many, rtol=1e-9, atol=1e-9)


def test_shifting_planes_inward_by_a_billionth_of_their_gap_is_refuted():
    rng = np.random.default_rng(5)
    for kind in KINDS:
        centre, half = rng.uniform(-5, 5, (2, 300)), rng.uniform(0.05, 2.5, (2, 300))
        v, z = (Box(torch.tensor(c - h), torch.tensor(c + h)) for c, h in zip(centre, half, strict=True))
        for rule in RULES.values():
            pair = rule(PRODUCTS[kind], v, z)
            middle_v, middle_z = (v.lower + v.upper) / 2, (z.lower + z.upper) / 2
            upper, lower = pair.upper, pair.lower
            gap = (upper.slope_v - lower.slope_v) * middle_v + (upper.slope_z - lower.slope_z) * middle_z
            gap = gap + upper.offset - lower.offset
            moved = PlanePair(
                Plane(lower.slope_v, lower.slope_z, lower.offset + 1e-9 * gap),
                Plane(upper.slope_v, upper.slope_z, upper.offset - 1e-9 * gap),
            )
            for claim in _claims(kind, v, z, moved):
                verdict = check_plane(claim)
                assert verdict.status is Status.REFUTED
                assert verdict.point is not None


@pytest.mark.parametrize("kind", KINDS)
def test_least_volume_reaches_the_optimum(kind):
    """Against a linear program over a fine grid (cvxpy): the grid's optimum is at most the true one."""
    import cvxpy as cp

    product, rng = PRODUCTS[kind], np.random.default_rng(11)
    ratios = []
    for _ in range(25):
        centre, half = rng.uniform(-4, 4, 2), rng.uniform(0.2, 2.5, 2)
        v, z = (Box(torch.tensor([c - h]), torch.tensor([c + h])) for c, h in zip(centre, half, strict=True))
        grid_v, grid_z = np.meshgrid(*(np.linspace(c - h, c + h, 41) for c, h in zip(centre, half, strict=True)))
        surface = product.value(torch.tensor(grid_v), torch.tensor(grid_z)).numpy().ravel()
        slope, height = cp.Variable(2), cp.Variable()
        points = np.stack((grid_v.ravel() - centre[0], grid_z.ravel() - centre[1]), 1)
        problem = cp.Problem(cp.Minimize(height), [points @ slope + height >= surface])
        problem.solve(solver=cp.HIGHS)
        upper = RULES["least_volume"](product, v, z).upper
        ours = float(upper.slope_v * centre[0] + upper.slope_z * centre[1] + upper.offset)
        at_centre = float(product.value(torch.tensor(centre[0]), torch.tensor(centre[1])))
        assert ours >= problem.value - 1e-7
        ratios.append((ours - at_centre + 1e-6) / (problem.value - at_centre + 1e-6))
    assert np.median(ratios) <= 1.005
    assert np.mean(np.array(ratios) <= 1.03) >= 0.8


def test_inputs_are_not_modified():
    v = Box(torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 2.0]))
    z = Box(torch.tensor([-3.0, 0.5]), torch.tensor([2.0, 0.5]))
    before = [t.clone() for t in (v.lower, v.upper, z.lower, z.upper)]
    for rule in RULES.values():
        for product in PRODUCTS.values():
            rule(product, v, z)
    assert all(torch.equal(a, b) for a, b in zip(before, (v.lower, v.upper, z.lower, z.upper), strict=True))
