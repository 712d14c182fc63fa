"""Laws of lines over sigmoid, tanh and relu: proved on every interval, touching, of least area where they say so."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gpu_engine.bounds import Box, Plane, PlanePair
from gpu_engine.relaxations.curve_lines import (
    common_slope_lines,
    constant_lines,
    least_volume_lines,
    lines_of_slope,
)
from gpu_engine.relaxations.curves import CURVES
from gpu_engine.relaxations.registry import RELAXATIONS
from refcert.kernel.claims import Status
from refcert.kernel.plane_proof import check_plane
from tests.engine.plane_claims import claims, engine_boxes, height, moved_inward, not_proved

KINDS = sorted(CURVES)
WAYS = {"least volume": least_volume_lines, "common slope": common_slope_lines, "constant": constant_lines}
FIELDS = [(side, name) for side in ("lower", "upper") for name in ("slope_v", "slope_z", "offset")]


def _field(pair, side, name):
    return getattr(getattr(pair, side), name)


def _nothing(v):
    return Box(torch.zeros_like(v.lower), torch.zeros_like(v.lower))


def _single(box):
    return Box(box.lower.float(), torch.maximum(box.lower.float(), box.upper.float()))


def _moderate(seed, size, half=2.5):
    rng = np.random.default_rng(seed)
    centre, half = rng.uniform(-4, 4, size), rng.uniform(0.05, half, size)
    return Box(torch.tensor(centre - half), torch.tensor(centre + half))


def test_every_relaxation_has_lines_of_this_file():
    assert {relaxation.curve for relaxation in RELAXATIONS.values()} <= set(WAYS.values())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", sorted(WAYS))
@settings(max_examples=max(1, settings.default.max_examples // 2))
@given(box=engine_boxes(), single=st.booleans())
def test_every_line_is_proved(kind, way, box, single):
    v = _single(box[0]) if single else box[0]
    pair = WAYS[way](CURVES[kind], v)
    assert all(_field(pair, *field).dtype == v.lower.dtype for field in FIELDS)
    assert all(bool((_field(pair, side, "slope_z") == 0).all()) for side in ("lower", "upper"))
    assert not_proved(claims(kind, v, _nothing(v), pair)) == []


@pytest.mark.parametrize("kind", KINDS)
@given(
    box=engine_boxes(),
    seed=st.integers(0, 2**32 - 1),
    reach=st.sampled_from([1e-300, 1e-9, 0.1, 1.0, 30.0]),
    single=st.booleans(),
)
def test_offsets_are_sound_for_any_slopes(kind, box, seed, reach, single):
    v = _single(box[0]) if single else box[0]
    slope = torch.tensor(np.random.default_rng(seed).normal(0, reach, v.lower.shape)).to(v.lower.dtype)
    assert not_proved(claims(kind, v, _nothing(v), lines_of_slope(CURVES[kind], v, slope))) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", sorted(WAYS))
def test_lines_moved_inward_by_a_billionth_of_their_gap_are_refuted(kind, way):
    v = _moderate(5, 400)
    pair = WAYS[way](CURVES[kind], v)
    if kind == "relu" and way != "constant":  # where relu is straight there is no gap
        bent = (v.lower < 0) & (v.upper > 0)
        v = Box(v.lower[bent], v.upper[bent])
        pair = WAYS[way](CURVES[kind], v)
    elif kind == "relu":
        v = Box(v.lower, v.upper.abs())
        pair = WAYS[way](CURVES[kind], v)
    for claim in claims(kind, v, _nothing(v), moved_inward(pair, v, _nothing(v), 1e-9)):
        verdict = check_plane(claim)
        assert verdict.status is Status.REFUTED
        assert verdict.point is not None


@pytest.mark.parametrize("half", [2.5, 30.0])
@pytest.mark.parametrize("kind", KINDS)
def test_least_volume_reaches_the_optimum(kind, half):
    """Against a linear program over a fine grid (cvxpy), both lines: the grid's optimum is at most the true one."""
    import cvxpy as cp

    curve, ratios = CURVES[kind], []
    for k in range(20):
        v = _moderate(k, 1, half)
        pair = least_volume_lines(curve, v)
        centre = float(v.lower + v.upper) / 2
        grid = np.linspace(float(v.lower), float(v.upper), 801)
        values = curve.value(torch.tensor(grid)).numpy()
        for sign, line in ((1, pair.upper), (-1, pair.lower)):
            slope, top = cp.Variable(), cp.Variable()
            problem = cp.Problem(cp.Minimize(top), [(grid - centre) * slope + top >= sign * values])
            problem.solve(solver=cp.HIGHS)
            ours, surface = sign * float(height(line, v, _nothing(v))), sign * values[400]
            assert ours >= problem.value - 1e-7
            ratios.append((ours - surface + 1e-6) / (problem.value - surface + 1e-6))
    assert np.median(ratios) <= 1.005
    assert np.mean(np.array(ratios) <= 1.03) >= 0.9


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", sorted(WAYS))
@settings(max_examples=4)
@given(box=engine_boxes(6))
def test_batch_is_loop_in_any_shape(kind, way, box):
    v = box[0]
    whole = WAYS[way](CURVES[kind], v)
    shaped = WAYS[way](CURVES[kind], Box(v.lower.view(2, 1, 3), v.upper.view(2, 1, 3)))
    for field in FIELDS:
        assert torch.equal(_field(shaped, *field).reshape(-1), _field(whole, *field))
    for k in range(len(v.lower)):
        alone = WAYS[way](CURVES[kind], Box(v.lower[k], v.upper[k]))
        for field in FIELDS:
            torch.testing.assert_close(_field(alone, *field), _field(whole, *field)[k], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_point_gives_the_value_and_not_the_argument(kind, way):
    """Bounding tanh at 2 by 2 itself was off by 1.04 in a published tool."""
    point = torch.tensor([-1000.0, -2.0, 0.0, 0.3, 2.0, 1000.0], dtype=torch.float64)
    v = Box(point, point)
    pair = WAYS[way](CURVES[kind], v)
    surface = CURVES[kind].value(point)
    for line, sign in ((pair.lower, -1), (pair.upper, 1)):
        beyond = sign * (height(line, v, _nothing(v)) - surface)
        assert bool((beyond >= 0).all())
        assert bool((beyond <= 1e-13 * (1 + point.abs())).all())


def test_inputs_are_not_modified():
    v = Box(torch.tensor([-1.0, 2.0, -3.0]), torch.tensor([1.0, 2.0, 4.0]))
    before = [v.lower.clone(), v.upper.clone()]
    for curve in CURVES.values():
        for way in WAYS.values():
            way(curve, v)
    assert torch.equal(before[0], v.lower)
    assert torch.equal(before[1], v.upper)


@pytest.mark.parametrize("kind", KINDS)
def test_nan_is_seen(kind):
    nan, zero = torch.tensor([torch.nan, 0.0]), torch.zeros(2)
    for v in (Box(nan, zero + 1), Box(zero, nan)):
        for way in WAYS.values():
            pair = way(CURVES[kind], v)
            assert all(bool(torch.isnan(line.slope_v + line.offset)[0]) for line in (pair.lower, pair.upper))


@pytest.mark.parametrize("kind", KINDS)
def test_a_common_slope_is_one_tensor(kind):
    pair = common_slope_lines(CURVES[kind], _moderate(3, 10))
    assert pair.lower.slope_v is pair.upper.slope_v


def test_relu_lines_are_the_known_ones():
    v = Box(torch.tensor([1.0, -3.0, -1.0, -3.0]).double(), torch.tensor([2.0, -1.0, 3.0, 1.0]).double())
    pair = least_volume_lines(CURVES["relu"], v)
    assert pair.lower.slope_v.tolist() == [1, 0, 1, 0]
    assert pair.upper.slope_v.tolist() == [1, 0, 0.75, 0.25]
    torch.testing.assert_close(pair.upper.offset, torch.tensor([0, 0, 0.75, 0.75]).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(pair.lower.offset, torch.zeros(4).double(), rtol=0, atol=1e-12)


# Lines that are wrong, each as seen somewhere.


def _chords(curve, v):
    """The chord as the upper line, wherever it lies."""
    slope = (curve.value(v.upper) - curve.value(v.lower)) / (v.upper - v.lower)
    upper = Plane(slope, torch.zeros_like(slope), curve.value(v.lower) - slope * v.lower)
    return PlanePair(constant_lines(curve, v).lower, upper)


def _argument_for_value(curve, v):
    """A bound for the argument in the place of one for the value."""
    zero = torch.zeros_like(v.lower)
    return PlanePair(Plane(zero, zero, v.lower), Plane(zero, zero, v.upper))


def _float32_table(curve, v):
    """Tangents at the centre of the interval, rounded to float32 and not pushed outward."""
    centre = (v.lower + v.upper) / 2
    slope = curve.slope(centre).float().double()
    offset = (curve.value(centre) - slope * centre).float().double()
    tangent = Plane(slope, torch.zeros_like(slope), offset)
    return PlanePair(tangent, tangent)


def _no_push(curve, v):
    """Exact but for rounding: nothing is pushed outward."""
    slope = curve.slope((v.lower + v.upper) / 2)
    ends = torch.stack([curve.value(end) - slope * end for end in (v.lower, (v.lower + v.upper) / 2, v.upper)])
    zero = torch.zeros_like(slope)
    return PlanePair(Plane(slope, zero, ends.amin(0)), Plane(slope, zero, ends.amax(0)))


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        *((kind, wrong) for kind in ("sigmoid", "tanh") for wrong in (_chords, _float32_table, _no_push)),
        *((kind, _argument_for_value) for kind in KINDS),
    ],
)
def test_wrong_lines_are_caught(kind, wrong):
    v = _moderate(10, 100)
    found = not_proved(claims(kind, v, _nothing(v), wrong(CURVES[kind], v)))
    assert any(verdict.status is Status.REFUTED for _, verdict in found)
