"""The end of a distribution from block maxima: known ends are found, and every case without a fit has its name."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gpu_engine.errors import NumericalError
from gpu_engine.scores.weibull import CONSTANT, FEWEST, FITTED, NO_FIT, fit_end


def drawn(shape: float, count: int, seed: int, end: float = 30.0, scale: float = 2.0) -> np.ndarray:
    return stats.weibull_max.rvs(shape, loc=end, scale=scale, size=count, random_state=np.random.default_rng(seed))


@pytest.mark.parametrize("shape", [1.5, 3.0, 6.0])
def test_known_parameters_are_recovered(shape):
    """Of many draws: location, shape and a statistic as small as a true distribution's."""
    fit = fit_end(drawn(shape, 5000, seed=1))
    assert fit.status == FITTED
    assert fit.end == pytest.approx(30.0, abs=0.3)
    assert fit.shape == pytest.approx(shape, rel=0.2)
    assert fit.ks_statistic < 0.02
    assert fit.ks_pvalue > 0.05


@pytest.mark.parametrize("shape", [1.2, 2.0, 4.0, 8.0])
@pytest.mark.parametrize("seed", range(3))
def test_likelihood_is_not_below_that_of_scipys_own_search(shape, seed):
    """Scipy's, started at the true parameters, climbs the same likelihood."""
    data = drawn(shape, 200, seed)
    fit = fit_end(data)
    assert fit.status == FITTED
    scale = np.mean((fit.end - data) ** fit.shape) ** (1 / fit.shape)  # the best one for this shape and end
    theirs = stats.weibull_max.fit(data, shape, loc=30.0, scale=2.0)
    ours = stats.weibull_max.nnlf((fit.shape, fit.end, scale), data)
    assert ours <= stats.weibull_max.nnlf(theirs, data) + 1e-3 or theirs[0] < 1  # below 1 it has no maximum


def test_data_of_another_distribution_are_told():
    """Two far clusters are no reverse Weibull distribution; the p-value says so."""
    rng = np.random.default_rng(0)
    fit = fit_end(np.concatenate((rng.uniform(1, 1.1, 200), rng.uniform(9, 9.1, 200))))
    assert fit.status == NO_FIT or fit.ks_pvalue < 1e-3


def test_data_without_an_end_get_none():
    """Heavy tails: the likelihood grows towards ever further locations."""
    data = 1 + np.random.default_rng(0).pareto(2.0, 500)
    fit = fit_end(data)
    assert (fit.status, fit.end) == (NO_FIT, data.max())
    assert "no end" in fit.reason
    assert fit.shape is fit.ks_statistic is fit.ks_pvalue is None


@pytest.mark.parametrize("value", [0.0, 1e-300, 3.0, 1e300])
def test_equal_maxima_are_constant(value):
    fit = fit_end(np.full(50, value))
    assert (fit.status, fit.end, fit.largest, fit.ks_pvalue) == (CONSTANT, value, value, None)


def test_maxima_that_differ_by_rounding_are_constant():
    data = 5.0 + np.random.default_rng(0).integers(-8, 9, 100) * 1e-15
    fit = fit_end(data)
    assert (fit.status, fit.end) == (CONSTANT, data.max())


def test_too_few_maxima():
    data = drawn(3.0, FEWEST - 1, seed=0)
    fit = fit_end(data)
    assert (fit.status, fit.end) == (NO_FIT, data.max())
    assert str(FEWEST) in fit.reason


@pytest.mark.parametrize("count", [1, FEWEST - 1])
def test_too_few_equal_maxima_are_not_constant(count):
    """One maximum alone was taken for the end of the distribution."""
    assert fit_end(np.full(count, 3.0)).status == NO_FIT


def test_value_seen_apart():
    """The end is not below it: with a fit that ends below, and with equal maxima, it takes the end's place."""
    data = drawn(3.0, 100, seed=0)
    for apart, maxima in ((1000.0, data), (6.0, np.full(20, 5.0))):
        fit = fit_end(maxima, apart)
        assert (fit.status, fit.end, fit.largest) == (NO_FIT, apart, apart)
        assert "apart" in fit.reason
    assert fit_end(data, float(data.min())) == fit_end(data)


@given(
    st.lists(st.floats(0, 1e6), min_size=1, max_size=40),
    st.floats(0, 1e6),
    st.integers(-60, 60),
)
def test_end_is_never_below_what_was_seen(values, apart, exponent):
    """Whatever the data: finite, named, not below the largest value, and in proportion to the unit."""
    data = np.array(values)
    fit = fit_end(data, apart)
    assert math.isfinite(fit.end)
    assert fit.end >= fit.largest == max(data.max(), apart)
    assert (fit.status == NO_FIT) == (fit.reason is not None)
    assert (fit.status == FITTED) == (fit.ks_pvalue is not None)
    unit = 2.0**exponent
    scaled = fit_end(data * unit, apart * unit)
    if data[data > 0].min(initial=1.0) * unit > 1e-290 and apart * unit > 1e-290:
        assert scaled.status == fit.status
        assert scaled.end == pytest.approx(fit.end * unit, rel=1e-6)


@pytest.mark.parametrize(
    ("maxima", "apart"),
    [([], 0.0), ([[1.0, 2.0]], 0.0), ([1.0, math.nan], 0.0), ([1.0, math.inf], 0.0), ([-1.0], 0.0), ([1.0], math.nan)],
)
def test_values_that_are_no_norms(maxima, apart):
    with pytest.raises(NumericalError, match="cannot be fitted"):
        fit_end(np.array(maxima), apart)
