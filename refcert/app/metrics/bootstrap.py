"""How much a metric would vary with other samples: percentile bootstrap over samples, seeded.

Method card
    Source     Efron and Tibshirani (1993), "An introduction to the bootstrap", chapter 13 (percentile intervals);
               Clopper and Pearson (1934) where a share is 0 or 1.
    Departure  a metric with two ends is resampled as a pair: the interval reaches from the lower quantile of the lower
               ends to the upper quantile of the upper ends, so it covers what is not known of these samples and the
               choice of samples. Quantiles are resampled values, never between two, the outer one each.
    Degenerate one sample: none. Resamples for which a metric is not defined are left out, and their share is named.
               Where all resamples of a share agree (none or all of the samples), the exact binomial interval stands.
    Sound?     no: it describes repeated sampling from one population, at about the level named, for samples drawn
               independently. It is no bound for the model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from refcert.app.metrics.estimates import Array, Interval

LEVEL: Final = 0.95
RESAMPLES: Final = 2000
_TOGETHER: Final = 1 << 22
"""So many counts are held at once."""

BOOTSTRAP: Final = "percentile bootstrap"
BINOMIAL: Final = "exact binomial (Clopper-Pearson)"
SAME: Final = "percentile bootstrap without width: the samples do not differ"
ALONE: Final = "none: one sample says nothing about others"
UNDEFINED: Final = "none: the metric is not defined"

Statistic = Callable[[Array | None], Interval]
"""Counts (resamples, samples), None for each sample once -> the metric's two ends, NaN where it is not defined."""


@dataclass(frozen=True)
class Confidence:
    """An interval for the metric over the population; low and high are None where there is none, and `method` says why.

    undefined: the share of resamples in which the metric is not defined; they are left out.
    """

    low: float | None
    high: float | None
    method: str
    undefined: float = 0.0


@dataclass(frozen=True)
class Resampling:
    """How to resample. Raises ValueError."""

    resamples: int = RESAMPLES
    level: float = LEVEL
    seed: int = 0

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"there are {self.resamples} resamples; give at least 1")
        if not 0 < self.level < 1:
            raise ValueError(f"the confidence level is {self.level}; give a number between 0 and 1, such as 0.95")
        if self.seed < 0:
            raise ValueError(f"the seed is {self.seed}; give 0 or more")


def confidence(statistic: Statistic, samples: int, how: Resampling, *, share: bool = False) -> Confidence:
    """The confidence interval of a metric. share: it is a share of the samples."""
    low, high = (float(end) for end in statistic(None))
    if np.isnan(high):
        return Confidence(None, None, UNDEFINED)
    if samples == 1:
        return Confidence(None, None, ALONE)
    lows, highs = _resampled(statistic, samples, how)
    defined = ~np.isnan(highs)
    left_out = float(1 - defined.mean())
    lows, highs = lows[defined], highs[defined]
    if not len(highs):
        return Confidence(None, None, UNDEFINED, left_out)
    tail = (1 - how.level) / 2
    bottom = float(np.quantile(lows, tail, method="lower"))
    top = float(np.quantile(highs, 1 - tail, method="higher"))
    method = BOOTSTRAP
    if share and (lows.max() == lows.min() or highs.max() == highs.min()):
        method = BINOMIAL
        bottom = min(bottom, _binomial(low, samples, how.level)[0])
        top = max(top, _binomial(high, samples, how.level)[1])
    elif bottom == top:
        method = SAME
    return Confidence(bottom, top, method, left_out)


def _resampled(statistic: Statistic, samples: int, how: Resampling) -> Interval:
    generator = np.random.default_rng(how.seed)
    together = max(1, _TOGETHER // samples)
    lows, highs = [], []
    for first in range(0, how.resamples, together):
        number = min(together, how.resamples - first)
        counts = generator.multinomial(samples, np.full(samples, 1 / samples), size=number).astype(np.float64)
        low, high = statistic(counts)
        lows.append(low)
        highs.append(high)
    return np.concatenate(lows), np.concatenate(highs)


def _binomial(share: float, samples: int, level: float) -> tuple[float, float]:
    interval = stats.binomtest(round(share * samples), samples).proportion_ci(level, method="exact")
    return float(interval.low), float(interval.high)
