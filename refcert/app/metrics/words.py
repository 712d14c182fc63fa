"""How the metrics are said: names, figures of an interval, and the question, for tables, page and model card."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Context
from typing import Any, Final

from refcert.app.metrics.estimates import ACCURACY, FREQUENCY, LOWER, MEAN, MEDIAN, SEVERITY, UPPER
from refcert.app.report import words as report_words

NAMES: Final = {
    ACCURACY: "robust accuracy",
    FREQUENCY: "adversarial frequency",
    SEVERITY: "adversarial severity",
    MEAN: "mean pointwise robustness",
    MEDIAN: "median pointwise robustness",
}

MEANINGS: Final = {
    ACCURACY: "share of samples whose true radius is above the threshold",
    FREQUENCY: "share of samples whose true radius is at most the threshold",
    SEVERITY: "mean true radius of the samples that are at or below the threshold",
    MEAN: "mean true radius of all samples; 0 of a misclassified one",
    MEDIAN: "median true radius of all samples; 0 of a misclassified one",
}

SHARES: Final = (ACCURACY, FREQUENCY)
_DIGITS: Final = 4
_NONE: Final = "\N{EN DASH}"


def name_of(row: Mapping[str, Any]) -> str:
    """'robust accuracy at 0.05'."""
    name = NAMES[row["metric"]]
    return name if row["threshold"] is None else f"{name} at {row['threshold']:g}"


def figure(metric: str, value: float | None, *, up: bool | None = None) -> str:
    """A figure of a metric; rounded up or down where it is an end of an interval, to nearest otherwise."""
    if value is None:
        return _NONE
    if metric in SHARES:
        return f"{_rounded(value * 100, up)} %"
    return _rounded(value, up)


def _rounded(value: float, up: bool | None) -> str:
    if up is None:
        return f"{value:.{_DIGITS}g}"
    rounding = ROUND_CEILING if up else ROUND_FLOOR
    # What a product or a mean adds in the last places of a float is not worth a step of what is shown.
    near = Context(prec=12).create_decimal_from_float(value)
    return f"{Context(prec=_DIGITS, rounding=rounding).plus(near).normalize():f}"


def value(row: Mapping[str, Any]) -> str:
    """The figure of one estimator; a bound is rounded to its own side."""
    return figure(row["metric"], row["value"], up={LOWER: False, UPPER: True}.get(row["is"]))


def interval(row: Mapping[str, Any]) -> str:
    """'[12 %, 40 %]'; an end that is missing is a dash, infinity where there is no upper end."""
    if row["low"] is None and row["high"] is None:
        return "not defined"
    high = "\N{INFINITY}" if row["high"] is None else figure(row["metric"], row["high"], up=True)
    return f"[{figure(row['metric'], row['low'], up=False)}, {high}]"


def sources(row: Mapping[str, Any]) -> tuple[str, str]:
    """Where the ends come from; short where each needs both sides."""
    if row["low_from"] == row["high_from"]:
        return "both sides", "both sides"
    return row["low_from"], row["high_from"]


def samples(result: Mapping[str, Any]) -> str:
    """'7 samples, 6 classified correctly', and how many there is no question about."""
    right = result["correct"]
    said = f"{report_words.plural(result['count'], 'sample')}, "
    said += f"{right:,} classified correctly" if result["request"]["spec"] is None else f"rows hold at {right:,}"
    return said + (f"; no question about {result['without_question']:,} more" if result["without_question"] else "")


def attacked(result: Mapping[str, Any]) -> bool:
    """Whether any attack was carried out; else no upper end rests on anything."""
    return any(side["is"] == UPPER for side in result["estimators"])


def checked(result: Mapping[str, Any]) -> str:
    """The comparison of certified radii with attacks, in one line."""
    if not attacked(result):
        return "NO ATTACK WAS CARRIED OUT: no certified radius is held against one, and upper ends rest on nothing"
    check = result["check"]
    said = f"{report_words.plural(check['compared'], 'comparison')} of a certified radius with an attack's find"
    said += ": none reaches one" if check["compared"] else ""
    if check["nothing_found"]:
        number = check["nothing_found"]
        said += f"; {number:,} {'search' if number == 1 else 'searches'} of the attacks found nothing"
    withdrawn = len(check["withdrawn"])
    return said + (f"; {report_words.plural(withdrawn, 'find')} of rounding taken back" if withdrawn else "")


def sentence(text: str) -> str:
    """With a large first letter; names inside stay as they are."""
    return text[:1].upper() + text[1:]


def confidence(row: Mapping[str, Any]) -> str:
    """'[10 %, 44 %]' or why there is none."""
    found = row["confidence"]
    if found["low"] is None and found["high"] is None:
        return _NONE
    return interval({"metric": row["metric"], "low": found["low"], "high": found["high"]})
