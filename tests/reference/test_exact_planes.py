"""The candidate set against a grid, every plane against the kernel's proof, and planted faults."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.kernel.claims import PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane
from refcert.reference.equations import KINDS, PRODUCTS, evaluate_kind
from refcert.reference.exact_planes import Plane, extreme_excess, plane_above, plane_below
from refcert.reference.grid_search import grid_extremes
from refcert.reference.intervals import POINT_ZERO, Interval, kind_interval
from refcert.reference.least_volume import GAP, METHODS, least_volume
from tests.reference.drawn import intervals, seeds

kinds = st.sampled_from(KINDS)
slopes = st.sampled_from((0.0, 0.05, 0.2, 0.25, 0.5, 1.0)).flatmap(lambda size: st.floats(-size, size))


def proved(kind, side, v, z, plane: Plane):
    z = z if kind in PRODUCTS else POINT_ZERO
    return check_plane(PlaneClaim(kind, side, *v, *z, *plane)).status


@given(kinds, intervals(), intervals(), slopes, slopes)
def test_never_below_the_grid_and_close_to_it(kind, v, z, a, b):
    low, high = extreme_excess(kind, v, z, a, b)
    grid_low, grid_high = grid_extremes(kind, v, z, a, b)
    size = 1 + abs(a) * v.magnitude + abs(b) * z.magnitude + kind_interval(kind, v, z).magnitude
    assert high.value >= grid_high - 1e-15 * size
    assert low.value <= grid_low + 1e-15 * size
    assert high.value <= grid_high + 1e-9 * size
    assert low.value >= grid_low - 1e-9 * size


@given(kinds, intervals(), intervals(), slopes, slopes)
def test_planes_are_proved_and_shifted_ones_are_refuted(kind, v, z, a, b):
    """The kernel proves the plane with the exact offset, and finds a point against it pushed inward by 1e-6."""
    step = 1e-6 * (1 + abs(a) * v.magnitude + abs(b) * z.magnitude + kind_interval(kind, v, z).magnitude)
    for side, plane, inward in (
        ("upper", plane_above(kind, v, z, a, b), -step),
        ("lower", plane_below(kind, v, z, a, b), step),
    ):
        assert proved(kind, side, v, z, plane) == Status.PROVED
        assert proved(kind, side, v, z, plane._replace(offset=plane.offset + inward)) == Status.REFUTED


def test_a_hand_calculated_maximum():
    """sigmoid(v) tanh(z) - a v - b z with a stationary point chosen first: s = 1/2, t = -3/5."""
    s, t = 0.5, -0.6
    a, b = s * (1 - s) * t, s * (1 - t * t)
    v, z = Interval(-0.2, 0.2), Interval(math.atanh(t) - 0.1, math.atanh(t) + 0.1)
    points = [extreme_excess("sigmoid_times_tanh", v, z, a, b)[k] for k in (0, 1)]
    stationary = s * t - b * math.atanh(t)
    assert points[0].value <= stationary <= points[1].value
    # tanh convex there, sigmoid at its inflection: a saddle, so both extremes are further out
    assert min(abs(p.value - stationary) for p in points) > 1e-6


def test_hand_calculated_sides():
    """Extremes in the middle of a side: of v = 0.1, where tanh falls behind its slope, and of z = 1."""
    v, z = Interval(0.0, 0.1), Interval(-3.0, 3.0)
    s = 1 / (1 + math.exp(-0.1))
    t = math.sqrt(1 - 0.2 / s)
    top = extreme_excess("sigmoid_times_tanh", v, z, 0.0, 0.2)[1]
    assert top.value == pytest.approx(s * t - 0.2 * math.atanh(t), abs=1e-15)
    assert (top.v, top.z) == pytest.approx((0.1, math.atanh(t)), abs=1e-7)
    v, z = Interval(0.5, 3.0), Interval(0.5, 1.0)
    for kind, g in (("sigmoid_times_tanh", math.tanh(1.0)), ("sigmoid_times_identity", 1.0)):
        # s (1 - s) = 3/16 at s = 3/4
        top = extreme_excess(kind, v, z, 3 / 16 * g, 0.0)[1]
        assert top.value == pytest.approx(g * (3 / 4 - 3 / 16 * math.log(3)), abs=1e-15)
        assert (top.v, top.z) == pytest.approx((math.log(3), 1.0), abs=1e-7)


def test_never_below_the_grid_on_ordinary_boxes():
    rng = np.random.default_rng(0)
    for _ in range(60):
        kind = str(rng.choice(PRODUCTS))
        low = rng.uniform(-3, 2, 2)
        v, z = (Interval(float(x), float(x + rng.uniform(0, 3))) for x in low)
        a, b = (float(value) for value in rng.uniform((-0.1, -0.1), (0.2, 0.7)))
        exact, grid = extreme_excess(kind, v, z, a, b), grid_extremes(kind, v, z, a, b)
        assert [end.value for end in exact] == pytest.approx(grid, abs=1e-9)
        assert exact[0].value <= grid[0] + 1e-14
        assert exact[1].value >= grid[1] - 1e-14


@settings(max_examples=25)  # linear programs are slow
@given(kinds, intervals(), intervals(), st.sampled_from(("lower", "upper")), seeds)
def test_least_volume_is_the_optimum(kind, v, z, side, seed):
    """Sound, within GAP of the linear program's lower bound, and no slopes at random do better."""
    sign = 1.0 if side == "upper" else -1.0
    if kind not in PRODUCTS:
        z = POINT_ZERO
    found = least_volume(kind, v, z, side)
    size = kind_interval(kind, v, z).magnitude
    rounding = 1e-300 + 1e-13 * (size + abs(found.plane.slope_v) * v.magnitude + abs(found.plane.slope_z) * z.magnitude)
    # The solver may undercut its own optimum by its feasibility tolerance, 1e-7 in units of f's size.
    assert sign * (found.height - found.best) <= 4 * GAP * size + rounding
    assert proved(kind, side, v, z, found.plane) == Status.PROVED
    centre = [0.5 * low + 0.5 * high for low, high in (v, z)]
    rng = np.random.default_rng(seed)
    for _ in range(20):
        near = rng.normal(0, rng.choice([0.01, 0.3]), 2)
        a, b = found.plane.slope_v + near[0], found.plane.slope_z + near[1]
        other = (plane_above if sign > 0 else plane_below)(kind, v, z, a, b)
        height = other.slope_v * centre[0] + other.slope_z * centre[1] + other.offset
        size = rounding + 1e-13 * (abs(a) * v.magnitude + abs(b) * z.magnitude)
        assert sign * height >= sign * found.best - 4 * GAP * kind_interval(kind, v, z).magnitude - size


