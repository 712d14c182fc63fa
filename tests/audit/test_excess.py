"""The excess in float64 is exact to a few roundings, its confirmation in ball arithmetic is right both ways."""

import math

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.audit.hunting.excess import Excess, box_of, confirm, confirmed_violation
from refcert.audit.hunting.factors import FACTORS, SERIES_BELOW, SIGMOID, TANH
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim
from refcert.kernel.errors import KernelInputError
from refcert.strategies import boxes
from tests.audit.drawn_claims import excess_at

ROUNDING = 2.0**-53


@st.composite
def claims(draw):
    """Planes at random over the public boxes.

    Not those of `refcert.strategies.planes`, which follow their surface: there a rise is what is left of larger terms,
    and float64 has fewer digits of it than these laws ask for.
    """
    box, side = draw(boxes(count=1)), draw(st.sampled_from(SIDES))
    plane = np.random.default_rng(draw(st.integers(0, 2**32 - 1))).normal(size=3).tolist()
    return PlaneClaim(box.kind, side, *box.v[0], *box.z[0], *plane)


def two_points(claim, seed):
    rng = np.random.default_rng(seed)
    box_v, box_z = box_of(claim)
    points = [(float(rng.uniform(*box_v)), float(rng.uniform(*box_z))) for _ in range(2)]
    return [(min(max(v, box_v[0]), box_v[1]), min(max(z, box_z[0]), box_z[1])) for v, z in points]


@given(claims(), st.integers(0, 2**32 - 1))
def test_the_excess_is_exact_to_a_few_roundings_of_what_changes_from_the_anchor(claim, seed):
    anchor, point = two_points(claim, seed)
    excess = Excess(claim, anchor)
    at_anchor, at_point = (excess_at(claim, *map(mpmath.mpf, place)) for place in (anchor, point))
    assert excess.level == pytest.approx(float(at_anchor), rel=4 * ROUNDING, abs=1e-300)
    rise = float(at_point - at_anchor)
    steps = [abs(x - y) for x, y in zip(point, anchor, strict=True)]
    linear = sum(abs(slope) * step for slope, step in zip(excess.gradient(*anchor), steps, strict=True))
    assert float(excess.rise(*point)) == pytest.approx(rise, abs=64 * ROUNDING * (abs(rise) + linear) + 1e-300)


@given(claims(), st.integers(0, 2**32 - 1))
def test_the_gradient_is_that_of_the_excess(claim, seed):
    if claim.kind == "relu":
        return  # has a kink
    anchor, (v, z) = two_points(claim, seed)
    with mpmath.workdps(60):
        by_v = mpmath.diff(lambda x: excess_at(claim, x, mpmath.mpf(z), digits=120), mpmath.mpf(v))
        by_z = mpmath.diff(lambda y: excess_at(claim, mpmath.mpf(v), y, digits=120), mpmath.mpf(z))
    size = 1 + abs(z) + abs(claim.slope_v) + abs(claim.slope_z)
    assert Excess(claim, anchor).gradient(v, z) == pytest.approx((float(by_v), float(by_z)), abs=1e-13 * size)


@given(claims(), st.integers(0, 2**32 - 1))
def test_a_confirmed_violation_is_a_lower_bound_and_what_is_not_confirmed_is_none(claim, seed):
    (v, z), _ = two_points(claim, seed)
    true = excess_at(claim, mpmath.mpf(v), mpmath.mpf(z))
    found = confirm(claim, v, z, "by hand")
    if true <= 0:
        assert found is None
        return
    assert (found.v, found.z, found.way) == (v, z, "by hand")
    assert 0 < found.violation <= true
    assert found.violation >= true * (1 - 1e-15)


