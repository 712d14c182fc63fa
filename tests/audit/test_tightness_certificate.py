"""Both ends of an optimum checked by other means, and planted faults in certificates."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from flint import arb, fmpq
from hypothesis import given, settings
from hypothesis import strategies as st

from refcert.audit.tightness.certificate import Support, SupportError, check_support, exact, repaired_support
from refcert.audit.tightness.heights import proved_plane, real_height
from refcert.audit.tightness.means import surface_mean
from refcert.audit.tightness.optimum import Guess, Optimum, Why, certify
from refcert.audit.tightness_lp import GAP, _guesses
from refcert.kernel.ball import precision, surely_less
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim, Status
from refcert.kernel.plane_proof import check_plane
from tests.audit.test_tightness import SMOOTH, drawn_boxes, seeds, solve

DIGITS = 80


def value(kind, v, z):
    """The nonlinearity in mpmath."""
    if kind == "relu":
        return max(v, mpmath.mpf(0))
    if kind == "tanh":
        return mpmath.tanh(v)
    s = 1 / (1 + mpmath.exp(-v))
    if kind == "sigmoid":
        return s
    return s * (mpmath.tanh(z) if kind.endswith("tanh") else z)


def fraction(x):
    return Fraction(int(x.p), int(x.q))


def number(x):
    return mpmath.mpf(x.numerator) / x.denominator


@settings(max_examples=12)
@given(seeds, st.sampled_from(SMOOTH), st.sampled_from(SIDES))
def test_both_ends_by_other_arithmetic(seed, kind, side):
    """The conditions in `fractions`, values and means in mpmath by quadrature: the same interval."""
    rng = np.random.default_rng(seed)
    ends = drawn_boxes(rng, 1, widths=(0.3, 2.0, 5.0))
    (optimum,) = solve(kind, side, ends)
    box = [Fraction(end) for end in ends[0].tolist()] if "times" in kind else [*map(Fraction, ends[0, :2]), 0, 0]
    points = [tuple(map(fraction, point)) for point in optimum.support.points]
    weights = [fraction(weight) for weight in optimum.support.weights]
    assert sum(weights) == 1
    assert min(weights) >= 0
    for axis in (0, 1):
        low, high = box[2 * axis : 2 * axis + 2]
        assert all(low <= point[axis] <= high for point in points)
        assert sum(w * point[axis] for w, point in zip(weights, points, strict=True)) == (low + high) / Fraction(2)
    with mpmath.workdps(DIGITS):
        below = sum(number(w) * value(kind, *map(number, point)) for w, point in zip(weights, points, strict=True))
        v = [number(end) for end in box[:2]]
        middle = [mpmath.mpf(0)] if v[0] < 0 < v[1] else []
        one = value(kind, mpmath.mpf(0), mpmath.mpf(1))  # sigmoid(0) g(1)
        if "times" in kind:
            z = [number(Fraction(end)) for end in box[2:]]
            mean = mpmath.quad(lambda x: value("sigmoid", x, 0), v) / (v[1] - v[0])
            mean *= mpmath.quad(lambda y: 2 * value(kind, mpmath.mpf(0), y), z) / (z[1] - z[0])
            assert one > 0
        else:
            mean = mpmath.quad(lambda x: value(kind, x, 0), [v[0], *middle, v[1]]) / (v[1] - v[0])
        sign = 1 if side == "upper" else -1
        least = sign * (below - mean)
        assert optimum.least == pytest.approx(float(least), rel=1e-14)
        plane = [mpmath.mpf(part) for part in optimum.plane]
        centre = [number((box[k] + box[k + 1]) / Fraction(2)) for k in (0, 2)]
        height = plane[0] * centre[0] + plane[1] * centre[1] + plane[2]
        if optimum.expressible:
            assert 1 <= sign * (height - mean) / least <= 1 + GAP


@pytest.mark.parametrize("kind", KINDS)
def test_the_mean_of_a_surface(kind):
    rng = np.random.default_rng(3)
    for ends in drawn_boxes(rng, 5, widths=(1e-3, 1.0, 6.0, 30.0)):
        box = tuple(ends.tolist())
        with mpmath.workdps(30):
            v = sorted({mpmath.mpf(box[0]), mpmath.mpf(box[1]), *([mpmath.mpf(0)] if box[0] < 0 < box[1] else [])})
            mean = mpmath.quad(lambda x: value(kind, x, mpmath.mpf(1)), v) / (v[-1] - v[0])
            if "times" in kind:
                z = [mpmath.mpf(end) for end in box[2:]]
                scale = value(kind, mpmath.mpf(0), mpmath.mpf(1))
                mean *= mpmath.quad(lambda y: value(kind, mpmath.mpf(0), y), z) / (z[1] - z[0]) / scale
        with precision(128):
            assert float(surface_mean(kind, box)) == pytest.approx(float(mean), rel=1e-13, abs=1e-15)


# Planted faults: each claims more than is true, or proves nothing.

SUPPORT = Support(
    "sigmoid_times_tanh",
    "upper",
    (-1.0, 1.0, -2.0, 2.0),
    ((fmpq(-1), fmpq(-2)), (fmpq(1), fmpq(2)), (fmpq(0), fmpq(0))),
    (fmpq(1, 4), fmpq(1, 4), fmpq(1, 2)),
)
FAULTS = {
    "weights that sum to more than 1": ({"weights": (fmpq(1, 4), fmpq(1, 4), fmpq(3, 5))}, "do not sum to 1"),
    "weights that sum to 1 up to rounding": (
        {"weights": (fmpq(1, 4), fmpq(1, 4), fmpq(1, 2) + fmpq(1, 2**200))},
        "do not sum to 1",
    ),
    "a negative weight": ({"weights": (fmpq(3, 4), fmpq(3, 4), fmpq(-1, 2))}, "not all >= 0"),
    "a wrong weight": ({"weights": (fmpq(1, 8), fmpq(3, 8), fmpq(1, 2))}, "not the centre"),
    "a point outside of the box": (
        {"points": ((fmpq(-2), fmpq(-2)), (fmpq(2), fmpq(2)), (fmpq(0), fmpq(0)))},
        "outside of the box",
    ),
    "a point outside of the box by rounding": (
        {
            "points": (
                (fmpq(-1), fmpq(-2) - fmpq(1, 2**200)),
                (fmpq(1), fmpq(2) + fmpq(1, 2**200)),
                (fmpq(0), fmpq(0)),
            )
        },
        "outside of the box",
    ),
    "a moved point": ({"points": ((fmpq(-1), fmpq(-2)), (fmpq(1), fmpq(1)), (fmpq(0), fmpq(0)))}, "not the centre"),
    "a missing weight": ({"weights": (fmpq(1, 2), fmpq(1, 2))}, "one weight to each"),
    "no points": ({"points": (), "weights": ()}, "0 points"),
    "the box of another plane": ({"box": (-1.0, 1.0, -2.0, 3.0)}, "not the centre"),
}


def test_a_right_support_is_accepted():
    with precision(128):
        corner = float(check_support(SUPPORT)) * 4
    assert corner == pytest.approx(math.tanh(2) * (1 / (1 + math.exp(-1)) - 1 / (1 + math.e)), rel=1e-14)


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_rejected(fault):
    change, message = FAULTS[fault]
    with pytest.raises(SupportError, match=message):
        check_support(replace(SUPPORT, **change))


def test_a_plane_that_is_not_sound_is_no_upper_end():
    """Slopes of another box: the offset at the touching points is refuted, and lifted until the plane holds."""
    (optimum,) = solve("sigmoid_times_tanh", "upper", np.array([[-1.0, 1.0, -2.0, 2.0]]))
    assert optimum.expressible
    support, good = optimum.support, optimum.plane
    for change in (1e-6, 1e-3, 0.5):
        tilted = proved_plane(support, good.slope_v + change, good.slope_z - change)
        assert tilted is not None
        claim = PlaneClaim(support.kind, support.side, *support.box, *tilted)
        assert check_plane(claim).status is Status.PROVED
        assert optimum.measure(tilted)[1] > 1 + GAP


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("kind", SMOOTH)
def test_real_planes_are_proved_only_where_they_hold(kind, side):
    """In a thin box: at the touching points with room above it they hold; with room below or wrong slopes they cut."""
    half = 2.0**-22
    (optimum,) = solve(kind, side, np.array([[0.5 - half, 0.5 + half, 0.25 - half, 0.25 + half]]))
    assert not optimum.expressible
    support = optimum.support
    room = optimum.least * 1e-6
    tilt = tilt_of(optimum)
    with precision(128):
        good = real_height(support, tilt, room, 128)
        assert good is not None
        volume = optimum.distance(good)
        assert not surely_less(volume, optimum.volume)
        assert float(volume / optimum.volume) <= 1 + 1e-5
        assert real_height(support, tilt, -room, 128) is None
        steep = (tilt[0] + optimum.least / half, tilt[1])
        # Steeper, it holds only further away.
        tilted = real_height(support, steep, room, 128)
        assert tilted is None or float(optimum.distance(tilted) / optimum.volume) > 1.5


def tilt_of(optimum):
    """The slopes of the best plane less those at the centre, from a search of its own box."""
    support = optimum.support
    (guess,) = _guesses(support.kind, support.side, np.array([support.box]))
    return guess.tilt


def test_a_bad_guess_is_never_taken_for_an_optimum():
    """Whatever the search says, only an interval as narrow as asked for counts."""
    kind, box = "sigmoid_times_identity", (-1.0, 1.0, -2.0, 2.0)
    (best,) = solve(kind, "upper", np.array([box]))
    weights, slopes = [0.5, 0.5], tuple(best.plane[:2])
    good = Guess([-1.0, 1.0], [-1.0, 1.0], weights, slopes, (0.0, 0.0))
    assert isinstance(certify(kind, "upper", box, good, GAP), Optimum)
    bad = {
        "points of the other diagonal": replace(good, x=[1.0, -1.0]),
        "points inside": replace(good, x=[-0.9, 0.9], y=[-0.9, 0.9]),
        "one end only": replace(good, x=[1.0, 1.0], y=[-0.5, 0.5]),
        "no weights": replace(good, weight=[0.0, 0.0]),
        "NaN": replace(good, x=[math.nan, 1.0]),
        "NaN weights": replace(good, weight=[math.nan, math.nan]),
        "infinite slopes": replace(good, slopes=(math.inf, 0.0), tilt=(math.inf, 0.0)),
        "NaN slopes": replace(good, slopes=(math.nan, 0.0), tilt=(math.nan, 0.0)),
        "slopes that are off": replace(good, slopes=(slopes[0] + 0.1, slopes[1]), tilt=(0.1, 0.0)),
    }
    for name, guess in bad.items():
        assert certify(kind, "upper", box, guess, GAP) is Why.UNRESOLVED, name


@given(
    st.lists(st.tuples(st.floats(-1, 1), st.floats(-1, 1), st.floats(0, 1)), min_size=1, max_size=3),
    st.sampled_from(KINDS),
)
def test_repaired_supports_are_accepted(points, kind):
    """Whatever comes out of the repair meets the three conditions exactly."""
    x, y, weight = zip(*points, strict=True)
    support = repaired_support(kind, "upper", (-1.0, 2.5, -0.1, 0.3), x, y, weight)
    if support is not None:
        with precision(128):
            assert isinstance(check_support(support), arb)


def test_the_repair_keeps_what_is_right():
    """Three touching points, one at each kind of place; the weights are off by 1e-9."""
    x, y, w = (-1.0, 1.0, 0.2), (0.5, 1.0, -1.0), (0.45, 0.35, 0.2)
    mean = sum(a * b for a, b in zip(x, w, strict=True)), sum(a * b for a, b in zip(y, w, strict=True))
    assert mean[0] == pytest.approx(-0.06)
    support = repaired_support("sigmoid_times_tanh", "lower", (-1.0, 1.0, -1.0, 1.0), x, y, w)
    # Only the third point is free in v, only the first in z: they take up what the mean misses of the centre.
    (first, second, third) = support.points
    assert (first[0], second, third[1]) == (fmpq(-1), (fmpq(1), fmpq(1)), fmpq(-1))
    assert float(fraction(third[0])) == pytest.approx(0.5)
    assert exact(0.35) / sum(map(exact, w), fmpq(0)) == support.weights[1]