def test_least_volume_of_a_bilinear_piece_is_the_envelope():
    """The best plane above relu on [-1, 2] is its chord, of height 1 at the centre 1/2; below, height at most 1/2."""
    upper = least_volume("relu", Interval(-1.0, 2.0), POINT_ZERO, "upper")
    assert upper.height == pytest.approx(1.0, abs=1e-9)
    assert upper.plane.slope_v == pytest.approx(2 / 3, abs=1e-9)
    lower = least_volume("relu", Interval(-1.0, 2.0), POINT_ZERO, "lower")
    assert lower.height == pytest.approx(0.5, abs=1e-9)


@settings(max_examples=25)  # linear programs are slow
@given(kinds, intervals(), intervals())
def test_methods_are_sound_and_ordered(kind, v, z):
    """planes <= lines <= constants in height at the centre, up to the gap; each one is proved."""
    if kind not in PRODUCTS:
        z = POINT_ZERO
    centre = [0.5 * low + 0.5 * high for low, high in (v, z)]
    size = kind_interval(kind, v, z).magnitude
    heights = []
    for name in ("planes", "lines", "constants"):
        pair = METHODS[name](kind, v, z)
        for side, plane in zip(("lower", "upper"), pair, strict=True):
            assert proved(kind, side, v, z, plane) == Status.PROVED
        heights.append([p.slope_v * centre[0] + p.slope_z * centre[1] + p.offset for p in pair])
    for tighter, looser in pairwise(heights):
        assert tighter[0] >= looser[0] - 8 * GAP * size - 1e-12 * (1 + size)
        assert tighter[1] <= looser[1] + 8 * GAP * size + 1e-12 * (1 + size)


@given(kinds, intervals(), intervals(), seeds)
def test_interval_of_a_kind_holds_samples_and_is_attained(kind, v, z, seed):
    low, high = kind_interval(kind, v, z if kind in PRODUCTS else POINT_ZERO)
    rng = np.random.default_rng(seed)
    corners = [(x, y) for x in v for y in z]
    inside = [(rng.uniform(*v), rng.uniform(*z)) for _ in range(50)]
    values = [evaluate_kind(kind, x, y) for x, y in corners + inside]
    slack = 1e-15 * max(abs(low), abs(high))
    assert all(low - slack <= value <= high + slack for value in values)
    assert min(values[:4]) <= low + 1e-14 * (1 + abs(low))
    assert max(values[:4]) >= high - 1e-14 * (1 + abs(high))
