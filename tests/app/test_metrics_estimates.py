"""Metrics from radii and from brackets: laws, and brute force over what a bracket allows."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.app.metrics import estimates
from refcert.app.metrics.estimates import Brackets

# Few values, so that ties with each other and with the threshold are common; multiples of 1/8, so that sums are exact.
EIGHTHS = st.integers(0, 12).map(lambda k: k / 8)
THRESHOLDS = EIGHTHS
UPPER = st.one_of(EIGHTHS, st.just(math.inf))
PAIRS = st.tuples(EIGHTHS, UPPER).map(lambda pair: tuple(sorted(pair)))
BRACKETS = st.lists(PAIRS, min_size=1, max_size=6).map(
    lambda pairs: Brackets(np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]))
)
SMALL = st.lists(PAIRS, min_size=1, max_size=4).map(
    lambda pairs: Brackets(np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]))
)
RADII = st.lists(UPPER, min_size=1, max_size=8).map(np.array)
TINY = 2.0**-40
"""How near to its open lower end brute force lets a radius come."""


def choices(brackets, threshold):
    """For every sample, radii of its bracket among which each metric's extremes are, up to the open end."""
    for lower, upper in zip(brackets.lower, brackets.upper, strict=True):
        if lower == upper:
            yield [lower]
            continue
        inside = {lower + TINY, upper if math.isfinite(upper) else 100.0}
        inside |= {value for value in (threshold, threshold + TINY) if lower < value <= upper}
        yield sorted(inside)


def brute(brackets, threshold, metric):
    values = [float(metric(np.array(rho), threshold)) for rho in itertools.product(*choices(brackets, threshold))]
    defined = [value for value in values if not math.isnan(value)]
    return (min(defined), max(defined)) if defined else (math.nan, math.nan)


@pytest.mark.parametrize(
    ("interval", "metric"),
    [
        (estimates.frequency_interval, estimates.adversarial_frequency),
        (estimates.accuracy_interval, estimates.robust_accuracy),
        (estimates.severity_interval, estimates.adversarial_severity),
    ],
)
@given(brackets=SMALL, threshold=THRESHOLDS)
def test_intervals_are_what_the_brackets_allow(interval, metric, brackets, threshold):
    found = [float(end) for end in interval(brackets, threshold)]
    assert found == pytest.approx(brute(brackets, threshold, metric), abs=16 * TINY, nan_ok=True)


@given(brackets=BRACKETS, threshold=THRESHOLDS)
def test_intervals_are_ordered_and_accuracy_is_what_frequency_leaves(brackets, threshold):
    low, high = estimates.frequency_interval(brackets, threshold)
    assert 0 <= low <= high <= 1
    robust = estimates.accuracy_interval(brackets, threshold)
    assert (float(robust[0]), float(robust[1])) == pytest.approx((1 - float(high), 1 - float(low)))
    severity = estimates.severity_interval(brackets, threshold)
    assert math.isnan(severity[1]) == (high == 0)
    if high > 0:
        assert 0 <= severity[0] <= severity[1] <= threshold


@given(radii=RADII, threshold=THRESHOLDS)
def test_a_known_radius_leaves_no_interval(radii, threshold):
    finite = np.where(np.isinf(radii), 50.0, radii)
    exact = Brackets(finite, finite)
    for interval, metric in (
        (estimates.frequency_interval, estimates.adversarial_frequency),
        (estimates.accuracy_interval, estimates.robust_accuracy),
        (estimates.severity_interval, estimates.adversarial_severity),
    ):
        value = float(metric(finite, threshold))
        assert [float(end) for end in interval(exact, threshold)] == pytest.approx([value, value], nan_ok=True)
    assert estimates.mean_interval(exact) == (estimates.mean_robustness(finite),) * 2


@given(brackets=BRACKETS, threshold=THRESHOLDS, data=st.data())
def test_counts_are_as_good_as_repeated_samples(brackets, threshold, data):
    some = st.lists(st.integers(0, 3), min_size=len(brackets), max_size=len(brackets)).filter(any)
    counts = np.array([data.draw(some), data.draw(some)])
    for interval in (estimates.frequency_interval, estimates.accuracy_interval, estimates.severity_interval):
        low, high = interval(brackets, threshold, counts)
        for k, row in enumerate(counts):
            repeated = Brackets(np.repeat(brackets.lower, row), np.repeat(brackets.upper, row))
            single = interval(repeated, threshold)
            assert (low[k], high[k]) == pytest.approx((float(single[0]), float(single[1])), nan_ok=True)
    for k, row in enumerate(counts):
        repeated = np.repeat(brackets.upper, row)
        assert estimates.median_robustness(brackets.upper, counts)[k] == pytest.approx(np.median(repeated))
        assert estimates.mean_robustness(brackets.upper, counts)[k] == pytest.approx(repeated.mean())


