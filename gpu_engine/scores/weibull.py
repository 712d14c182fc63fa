"""The end of a distribution from block maxima: a reverse Weibull fit, and how well it describes the data.

Method card
    Source     CLEVER (Weng et al., ICLR 2018), section 4: maxima of batches of a bounded quantity follow a reverse
               Weibull distribution in the limit (Fisher and Tippett 1928, Gnedenko 1943), whose location is its end.
    Fit        maximum likelihood of `scipy.stats.weibull_max` on standardised data. The scale that is best for a shape
               and a location is known in closed form, and L-BFGS-B finds the two others, from two starts. Shapes are
               kept from 1 up: below, the likelihood has no maximum (Smith 1985). `weibull_max.fit` climbs the same
               likelihood, at ten times the cost and, from its own start, often into that singularity.
    Sound?     no. A location is an estimate of the end, which can lie anywhere above it or below it.
    Degenerate every case without a fit has a name (`Fit.status`), and the largest value seen is used in its place.
    p-values   the parameters come from the same data as the statistic, so p-values are too large: a small one speaks
               against the fit, a large one says little for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import optimize, stats

from gpu_engine.errors import NumericalError

FITTED: Final = "fitted"
CONSTANT: Final = "constant"
NO_FIT: Final = "no_fit"
STATUSES: Final = (FITTED, CONSTANT, NO_FIT)

# Fewer maxima than this do not determine three parameters.
FEWEST: Final = 10
# Maxima that differ by less than this share of the largest one differ by rounding only.
_ROUNDING: Final = 1e-10
# A location further beyond the largest maximum than so many times their whole range is no estimate: the likelihood
# grows for ever, towards the Gumbel distribution, which has no end.
_REACH: Final = 3.0
# How near to the largest maximum a location is tried, in the same unit.
_NEAREST: Final = 1e-9
_SHAPES: Final = (1.0, 1e6)
# Shapes and distances of the location (in ranges) that the search starts from.
_STARTS: Final = ((5.0, 0.5), (1.5, 0.02))


@dataclass(frozen=True)
class Fit:
    """The estimated end of a distribution.

    status: `fitted`; `constant`, all maxima are equal up to rounding; `no_fit`, and then reason says why. end: the
    location where it was fitted, else the largest value seen. largest: that value. shape, and the Kolmogorov-Smirnov
    statistic and p-value of the fit, are None where there is none.
    """

    status: str
    end: float
    largest: float
    shape: float | None = None
    ks_statistic: float | None = None
    ks_pvalue: float | None = None
    reason: str | None = None


def fit_end(maxima: np.ndarray, also_seen: float = 0.0) -> Fit:
    """The end of a distribution of non-negative values from the maxima of batches of draws, (batches,).

    also_seen: a value of it that is in no batch; the end is not below it. Raises NumericalError for values that are not
    finite or negative.
    """
    data = np.asarray(maxima, dtype=np.float64)
    if data.ndim != 1 or not len(data) or not (np.isfinite(data).all() and data.min() >= 0 and np.isfinite(also_seen)):
        raise NumericalError(
            f"maxima {data.tolist()[:3]}... cannot be fitted; they need one finite number >= 0 a batch"
        )
    top, spread = float(data.max()), float(np.ptp(data))
    largest = max(top, also_seen)
    if len(data) < FEWEST:  # equal ones included: a few show no end either
        return Fit(NO_FIT, largest, largest, reason=f"{len(data)} maxima, fewer than {FEWEST}")
    if spread <= _ROUNDING * largest:
        if largest <= top * (1 + _ROUNDING):
            return Fit(CONSTANT, largest, largest)
        return Fit(NO_FIT, largest, largest, reason="all maxima are equal, and a larger value was seen apart")
    found = _likeliest((top - data) / spread)
    if found is None:
        return Fit(NO_FIT, largest, largest, reason="the fit does not converge")
    shape, gap = found
    location = top + gap * spread
    if gap >= _REACH:
        return Fit(NO_FIT, largest, largest, reason="the location is far beyond the data, which show no end")
    if location < largest:
        return Fit(NO_FIT, largest, largest, reason="the location is below a value that was seen apart")
    below = location - data
    scale = float(np.exp(_log_mean_power(np.log(below), shape) / shape))
    test = stats.kstest(data, stats.weibull_max(shape, location, scale).cdf)
    return Fit(FITTED, location, largest, shape, float(test.statistic), float(test.pvalue))


def _likeliest(below: np.ndarray) -> tuple[float, float] | None:
    """Shape, and distance of the location, for distances below the largest maximum; both in ranges of the data.

    None where the search does not converge from any start.
    """
    bounds = [(math.log(low), math.log(high)) for low, high in (_SHAPES, (_NEAREST, _REACH))]
    best = None
    for start in _STARTS:
        found = optimize.minimize(_loss, np.log(start), below, jac=True, method="L-BFGS-B", bounds=bounds)
        # A search that stops because rounding hides any further gain is at its end, too.
        if (found.success or found.status == _PRECISION) and (best is None or found.fun < best.fun):
            best = found
    if best is None:
        return None
    shape, gap = (float(value) for value in np.exp(best.x))
    return shape, _REACH if best.x[1] >= bounds[1][1] else gap


# What L-BFGS-B says of a line search that found nothing lower.
_PRECISION: Final = 2


def _loss(point: np.ndarray, below: np.ndarray) -> tuple[float, np.ndarray]:
    """Minus the mean log-likelihood, less constants, and its gradient, at (log shape, log distance)."""
    shape, gap = np.exp(point)
    y = gap + below
    logs = np.log(y)
    power = _log_mean_power(logs, shape)
    share = np.exp(shape * logs - power) / len(y)
    value = -np.log(shape) + power - (shape - 1) * logs.mean()
    by_shape = -1 / shape + share @ logs - logs.mean()
    by_gap = shape * (share @ (1 / y)) - (shape - 1) * (1 / y).mean()
    return float(value), np.array([shape * by_shape, gap * by_gap])


def _log_mean_power(logs: np.ndarray, shape: float) -> float:
    """log(mean(y^shape)) from log y, without overflow."""
    powers = shape * logs
    most = powers.max()
    return float(most + np.log(np.exp(powers - most).mean()))
