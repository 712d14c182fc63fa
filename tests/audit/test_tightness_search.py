"""The float64 search for best planes: surfaces without cancellation, complete candidates, solved programs."""

from __future__ import annotations

import math

import cvxpy as cp
import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.tightness import program
from refcert.audit.tightness.certificate import Support
from refcert.audit.tightness.heights import _concave
from refcert.audit.tightness.polish import polish, turn_about_diagonal
from refcert.audit.tightness.program import least_height
from refcert.audit.tightness.separation import separate
from refcert.audit.tightness.surfaces import surface_of
from refcert.reference.exact_planes import extreme_excess
from refcert.reference.intervals import Interval
from tests.audit.test_tightness import SMOOTH, drawn_boxes, seeds
from tests.audit.test_tightness_certificate import value

PRODUCTS = tuple(kind for kind in SMOOTH if "times" in kind)


@settings(max_examples=12)
@given(seeds, st.sampled_from(SMOOTH), st.sampled_from((1e-9, 1e-4, 0.3, 5.0, 40.0)))
def test_the_rise_has_no_cancellation(seed, kind, width):
    """Against mpmath, to rounding of the largest rise, on thin and on wide boxes alike; with its derivatives."""
    rng = np.random.default_rng(seed)
    surface = surface_of(kind, drawn_boxes(rng, 2, widths=(width,)))
    x, y = rng.uniform(-1, 1, (2, 2, 4))
    y = y if surface.two_axes else 0 * y
    rise, slopes = surface.rise(x, y), surface.gradient(x, y)
    step = 1e-5
    with mpmath.workdps(60):
        for box in range(2):
            exact = rise_of(surface, box)
            for point in range(4):
                at = mpmath.mpf(x[box, point]), mpmath.mpf(y[box, point])
                assert abs(exact(*at) - rise[box, point]) < 2e-15
                for axis in range(2):
                    plus, minus = ([c + s * step * (axis == k) for k, c in enumerate(at)] for s in (1, -1))
                    slope = (exact(*plus) - exact(*minus)) / (2 * step)
                    assert float(slope) == pytest.approx(slopes[axis][box, point], abs=1e-5)


def rise_of(surface, box):
    """The rise over the tangent plane at the centre in mpmath, from the definition."""

    def f(*at):
        return value(surface.kind, *at)

    centre = [mpmath.mpf(part[box]) for part in (surface.centre_v, surface.centre_z)]
    half = [mpmath.mpf(part[box]) for part in (surface.half_v, surface.half_z)]
    tangent = [mpmath.diff(f, tuple(centre), order) for order in ((1, 0), (0, 1))]

    def rise(x, y):
        d, e = half[0] * x, half[1] * y
        plane = f(*centre) + tangent[0] * d + tangent[1] * e
        return (f(centre[0] + d, centre[1] + e) - plane) / mpmath.mpf(surface.size[box])

    return rise


@settings(max_examples=15)
@given(seeds, st.sampled_from(SMOOTH))
def test_candidates_are_complete(seed, kind):
    """Nothing on the box is higher than the best candidate: by the scalar reference, for slopes of all sizes."""
    rng = np.random.default_rng(seed)
    box = drawn_boxes(rng, 12, widths=(0.5, 2.0, 6.0, 20.0))
    surface = surface_of(kind, box)
    alpha, beta = rng.normal(0, 1, (2, 12)) * rng.choice((0.0, 0.1, 1.0, 3.0), (2, 12))
    beta = beta if surface.two_axes else 0 * beta
    found = separate(surface, alpha, beta)
    assert (np.abs(found.x) <= 1).all()
    assert (np.abs(found.y) <= 1).all()
    highest = found.highest()[0]
    at_v, at_z = surface.tangent()
    for row, ends in enumerate(box.tolist()):
        a = at_v[row] + alpha[row] * surface.size[row] / surface.half_v[row]
        b = at_z[row] + (beta[row] * surface.size[row] / surface.half_z[row] if surface.two_axes else 0.0)
        exact = extreme_excess(kind, Interval(*ends[:2]), Interval(*ends[2:]), a, b)[1].value
        centre = float(value(kind, mpmath.mpf(surface.centre_v[row]), mpmath.mpf(surface.centre_z[row])))
        height = (exact + a * surface.centre_v[row] + b * surface.centre_z[row] - centre) / surface.size[row]
        rounding = 1e-14 * (1 + abs(exact) + abs(a) * 20 + abs(b) * 20) / surface.size[row]
        assert highest[row] == pytest.approx(height, abs=rounding)