@given(radii=RADII)
def test_the_curve_falls_and_ends_where_nothing_is_left(radii):
    grid = [k / 8 for k in range(14)]
    curve = estimates.robust_accuracy_curve(radii, grid)
    assert (np.diff(curve) <= 0).all()
    assert curve[0] == (radii > 0).mean()
    assert curve[-1] == np.isinf(radii).mean()


def test_at_a_threshold_of_zero_only_misclassified_samples_count():
    # Misclassified; correct and not certified; certified; never attacked.
    brackets = Brackets(np.array([0.0, 0.0, 0.25, 0.5]), np.array([0.0, 0.5, 0.5, math.inf]))
    assert estimates.frequency_interval(brackets, 0.0) == (0.25, 0.25)
    assert estimates.severity_interval(brackets, 0.0) == (0.0, 0.0)
    nobody = Brackets(np.array([0.25]), np.array([0.5]))
    assert all(math.isnan(end) for end in estimates.severity_interval(nobody, 0.0))


def test_rounding_of_a_mean_does_not_lift_severity_above_the_threshold():
    brackets = Brackets(np.full(9, 0.01), np.full(9, math.inf))
    for threshold in (0.03, 0.1, 0.3, 0.7):
        assert estimates.severity_interval(brackets, threshold)[1] <= threshold


def test_a_certified_radius_is_exceeded_and_an_attacks_is_reached():
    brackets = Brackets(np.array([0.25]), np.array([0.5]))
    assert estimates.frequency_interval(brackets, 0.25) == (0.0, 0.0)
    assert estimates.frequency_interval(brackets, 0.5) == (1.0, 1.0)
    assert estimates.frequency_interval(brackets, 0.375) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("metric", "radii", "found"),
    [
        (estimates.FREQUENCY, estimates.LOWER, estimates.UPPER),
        (estimates.FREQUENCY, estimates.UPPER, estimates.LOWER),
        (estimates.ACCURACY, estimates.LOWER, estimates.LOWER),
        (estimates.MEAN, estimates.UPPER, estimates.UPPER),
        (estimates.SEVERITY, estimates.UPPER, estimates.ESTIMATE),
        (estimates.SEVERITY, estimates.LOWER, estimates.ESTIMATE),
        (estimates.FREQUENCY, estimates.ESTIMATE, estimates.ESTIMATE),
    ],
)
def test_what_one_estimator_says_is_named(metric, radii, found):
    assert estimates.nature(metric, radii) == found


def test_severity_of_an_attack_bounds_nothing():
    """Of two finds one is beyond the threshold; its true radius can be below, and either side of the mean."""
    attack = np.array([0.25, 2.0])
    for hidden, sign in ((0.125, -1), (0.875, 1)):
        true = np.array([0.25, hidden])
        difference = estimates.adversarial_severity(true, 1.0) - estimates.adversarial_severity(attack, 1.0)
        assert difference * sign > 0


@pytest.mark.parametrize(
    ("lower", "upper", "words"),
    [
        ([0.5], [0.25], "one of the two is wrong"),
        ([math.nan], [1.0], "radius 0 is nan"),
        ([-1.0], [1.0], "radius 0 is -1"),
        ([math.inf], [math.inf], "infinite"),
        ([0.1, 0.2], [1.0], "2 lower and 1 upper"),
        ([], [], "at least one"),
    ],
)
def test_brackets_that_make_no_sense(lower, upper, words):
    with pytest.raises(ValueError, match=words):
        Brackets(np.array(lower), np.array(upper))


@pytest.mark.parametrize("threshold", [-0.1, math.inf, math.nan])
def test_thresholds_that_make_no_sense(threshold):
    with pytest.raises(ValueError, match="threshold is"):
        estimates.adversarial_frequency([0.1], threshold)


def test_counts_that_make_no_sense():
    for counts in ([1.0], [0.0, 0.0], [-1.0, 2.0]):
        with pytest.raises(ValueError, match="counts have shape"):
            estimates.mean_robustness([0.1, 0.2], counts)
