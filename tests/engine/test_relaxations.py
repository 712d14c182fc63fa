"""Laws of every named relaxation of a product: its planes are proved on every box, and are what the name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.curve_lines import least_volume_lines
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.products import PRODUCTS
from gpu_engine.relaxations.registry import BEST, DEFAULT_RELAXATION, RELAXATIONS
from refcert.kernel.claims import Status
from refcert.kernel.plane_proof import check_plane
from tests.engine.plane_claims import claims, engine_boxes, height, moved_inward, not_proved

KINDS = sorted(PRODUCTS)
NAMES = sorted(RELAXATIONS)
TOUCHING = [name for name in NAMES if name != "mccormick"]  # its composed offsets are looser on purpose
FIELDS = [(side, name) for side in ("lower", "upper") for name in ("slope_v", "slope_z", "offset")]


def _field(pair, side, name):
    return getattr(getattr(pair, side), name)


def _single(box):
    return Box(box.lower.float(), torch.maximum(box.lower.float(), box.upper.float()))


def _moderate(seed, size, half=2.5):
    rng = np.random.default_rng(seed)
    centre, half = rng.uniform(-4, 4, (2, size)), rng.uniform(0.05, half, (2, size))
    return tuple(Box(torch.tensor(c - h), torch.tensor(c + h)) for c, h in zip(centre, half, strict=True))


def test_the_table_is_in_order():
    assert all(name == relaxation.name for name, relaxation in RELAXATIONS.items())
    assert DEFAULT_RELAXATION in RELAXATIONS
    assert set(BEST) <= set(RELAXATIONS)
    assert all(
        0 < len(relaxation.summary) <= 80 and "\n" not in relaxation.summary for relaxation in RELAXATIONS.values()
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=max(1, settings.default.max_examples // 3))
@given(box=engine_boxes(), single=st.booleans())
def test_every_plane_is_proved(kind, name, box, single):
    v, z = map(_single, box) if single else box
    pair = RELAXATIONS[name].product(PRODUCTS[kind], v, z)
    assert all(_field(pair, *field).dtype == v.lower.dtype for field in FIELDS)
    assert not_proved(claims(kind, v, z, pair)) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=3)
@given(box=engine_boxes(6))
def test_batch_is_loop_in_any_shape(kind, name, box):
    v, z = box
    relaxation = RELAXATIONS[name]
    whole = relaxation.product(PRODUCTS[kind], v, z)
    shaped = relaxation.product(PRODUCTS[kind], *(Box(b.lower.view(2, 1, 3), b.upper.view(2, 1, 3)) for b in (v, z)))
    for field in FIELDS:
        assert torch.equal(_field(shaped, *field).reshape(-1), _field(whole, *field))
    for k in range(len(v.lower)):
        alone = relaxation.product(PRODUCTS[kind], *(Box(b.lower[k], b.upper[k]) for b in (v, z)))
        for field in FIELDS:
            torch.testing.assert_close(_field(alone, *field), _field(whole, *field)[k], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TOUCHING)
def test_planes_moved_inward_by_a_billionth_of_their_gap_are_refuted(kind, name):
    v, z = _moderate(5, 200)
    pair = RELAXATIONS[name].product(PRODUCTS[kind], v, z)
    for claim in claims(kind, v, z, moved_inward(pair, v, z, 1e-9)):
        verdict = check_plane(claim)
        assert verdict.status is Status.REFUTED
        assert verdict.point is not None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_a_point_gives_the_value_and_not_the_argument(kind, name):
    point_v = torch.tensor([-30.0, -2.0, 0.0, 0.3, 2.0, 30.0], dtype=torch.float64).repeat(5)
    point_z = torch.tensor([-30.0, -2.0, 0.0, 2.0, 30.0], dtype=torch.float64).repeat_interleave(6)
    v, z = Box(point_v, point_v), Box(point_z, point_z)
    pair = RELAXATIONS[name].product(PRODUCTS[kind], v, z)
    surface = PRODUCTS[kind].value(point_v, point_z)
    for plane, sign in ((pair.lower, -1), (pair.upper, 1)):
        beyond = sign * (height(plane, v, z) - surface)
        assert bool((beyond > 0).all())
        assert bool((beyond <= 1e-12).all())


def test_inputs_are_not_modified():
    v = Box(torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 2.0]))
    z = Box(torch.tensor([-3.0, 0.5]), torch.tensor([2.0, 0.5]))
    before = [t.clone() for t in (v.lower, v.upper, z.lower, z.upper)]
    for relaxation in RELAXATIONS.values():
        for product in PRODUCTS.values():
            relaxation.product(product, v, z)
    assert all(torch.equal(a, b) for a, b in zip(before, (v.lower, v.upper, z.lower, z.upper), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_nan_is_seen(kind, name):
    nan, zero = torch.tensor([torch.nan, 0.0]), torch.zeros(2)
    for v, z in ((Box(nan, zero + 1), Box(zero, zero + 1)), (Box(zero, zero + 1), Box(zero, nan))):
        pair = RELAXATIONS[name].product(PRODUCTS[kind], v, z)
        for plane in (pair.lower, pair.upper):
            assert bool(torch.isnan(plane.slope_v + plane.slope_z + plane.offset)[0])


# What the names say.


def _least_height(v, z, surface, zero_slope=None):
    """The least height at the centre of any upper plane over a grid, by linear programming."""
    import cvxpy as cp

    slope, top = cp.Variable(2), cp.Variable()
    centre = np.array([float(b.lower + b.upper) / 2 for b in (v, z)])
    grid = [np.linspace(float(b.lower), float(b.upper), 41) for b in (v, z)]
    grid_v, grid_z = np.meshgrid(*grid)
    points = np.stack((grid_v.ravel() - centre[0], grid_z.ravel() - centre[1]), 1)
    heights = surface(torch.tensor(grid_v), torch.tensor(grid_z)).numpy().ravel()
    constraints = [points @ slope + top >= heights]
    if zero_slope is not None:
        constraints.append(slope[zero_slope] == 0)
    problem = cp.Problem(cp.Minimize(top), constraints)
    problem.solve(solver=cp.HIGHS)
    return problem.value, float(surface(*(torch.tensor(c) for c in centre)))


ZERO_SLOPES = {"planes": (None,), "lines_either": (0, 1), "lines": (1,)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", sorted(ZERO_SLOPES))
def test_least_height_reaches_the_optimum(kind, name):
    """Against a linear program over a fine grid (cvxpy): the grid's optimum is at most the true one."""
    product, ratios = PRODUCTS[kind], []
    for k in range(25):
        v, z = _moderate(k, 1)
        upper = RELAXATIONS[name].product(product, v, z).upper
        optima = [_least_height(v, z, product.value, zero) for zero in ZERO_SLOPES[name]]
        optimum, at_centre = min(optima)
        ours = float(height(upper, v, z))
        assert ours >= optimum - 1e-7
        ratios.append((ours - at_centre + 1e-6) / (optimum - at_centre + 1e-6))
    assert np.median(ratios) <= 1.005
    assert np.mean(np.array(ratios) <= 1.03) >= 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_parallel_shares_one_tensor(kind):
    pair = RELAXATIONS["parallel"].product(PRODUCTS[kind], *_moderate(3, 10))
    assert pair.lower.slope_z is pair.upper.slope_z