def test_violations_far_below_the_rounding_of_the_plane_are_confirmed():
    # 1 - tanh(400) = 2 exp(-800): 347 zeros after the point
    above = PlaneClaim("tanh", "lower", 400.0, 401.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    assert confirm(above, 400.0, 0.0).violation == 0.0  # it underflows, and yet it is one
    assert confirm(PlaneClaim("tanh", "upper", 400.0, 401.0, 0.0, 0.0, 0.0, 0.0, 1.0), 400.0, 0.0) is None
    near = PlaneClaim("tanh", "lower", 300.0, 301.0, 0.0, 0.0, 0.0, 0.0, 1.0)
    assert confirm(near, 300.0, 0.0).violation == pytest.approx(2 * math.exp(-600), rel=1e-12)
    assert Excess(near)(300.0, 0.0) == pytest.approx(2 * math.exp(-600), rel=1e-12)


def test_a_point_outside_the_box_or_exactly_on_the_plane_is_none():
    claim = PlaneClaim("sigmoid", "upper", -1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.25)
    assert confirm(claim, 0.5, 0.0) is not None
    assert confirm(claim, math.nextafter(1.0, 2.0), 0.0) is None
    assert confirm(claim, math.nan, 0.0) is None
    touching = PlaneClaim("sigmoid", "upper", -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5)
    assert confirm(touching, 0.0, 0.0) is None
    assert confirmed_violation(touching, (0.0, 1e-30), (0.0,)) == pytest.approx(2.5e-31, rel=1e-12)


def test_z_is_ignored_where_it_does_not_matter():
    claim = PlaneClaim("tanh", "upper", 0.0, 1.0, math.nan, -3.0, 0.0, math.inf, 0.5)
    assert box_of(claim) == ((0.0, 1.0), (0.0, 0.0))
    assert confirm(claim, 1.0, 17.0)[:2] == (1.0, 0.0)


@pytest.mark.parametrize("change", [{"kind": "cosine"}, {"side": "left"}, {"offset": math.nan}, {"lower_v": 2.0}])
def test_values_that_make_no_claim_are_refused(change):
    values = {"kind": "tanh", "side": "upper", "lower_v": 0.0, "upper_v": 1.0, "lower_z": 0.0, "upper_z": 0.0}
    values |= {"slope_v": 0.0, "slope_z": 0.0, "offset": 0.0} | change
    claim = PlaneClaim(**values)
    with pytest.raises(KernelInputError):
        Excess(claim)
    with pytest.raises(KernelInputError):
        confirm(claim, 0.0, 0.0)


def test_the_widest_box_overflows_to_minus_infinity_and_not_to_nan():
    huge = 1.7e308
    excess = Excess(PlaneClaim("sigmoid_times_identity", "upper", -huge, huge, -huge, huge, 3.0, 3.0, 0.0))
    values = excess(np.array([-huge, 0.0, huge]), np.array([huge, 0.0, -huge]))
    assert not np.isnan(values).any()
    assert values[1] == 0.0


@pytest.mark.parametrize("factor", [SIGMOID, TANH], ids=["sigmoid", "tanh"])
@given(x0=st.floats(-50, 50), step=st.floats(-20, 0.3), sign=st.sampled_from([-1.0, 1.0]))
def test_differences_and_remainders_lose_no_digits(factor, x0, step, sign):
    x = x0 + sign * 10.0**step
    with mpmath.workdps(100):
        a, b = mpmath.mpf(x0), mpmath.mpf(x)
        if factor is SIGMOID:
            value, slope = (lambda y: 1 / (1 + mpmath.exp(-y))), (lambda y: 1 / (2 + mpmath.exp(y) + mpmath.exp(-y)))
        else:
            value, slope = mpmath.tanh, (lambda y: mpmath.sech(y) ** 2)
        difference = value(b) - value(a)
        remainder = difference - slope(a) * (b - a)
        # relative to the terms of second order: at the point of inflection those cancel
        size = abs(remainder) + (slope(a) + slope(b)) * (b - a) ** 2
        bend = slope(b) - slope(a)
        size_bend = abs(bend) + abs(difference) * (1 if factor is SIGMOID else 2)
        expected = [float(y) for y in (difference, remainder, bend)]
        sizes = [float(y) for y in (abs(difference), size, size_bend)]
    given_values = [f(np.asarray(x0), np.asarray(x)) for f in (factor.difference, factor.remainder, factor.bend)]
    for got, true, scale in zip(given_values, expected, sizes, strict=True):
        assert float(got) == pytest.approx(true, abs=1e-13 * scale + 1e-300)


def test_the_series_joins_the_closed_form():
    edges = np.array([np.nextafter(SERIES_BELOW, 0.0), SERIES_BELOW, np.nextafter(SERIES_BELOW, 1.0)])
    values = SIGMOID.remainder(np.zeros(3), edges)
    np.testing.assert_allclose(values, values[1], rtol=1e-11)


def test_every_kind_has_its_factors():
    assert set(FACTORS) == set(KINDS)
