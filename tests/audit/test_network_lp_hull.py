"""Single neurons: planes that a point violates, exactly where it is outside the convex hull of the graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.judge import judge
from refcert.audit.network_lp.hull import Hull
from refcert.kernel.claims import PlaneClaim, Status
from refcert.reference.equations import KINDS, PRODUCTS, Nonlinear, Variable, evaluate_kind
from refcert.reference.intervals import POINT_ZERO, Interval
from refcert.reference.least_volume import least_volume
from tests.reference.drawn import intervals, seeds

TOLERANCE = 1e-6


def hull_of(kind, v, z):
    names = [Variable("test", 0, 0, name) for name in ("y", "v", "z")]
    return Hull(Nonlinear(names[0], kind, names[1], names[2] if kind in PRODUCTS else None), v, z)


def on_graph(kind, v, z, rng):
    x = rng.uniform(*v)
    y = rng.uniform(*z) if kind in PRODUCTS else 0.0
    return np.array([x, y, evaluate_kind(kind, x, y)])


def size_of(kind, v, z):
    return 1e-3 + max(abs(evaluate_kind(kind, x, y)) for x in v for y in z)


@settings(max_examples=60)
@given(st.sampled_from(KINDS), intervals(), intervals(), seeds)
def test_a_plane_found_is_proved_and_violated(kind, v, z, seed):
    rng = np.random.default_rng(seed)
    hull, size = hull_of(kind, v, z), size_of(kind, v, z)
    x, y, f = on_graph(kind, v, z, rng)
    height = f + size * rng.normal()
    found = hull.violated_plane(x, y, height, TOLERANCE * size)
    if found is None:
        return
    side, plane, excess = found
    at = plane.slope_v * x + plane.slope_z * y + plane.offset
    sign = 1.0 if side == "upper" else -1.0
    # the offset's own allowance for rounding grows with slopes times magnitudes
    rounding = 1e-12 * (1 + abs(plane.slope_v) * v.magnitude + abs(plane.slope_z) * z.magnitude + size)
    assert sign * (height - at) >= excess - rounding
    assert excess > 0
    z = z if kind in PRODUCTS else POINT_ZERO
    assert judge(PlaneClaim(kind, side, *map(float, (*v, *z, *plane)))).status is Status.PROVED


@settings(max_examples=60)
@given(st.sampled_from(KINDS), intervals(), intervals(), seeds)
def test_a_mixture_of_points_of_the_graph_is_inside(kind, v, z, seed):
    rng = np.random.default_rng(seed)
    hull, size = hull_of(kind, v, z), size_of(kind, v, z)
    share = rng.dirichlet(np.ones(4))
    x, y, height = share @ np.array([on_graph(kind, v, z, rng) for _ in range(4)])
    assert hull.violated_plane(x, y, height, TOLERANCE * size) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_at_the_centre_the_hull_is_the_least_volume_plane(kind, side):
    """A hair beyond the least height at the centre is cut off, a hair before it is not."""
    v, z = Interval(-1.5, 2.0), Interval(-1.0, 2.5) if kind in PRODUCTS else POINT_ZERO
    best = least_volume(kind, v, z, side).best
    sign = 1.0 if side == "upper" else -1.0
    hull, centre = hull_of(kind, v, z), (0.25, 0.75 if kind in PRODUCTS else 0.0)
    for _ in range(30):  # each answer may leave some of the excess
        found = hull.violated_plane(*centre, best + sign * 1e-4, TOLERANCE)
        assert found is not None
    assert hull.violated_plane(*centre, best - sign * 1e-4, TOLERANCE) is None


def test_a_point_of_a_box_without_width():
    hull = hull_of("sigmoid_times_tanh", Interval(1.0, 1.0), Interval(-0.5, 0.5))
    found = hull.violated_plane(1.0, 0.0, 0.3, TOLERANCE)
    assert found is not None
    assert found[0] == "upper"
    assert hull.violated_plane(1.0, 0.0, 0.0, TOLERANCE) is None
