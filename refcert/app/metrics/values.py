"""The metrics of both sides as rows of the JSON: intervals between them, and what each estimator says by itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from refcert.app.metrics import estimates
from refcert.app.metrics.bootstrap import Confidence, Resampling, Statistic, confidence
from refcert.app.metrics.estimates import ACCURACY, FREQUENCY, MEAN, MEDIAN, SEVERITY, Array, Brackets
from refcert.app.metrics.sides import Side

Row = dict[str, Any]

SHARES: Final = (FREQUENCY, ACCURACY)

Between = Callable[[Brackets, float, Array | None], estimates.Interval]
Alone = Callable[[Array, float, Array | None], Array]

AT_THRESHOLDS: Final[dict[str, tuple[Between, Alone]]] = {
    FREQUENCY: (estimates.frequency_interval, estimates.adversarial_frequency),
    SEVERITY: (estimates.severity_interval, estimates.adversarial_severity),
    ACCURACY: (estimates.accuracy_interval, estimates.robust_accuracy),
}
OVERALL: Final[dict[str, tuple[Between, Alone]]] = {
    MEAN: (lambda b, _, w: estimates.mean_interval(b, w), lambda r, _, w: estimates.mean_robustness(r, w)),
    MEDIAN: (lambda b, _, w: estimates.median_interval(b, w), lambda r, _, w: estimates.median_robustness(r, w)),
}


def between(certified: Side, attack: Side, thresholds: Sequence[float], how: Resampling) -> list[Row]:
    """Every metric as an interval from certified radii and attacks, with the estimator of each end."""
    brackets = Brackets(certified.radii, attack.radii)
    rows = []
    for metric, threshold, (interval, _) in _asked(thresholds):
        statistic = _of_brackets(interval, brackets, threshold)
        low, high = (float(end) for end in statistic(None))
        rows.append(
            {
                "metric": metric,
                "threshold": threshold,
                "low": _number(low),
                "high": _number(high),
                "low_from": _source(metric, certified, attack, low_end=True),
                "high_from": _source(metric, certified, attack, low_end=False),
                "confidence": _confidence(confidence(statistic, len(brackets), how, share=metric in SHARES), how),
                "note": _note(metric, threshold, brackets),
            }
        )
    return rows


def alone(side: Side, thresholds: Sequence[float], how: Resampling) -> list[Row]:
    """Every metric from one estimator's radii, and whether that is a bound or an estimate."""
    rows = []
    for metric, threshold, (_, value) in _asked(thresholds):
        statistic = _of_radii(value, side.radii, threshold)
        found = float(statistic(None)[0])
        rows.append(
            {
                "estimator": side.name,
                "metric": metric,
                "threshold": threshold,
                "value": _number(found),
                "is": estimates.nature(metric, side.nature),
                "confidence": _confidence(confidence(statistic, len(side.radii), how, share=metric in SHARES), how),
                "note": _alone_note(metric, threshold, side),
            }
        )
    return rows


def _asked(thresholds: Sequence[float]) -> list[tuple[str, float | None, tuple[Between, Alone]]]:
    at = [(metric, t, functions) for metric, functions in AT_THRESHOLDS.items() for t in thresholds]
    return [*at, *((metric, None, functions) for metric, functions in OVERALL.items())]


def _of_brackets(interval: Between, brackets: Brackets, threshold: float | None) -> Statistic:
    return lambda counts: interval(brackets, threshold or 0.0, counts)


def _of_radii(value: Alone, radii: Array, threshold: float | None) -> Statistic:
    def both(counts: Array | None) -> estimates.Interval:
        found = value(radii, threshold or 0.0, counts)
        return found, found

    return both


def _source(metric: str, certified: Side, attack: Side, *, low_end: bool) -> str:
    """Whose radii an end of the interval comes from."""
    if metric == SEVERITY:
        return f"{certified.name} and {attack.name}"
    return attack.name if low_end == (metric == FREQUENCY) else certified.name


def _note(metric: str, threshold: float | None, brackets: Brackets) -> str | None:
    """What a reader must know of a figure that is at an edge."""
    if threshold is None:
        endless = int(np.isinf(brackets.upper).sum())
        if metric == MEAN and endless:
            return f"no upper end: no adversarial input was found for {endless} of {len(brackets)} samples"
        if metric == MEDIAN and np.isinf(np.median(brackets.upper)):
            return "no upper end: no adversarial input was found for half of the samples"
        return None
    if metric == SEVERITY:
        surely = int(brackets.surely_within(threshold).sum())
        perhaps = int(brackets.perhaps_within(threshold).sum())
        if not surely and not perhaps:
            return "not defined: no sample can be at or below the threshold"
        if not surely:
            return "no sample is known to be at or below the threshold; the interval holds if one is"
    return _ZERO if threshold == 0 else None


_ZERO: Final = "a threshold of 0: only misclassified samples, whose radius is 0, are at or below it"


def _alone_note(metric: str, threshold: float | None, side: Side) -> str | None:
    endless = int(np.isinf(side.radii).sum())
    if threshold is None and endless:
        return f"nothing was found for {endless} of {len(side.radii)} samples"
    if metric == SEVERITY and threshold is not None and not (side.radii <= threshold).any():
        return "not defined: no radius is at or below the threshold"
    if threshold == 0:
        return "a threshold of 0: samples whose radius is 0" + (
            ", misclassified or not certified at any radius" if side.nature == estimates.LOWER else ""
        )
    return None


def _confidence(found: Confidence, how: Resampling) -> Row:
    return {
        "level": how.level,
        "low": None if found.low is None else _number(found.low),
        "high": None if found.high is None else _number(found.high),
        "method": found.method,
        "undefined_resamples": found.undefined,
    }


def _number(x: float) -> float | None:
    """JSON has neither infinity nor NaN: null, and the note says why."""
    return x if math.isfinite(x) else None
