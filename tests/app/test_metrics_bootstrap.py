"""Confidence intervals: degenerate data, the same seed, and their coverage of a known share."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refcert.app.metrics import bootstrap, estimates
from refcert.app.metrics.bootstrap import Resampling, confidence
from refcert.app.metrics.estimates import Brackets

FEW = Resampling(200)


def frequency(radii, threshold=0.5):
    def both(counts):
        found = estimates.adversarial_frequency(radii, threshold, counts)
        return found, found

    return both


@given(
    pairs=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)).map(sorted), min_size=2, max_size=12),
    seed=st.integers(0, 5),
)
def test_the_interval_is_within_what_the_data_allow_and_the_seed_decides(pairs, seed):
    brackets = Brackets(np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs]))
    how = Resampling(100, 0.9, seed)

    def mean(counts):
        return estimates.mean_interval(brackets, counts)

    found = confidence(mean, len(brackets), how)
    assert found == confidence(mean, len(brackets), how)
    assert brackets.lower.min() <= found.low <= found.high <= brackets.upper.max()


def test_one_sample_says_nothing_about_others():
    found = confidence(frequency([0.25]), 1, FEW)
    assert (found.low, found.high, found.method) == (None, None, bootstrap.ALONE)


def test_a_metric_that_is_not_defined_has_no_interval():
    brackets = Brackets(np.array([0.5, 0.5]), np.array([1.0, 1.0]))
    found = confidence(lambda counts: estimates.severity_interval(brackets, 0.0, counts), 2, FEW)
    assert (found.low, found.high, found.method) == (None, None, bootstrap.UNDEFINED)


def test_resamples_without_a_value_are_left_out_and_counted():
    brackets = Brackets(np.array([0.0, 0.5, 0.5]), np.array([0.0, 1.0, 1.0]))
    found = confidence(lambda counts: estimates.severity_interval(brackets, 0.0, counts), 3, Resampling(2000))
    assert (found.low, found.high) == (0.0, 0.0)
    assert found.undefined == pytest.approx((2 / 3) ** 3, abs=0.05)


@pytest.mark.parametrize(("radius", "end"), [(1.0, 0.0), (0.25, 1.0)])
def test_a_share_without_spread_has_the_exact_binomial_interval(radius, end):
    samples = 10
    found = confidence(frequency([radius] * samples), samples, FEW, share=True)
    assert found.method == bootstrap.BINOMIAL
    width = 1 - 0.025 ** (1 / samples)
    assert abs(end - (found.low if end else found.high)) == pytest.approx(width)


def test_equal_radii_have_an_interval_without_width_that_says_so():
    found = confidence(lambda counts: (estimates.mean_robustness([0.5] * 4, counts),) * 2, 4, FEW)
    assert (found.low, found.high, found.method) == (0.5, 0.5, bootstrap.SAME)


def test_an_infinite_radius_makes_the_upper_end_infinite_and_never_no_number():
    brackets = Brackets(np.full(5, 0.25), np.array([0.5, 0.5, 0.5, 0.5, math.inf]))
    found = confidence(lambda counts: estimates.mean_interval(brackets, counts), 5, FEW)
    assert (found.low, found.high) == (0.25, math.inf)


def test_it_covers_a_share_about_as_often_as_it_says():
    generator, share, samples, trials = np.random.default_rng(1), 0.3, 60, 200
    hits = 0
    for _ in range(trials):
        radii = np.where(generator.random(samples) < share, 0.25, 1.0)
        found = confidence(frequency(radii), samples, FEW, share=True)
        hits += found.low <= share <= found.high
    assert 0.88 <= hits / trials <= 0.99


@pytest.mark.parametrize(
    ("wrong", "words"), [({"resamples": 0}, "0 resamples"), ({"level": 1.0}, "level is 1"), ({"seed": -1}, "seed")]
)
def test_settings_that_make_no_sense(wrong, words):
    with pytest.raises(ValueError, match=words):
        Resampling(**wrong)