@pytest.mark.parametrize("kind", KINDS)
def test_lines_have_one_zero_slope_and_are_never_higher_than_those_in_v(kind):
    v, z = _moderate(7, 400)
    product = PRODUCTS[kind]
    lines, in_v = (RELAXATIONS[name].product(product, v, z) for name in ("lines_either", "lines"))
    for plane, paper, sign in ((lines.lower, in_v.lower, -1), (lines.upper, in_v.upper, 1)):
        assert bool(((plane.slope_v == 0) | (plane.slope_z == 0)).all())
        assert bool((paper.slope_z == 0).all())
        assert bool((sign * height(plane, v, z) <= sign * height(paper, v, z)).all())
        assert bool((plane.slope_z != 0).any())
        assert bool((plane.slope_v != 0).any())


@pytest.mark.parametrize("kind", KINDS)
def test_lines_are_appendix_a6(kind):
    """H(v) = h(v) g(zu) with h the upper line of the sigmoid where g(zu) >= 0, and its lower line where not."""
    v, z = _moderate(8, 400)
    product = PRODUCTS[kind]
    g = product.g_value(z.upper)
    sigmoid = least_volume_lines(CURVES["sigmoid"], v)
    paper_slope = torch.where(g >= 0, sigmoid.upper.slope_v, sigmoid.lower.slope_v) * g
    paper_offset = torch.where(g >= 0, sigmoid.upper.offset, sigmoid.lower.offset) * g
    paper = Plane(paper_slope, torch.zeros_like(g), paper_offset)
    ours = RELAXATIONS["lines"].product(product, v, z).upper
    torch.testing.assert_close(height(ours, v, z), height(paper, v, z), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=20)
