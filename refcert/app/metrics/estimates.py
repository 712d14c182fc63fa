"""Robustness metrics of a set of samples, from one algorithm's radii or from brackets of the true ones.

Method card
    Source     Bastani et al. (2016), "Measuring neural net robustness with constraints", section 2: pointwise
               robustness rho (the distance to the nearest adversarial input), adversarial frequency (the share of
               samples with rho <= eps), adversarial severity (the mean of rho over these).
    Departure  from brackets, every metric is the exact interval of the values that it takes as each rho runs through
               its bracket by itself; no estimate stands for rho there.
    Brackets   `lower` is certified: no input of the CLOSED ball of that radius breaks the question, so rho > lower.
               `upper` is an attack's: an input at that distance breaks it, so rho <= upper; infinity where none was
               found. So rho lies in (lower, upper]; where both are equal, rho is that number: 0 of a misclassified
               sample, or a minimum that is known.
    Sound?     an interval is, if its brackets are, up to the float64 rounding of sums. What one array of radii gives
               is a bound or an estimate; see `nature`.
    Shapes     radii (samples,); counts (..., samples): how often each sample counts (of resamples; None for once
               each); results (...,), NaN where a metric is not defined. Errors: ValueError.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

LOWER: Final = "lower bound"
UPPER: Final = "upper bound"
ESTIMATE: Final = "estimate"

FREQUENCY: Final = "adversarial_frequency"
SEVERITY: Final = "adversarial_severity"
ACCURACY: Final = "robust_accuracy"
MEAN: Final = "mean_robustness"
MEDIAN: Final = "median_robustness"

_OPPOSITE: Final = {LOWER: UPPER, UPPER: LOWER, ESTIMATE: ESTIMATE}


def nature(metric: str, radii: str) -> str:
    """What a metric is that was computed from radii of this nature: a lower bound, an upper bound or an estimate.

    radii: LOWER for certified ones, UPPER for an attack's, ESTIMATE for a score's. Severity is an estimate always: a
    radius that shrinks below the threshold can move the mean either way.
    """
    if metric == SEVERITY:
        return ESTIMATE
    return _OPPOSITE[radii] if metric == FREQUENCY else radii


def adversarial_frequency(radii: ArrayLike, threshold: float, counts: ArrayLike | None = None) -> Array:
    """The share of samples with a radius of at most the threshold."""
    found = checked_radii(radii)
    return _share(found <= checked_threshold(threshold), _counts(counts, len(found)))


def robust_accuracy(radii: ArrayLike, threshold: float, counts: ArrayLike | None = None) -> Array:
    """The share of samples with a radius above the threshold."""
    found = checked_radii(radii)
    return _share(found > checked_threshold(threshold), _counts(counts, len(found)))


def adversarial_severity(radii: ArrayLike, threshold: float, counts: ArrayLike | None = None) -> Array:
    """The mean radius of the samples whose radius is at most the threshold, NaN where there is none."""
    found = checked_radii(radii)
    below = found <= checked_threshold(threshold)
    return _mean(found[below], _counts(counts, len(found))[..., below])


def mean_robustness(radii: ArrayLike, counts: ArrayLike | None = None) -> Array:
    """The mean radius; infinity where one of them is."""
    found = checked_radii(radii)
    return _mean(found, _counts(counts, len(found)))


def median_robustness(radii: ArrayLike, counts: ArrayLike | None = None) -> Array:
    """The median radius, of an even number the mean of the two in the middle."""
    found = checked_radii(radii)
    weight = _counts(counts, len(found))
    order = np.argsort(found, kind="stable")
    total = np.cumsum(weight[..., order], axis=-1)
    last = total[..., -1:]
    # The first sample with so many up to it; halves of whole numbers are exact.
    below = (total < np.floor((last + 1) / 2)).sum(-1)
    above = (total < np.floor(last / 2) + 1).sum(-1)
    middle: Array = (found[order][below] + found[order][above]) / 2
    return middle


def robust_accuracy_curve(radii: ArrayLike, thresholds: Sequence[float]) -> Array:
    """`robust_accuracy` at each threshold, (thresholds,)."""
    return np.array([float(robust_accuracy(radii, threshold)) for threshold in thresholds])


@dataclass(frozen=True)
class Brackets:
    """What is known of the true pointwise robustness of each sample: it lies in (lower, upper], see the head.

    lower, upper (samples,) float64, 0 <= lower <= upper; upper may be infinite. Both are 0 of a misclassified sample.
    """

    lower: Array
    upper: Array

    def __post_init__(self) -> None:
        lower, upper = checked_radii(self.lower), checked_radii(self.upper)
        if lower.shape != upper.shape:
            raise ValueError(f"there are {len(lower)} lower and {len(upper)} upper radii; give one of each a sample")
        endless = np.flatnonzero(np.isinf(lower))
        if len(endless):
            raise ValueError(f"sample {endless[0]} is certified at an infinite radius; give a finite one")
        crossed = np.flatnonzero(lower > upper)
        if len(crossed):
            k = crossed[0]
            raise ValueError(
                f"sample {k} is certified up to {lower[k]!r} and attacked at {upper[k]!r}; one of the two is wrong"
            )
        object.__setattr__(self, "lower", lower)
        object.__setattr__(self, "upper", upper)

    def __len__(self) -> int:
        return len(self.lower)

    def surely_within(self, threshold: float) -> NDArray[np.bool_]:
        """Where the true radius is at most the threshold whatever it is."""
        return self.upper <= checked_threshold(threshold)

    def perhaps_within(self, threshold: float) -> NDArray[np.bool_]:
        """Where it may be at most the threshold, and may be above it."""
        return (self.lower < checked_threshold(threshold)) & ~self.surely_within(threshold)


Interval = tuple[Array, Array]
"""The least and the largest value."""


def frequency_interval(brackets: Brackets, threshold: float, counts: ArrayLike | None = None) -> Interval:
    """Adversarial frequency: [share with upper <= eps, share with upper <= eps or lower < eps]."""
    weight = _counts(counts, len(brackets))
    surely, perhaps = brackets.surely_within(threshold), brackets.perhaps_within(threshold)
    return _share(surely, weight), _share(surely | perhaps, weight)


def accuracy_interval(brackets: Brackets, threshold: float, counts: ArrayLike | None = None) -> Interval:
    """Robust accuracy, one minus the adversarial frequency."""
    weight = _counts(counts, len(brackets))
    surely, perhaps = brackets.surely_within(threshold), brackets.perhaps_within(threshold)
    return _share(~(surely | perhaps), weight), _share(~surely, weight)


def severity_interval(brackets: Brackets, threshold: float, counts: ArrayLike | None = None) -> Interval:
    """Adversarial severity: infimum and maximum of the mean over those below the threshold; NaN where none can be.

    Least: all count with their lower ends, and of those that need not count just those that lower the mean, smallest
    first. Largest: those that must count do so with their upper ends, and each of the others at the threshold itself,
    which lowers no mean of numbers up to it. Where nobody must count, the interval is that of the cases in which
    somebody does (`Brackets.surely_within` tells).
    """
    weight = _counts(counts, len(brackets))
    surely, perhaps = brackets.surely_within(threshold), brackets.perhaps_within(threshold)
    must, may = weight[..., surely], weight[..., perhaps]
    order = np.argsort(brackets.lower[perhaps], kind="stable")
    may = may[..., order]
    number = must.sum(-1)[..., None]
    added = np.cumsum(may, axis=-1)
    numbers = np.concatenate((number, number + added), axis=-1)
    least = (must * brackets.lower[surely]).sum(-1)[..., None]
    sums = np.concatenate((least, least + np.cumsum(may * brackets.lower[perhaps][order], axis=-1)), axis=-1)
    lowest = np.where(numbers > 0, sums / np.where(numbers > 0, numbers, 1), np.inf).min(-1)
    largest = (must * brackets.upper[surely]).sum(-1) + threshold * may.sum(-1)
    counted = numbers[..., -1]
    # No mean of numbers up to the threshold is above it; its rounding can be.
    highest = np.where(counted > 0, np.minimum(largest / np.where(counted > 0, counted, 1), threshold), np.nan)
    return np.where(counted > 0, np.minimum(lowest, highest), np.nan), highest


def mean_interval(brackets: Brackets, counts: ArrayLike | None = None) -> Interval:
    """Mean pointwise robustness; the upper end is infinite where an attack found nothing for some sample."""
    return mean_robustness(brackets.lower, counts), mean_robustness(brackets.upper, counts)


def median_interval(brackets: Brackets, counts: ArrayLike | None = None) -> Interval:
    """Median pointwise robustness."""
    return median_robustness(brackets.lower, counts), median_robustness(brackets.upper, counts)


def checked_radii(radii: ArrayLike) -> Array:
    """Radii as float64; infinity stands for none found. Raises ValueError."""
    found = np.asarray(radii, dtype=np.float64)
    if found.ndim != 1 or not len(found):
        raise ValueError(f"radii have shape {found.shape}; give one for each of at least one sample")
    wrong = np.flatnonzero(~(found >= 0))
    if len(wrong):
        raise ValueError(f"radius {wrong[0]} is {found[wrong[0]]}; give numbers >= 0, infinity where none was found")
    return found


def checked_threshold(threshold: float) -> float:
    """The threshold. Raises ValueError unless it is a finite number >= 0."""
    if not 0 <= threshold < np.inf:
        raise ValueError(f"the threshold is {threshold}; give a finite number >= 0, in the unit of the data")
    return threshold


def _counts(counts: ArrayLike | None, samples: int) -> Array:
    if counts is None:
        return np.ones(samples)
    found = np.asarray(counts, dtype=np.float64)
    if found.shape[-1:] != (samples,) or not ((found >= 0) & np.isfinite(found)).all() or not (found.sum(-1) > 0).all():
        raise ValueError(f"counts have shape {found.shape}; give (..., {samples}) numbers >= 0, not all of them 0")
    return found


def _share(chosen: NDArray[np.bool_], weight: Array) -> Array:
    share: Array = weight[..., chosen].sum(-1) / weight.sum(-1)
    return share


def _mean(values: Array, weight: Array) -> Array:
    total = weight.sum(-1)
    # Infinity times 0 is no number: a sample that does not count adds nothing.
    sums = np.where(weight > 0, values, 0.0) * weight
    mean: Array = np.where(total > 0, sums.sum(-1) / np.where(total > 0, total, 1), np.nan)
    return mean