@settings(max_examples=10)
@given(seeds, st.sampled_from(SMOOTH), st.sampled_from((1e-10, 0.1, 3.0, 12.0)))
def test_programs_are_solved_to_rounding(seed, kind, width):
    """Height and lower bound meet; many boxes at once or one by one.

    The weights average the points to the centre up to the solver's tolerance.
    """
    rng = np.random.default_rng(seed)
    surface = surface_of(kind, drawn_boxes(rng, 6, widths=(width,)))
    found = least_height(surface)
    assert found.gap.max() < 1e-12
    assert (found.weight >= 0).all()
    for total, expected in ((found.weight, 1), (found.weight * found.x, 0), (found.weight * found.y, 0)):
        assert total.sum(1) == pytest.approx(expected, abs=1e-9)
    alone = least_height(surface.rows(np.array([3])))
    assert alone.height[0] == pytest.approx(found.height[3], abs=1e-12)


@settings(max_examples=6)
@given(seeds, st.sampled_from(PRODUCTS), st.sampled_from((0.1, 1.0, 4.0)))
def test_polishing_never_widens_the_gap(seed, kind, width):
    """From touching points and weights at random, which are mostly no optimum at all."""
    rng = np.random.default_rng(seed)
    surface = surface_of(kind, drawn_boxes(rng, 8, widths=(width,)))
    start = least_height(surface)
    start.x[:] = np.clip(start.x + rng.normal(0, 0.3, start.x.shape), -1, 1)
    start.weight[:] = rng.dirichlet((1, 1, 1), len(start.weight))
    start.alpha[:] += rng.normal(0, 0.1, len(start.alpha))
    start.height[:] = separate(surface, start.alpha, start.beta).highest()[0]
    before = [column.copy() for column in start.columns()]
    polished = polish(surface, start)
    assert (polished.gap <= start.gap).all()
    assert all(np.array_equal(old, new) for old, new in zip(before, start.columns(), strict=True))
    # What it calls a bound is one: no plane is lower than the optimum's height.
    assert (polished.below <= least_height(surface).height + 1e-12).all()


def test_a_plane_turns_about_its_diagonal_until_it_cuts_nothing():
    surface = surface_of("sigmoid_times_identity", np.array([[-1.0, 1.0, -1.0, 1.0]] * 2))
    start = least_height(surface)
    start.x[:], start.y[:], start.weight[:] = (1, -1, 0), (1, -1, 0), (0.5, 0.5, 0)
    for turn in (-3.0, -0.2, 0.0, 0.2, 3.0):
        start.alpha[:] = turn
        found = turn_about_diagonal(surface, start)
        assert found.gap.max() < 1e-13


def test_a_box_that_the_solver_fails_on_does_not_take_the_others_with_it(monkeypatch):
    box = drawn_boxes(np.random.default_rng(4), 9, widths=(3.0,))
    surface = surface_of("sigmoid_times_identity", box)
    whole = least_height(surface)
    bad, solve = 5, program._solve
    half = np.full((len(box), 1), 0.5)
    mark = surface.rise(half, half)[bad, 0]

    def fails(rows, *rest):
        if (rows.rise == mark).any():
            raise cp.SolverError("planted")
        return solve(rows, *rest)

    monkeypatch.setattr(program, "_solve", fails)
    found = least_height(surface)
    good = np.arange(9) != bad
    assert found.height[good] == pytest.approx(whole.height[good], abs=1e-12)
    # It keeps the tangent plane at its centre, whose height is known and whose gap is not closed.
    assert found.gap[bad] > 1e-3


@given(seeds)
def test_concave_boxes_are_concave(seed):
    """Where `_concave` says so, no second derivative in any direction is positive; and it says so somewhere."""
    rng = np.random.default_rng(seed)
    box = tuple(np.sort(rng.uniform(-4, 4, (2, 2)), axis=1).ravel().tolist())
    for side, sign in (("upper", 1.0), ("lower", -1.0)):
        if not _concave(Support("sigmoid_times_tanh", side, box, (), ())):
            continue
        v, z = rng.uniform(*box[:2], 50), rng.uniform(*box[2:], 50)
        s, t = 1 / (1 + np.exp(-v)), sign * np.tanh(z)
        ds, dt = s * (1 - s), 1 - t * t
        vv, vz, zz = ds * (1 - 2 * s) * t, ds * dt, -2 * s * t * dt
        assert (vv <= 0).all()
        assert (vv * zz - vz * vz >= 0).all()


def test_concave_boxes_exist():
    box = (2.0, 3.0, 1.0, 2.0)
    assert _concave(Support("sigmoid_times_tanh", "upper", box, (), ()))
    assert not _concave(Support("sigmoid_times_tanh", "lower", box, (), ()))
    assert not _concave(Support("sigmoid_times_identity", "upper", box, (), ()))
    # V(1) = log(1 + sech(1)^2 / (2 tanh(1)^2)): just inside and just outside of the region.
    border = math.log1p((1 / math.sinh(1) ** 2) / 2)
    assert _concave(Support("sigmoid_times_tanh", "upper", (border + 1e-9, 3.0, 1.0, 2.0), (), ()))
    assert not _concave(Support("sigmoid_times_tanh", "upper", (border - 1e-9, 3.0, 1.0, 2.0), (), ()))