@given(box=engine_boxes())
def test_constants_are_the_range(kind, box):
    v, z = box
    product = PRODUCTS[kind]
    corners = torch.stack([product.value(a, b) for a in (v.lower, v.upper) for b in (z.lower, z.upper)])
    pair = RELAXATIONS["constants"].product(product, v, z)
    slack = 4e-14 * (1 + v.magnitude()) * (1 + z.magnitude())  # what outward rounding may add
    for plane, end, sign in ((pair.lower, corners.amin(0), -1), (pair.upper, corners.amax(0), 1)):
        assert bool((plane.slope_v == 0).all())
        assert bool((plane.slope_z == 0).all())
        beyond = sign * (plane.offset - end)
        assert bool((beyond >= 0).all())
        assert bool((beyond <= slack).all())


@pytest.mark.parametrize("kind", KINDS)
def test_mccormick_is_the_lower_of_two_composed_planes(kind):
    """Recomputed at the centre from the factors' lines, upper planes; never lower than the planes of least volume."""
    v, z = _moderate(9, 400)
    product = PRODUCTS[kind]
    centre_v, centre_z = (v.lower + v.upper) / 2, (z.lower + z.upper) / 2
    lines = least_volume_lines(CURVES["sigmoid"], v)
    high_x, low_x = (line.slope_v * centre_v + line.offset for line in (lines.upper, lines.lower))
    high_y = centre_z
    if kind == "sigmoid_times_tanh":
        line = least_volume_lines(CURVES["tanh"], z).upper
        high_y = line.slope_v * centre_z + line.offset
    x = torch.sigmoid(v.lower), torch.sigmoid(v.upper)
    y = product.g_value(z.lower), product.g_value(z.upper)
    heights = [
        x_end * high_y + torch.where(y_end >= 0, y_end * high_x, y_end * low_x) - x_end * y_end
        for x_end, y_end in ((x[1], y[0]), (x[0], y[1]))
    ]
    ours = height(RELAXATIONS["mccormick"].product(product, v, z).upper, v, z)
    torch.testing.assert_close(ours, torch.minimum(*heights), rtol=1e-9, atol=1e-9)
    best = height(RELAXATIONS["planes"].product(product, v, z).upper, v, z)
    assert bool((best <= ours + 0.03 * (ours - product.value(centre_v, centre_z)) + 1e-9).all())


# Relaxations that are wrong, each as seen somewhere.


def _sampled(product, v, z):
    """Offsets from a 20 x 20 sample instead of the exact maximum."""
    pair = RELAXATIONS["planes"].product(product, v, z)
    step = torch.linspace(0, 1, 20, dtype=v.lower.dtype)[:, None, None]
    at_v = v.lower + step * (v.upper - v.lower)
    at_z = z.lower + step.transpose(0, 1) * (z.upper - z.lower)
    rest = [product.value(at_v, at_z) - p.slope_v * at_v - p.slope_z * at_z for p in (pair.lower, pair.upper)]
    lower, upper = pair.lower, pair.upper
    return PlanePair(
        Plane(lower.slope_v, lower.slope_z, rest[0].amin((0, 1))),
        Plane(upper.slope_v, upper.slope_z, rest[1].amax((0, 1))),
    )


def _sigmoid_first(product, v, z):
    """McCormick's product with the upper line of the sigmoid whatever its factor's sign, and no exact offset."""
    lines = least_volume_lines(CURVES["sigmoid"], v)
    x_end, y_end = torch.sigmoid(v.upper), product.g_value(z.lower)
    upper = Plane(y_end * lines.upper.slope_v, x_end, y_end * lines.upper.offset - x_end * y_end)
    return PlanePair(RELAXATIONS["constants"].product(product, v, z).lower, upper)


def _other_box(product, v, z):
    """The planes of the neighbour's box: an index error."""
    return RELAXATIONS["parallel"].product(product, Box(v.lower.roll(1), v.upper.roll(1)), z)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("wrong", [_sampled, _sigmoid_first, _other_box])
def test_a_wrong_relaxation_is_caught(kind, wrong):
    v, z = _moderate(10, 60)
    found = not_proved(claims(kind, v, z, wrong(PRODUCTS[kind], v, z)))
    assert any(verdict.status is Status.REFUTED for _, verdict in found)
