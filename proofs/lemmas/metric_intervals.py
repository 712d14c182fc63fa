"""Robustness metrics from brackets are exact intervals: each true radius runs through its own bracket by itself.

Let rho_i be the distance of sample i to the nearest input that breaks its question, certified at radius c_i (no input
of the closed ball breaks it) and attacked at radius a_i (an input at that distance does). Let eps be the threshold.

(i)   c_i < rho_i <= a_i: an input at distance rho_i breaks the question and is not in the ball c_i.
(ii)  rho_i <= eps surely where a_i <= eps; perhaps where c_i < eps < a_i; never where c_i >= eps, since rho_i > c_i.
(iii) The mean of n values moves by (x - mean) / (n + 1) where x joins them, and falls with each value. So severity, the
      mean of the rho_i <= eps, is least with lower ends, and with those of the samples that need not count that lower
      it: the smallest first, since replacing one by a smaller one lowers the mean.
(iv)  It is largest with upper ends, where every sample that need not count stands at eps: no mean of values up to
      eps falls where eps joins them.
The code is compared with every choice of ends and of samples for up to three brackets with ends among five numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import combinations_with_replacement, product
from typing import Any

import sympy as sp

from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import Expr, identity, nonnegative, positive

OO = sp.oo
THRESHOLD = 2.0
ENDS = (0.0, 1.0, 2.0, 3.0, math.inf)
MAX_SAMPLES = 3
Bracket = tuple[float, float]
Severity = Callable[[Any, float], tuple[float, float]]

n = sp.Symbol("n", positive=True)
mean, x, gap, rest = sp.symbols("mean x gap rest", nonnegative=True)


def _brackets(attacked: Expr = gap) -> list[str]:
    """(i). attacked: by how much the distance of an input that breaks the question is above the certified radius."""
    proof = Proof()
    certified = sp.Symbol("certified", nonnegative=True)
    # Outside the closed ball: the distance is certified + gap with gap > 0. The nearest is no farther than any other.
    ranges = dict.fromkeys((certified, gap, rest), (0, OO))
    proof.by("an input outside the ball is farther than its radius", positive, certified + attacked - certified, ranges)
    farther = (certified + attacked + rest) - (certified + attacked)
    proof.by("the nearest is no farther than the one found", nonnegative, farther, ranges)
    return proof.steps


def _means(joined: Callable[[Expr], Expr] = lambda value: (n * mean + value) / (n + 1)) -> list[str]:
    """(iii), (iv). joined: the mean once a value joins n values."""
    proof = Proof()
    proof.by("a value that joins moves the mean its way", identity, joined(x) - mean - (x - mean) / (n + 1))
    ranges = dict.fromkeys((n, mean, gap, x), (0, OO))
    proof.by("one below the mean lowers it", positive, -(joined(mean - gap) - mean), ranges)
    proof.by("one at or above the mean does not", nonnegative, joined(mean + gap) - mean, ranges)
    proof.by("a smaller one in its place lowers the mean", positive, joined(x + gap) - joined(x), ranges)
    return proof.steps


def code_severity(brackets: Any, threshold: float) -> tuple[float, float]:
    """The ends that `severity_interval` gives."""
    from refcert.app.metrics.estimates import severity_interval

    low, high = severity_interval(brackets, threshold)
    return float(low), float(high)


def _every_case(severity: Severity = code_severity) -> list[str]:
    """(ii) to (iv) of the code, by going through all choices."""
    proof = Proof()
    for samples in range(1, MAX_SAMPLES + 1):
        proof.by(f"{samples} brackets: all outcomes lie inside, both ends are outcomes", _agrees, samples, severity)
    return proof.steps


def _agrees(samples: int, severity: Severity) -> None:
    """Raise LemmaError unless the code's intervals are those of all outcomes; `low` itself counts as one."""
    from refcert.app.metrics.estimates import Brackets, frequency_interval

    one = [(low, high) for low in ENDS for high in ENDS if low <= high and math.isfinite(low)]
    for chosen in combinations_with_replacement(one, samples):
        brackets = Brackets(*map(list, zip(*chosen, strict=True)))  # type: ignore[arg-type]
        counts, means = _outcomes(chosen)
        low, high = (float(end) * samples for end in frequency_interval(brackets, THRESHOLD))
        if (round(low), round(high)) != (min(counts), max(counts)):
            raise LemmaError(f"frequency of {chosen}: {low, high}, the outcomes are {min(counts), max(counts)}")
        found = severity(brackets, THRESHOLD)
        expected = (min(means), max(means)) if means else (math.nan, math.nan)
        if any(not _same(a, b) for a, b in zip(found, expected, strict=True)):
            raise LemmaError(f"severity of {chosen}: {found}, the outcomes are {expected}")


def _outcomes(chosen: tuple[Bracket, ...]) -> tuple[list[int], list[float]]:
    """How many can count, and their means, over the ends of all brackets and what lies between."""
    counts, means = [], []
    for values in product(*(_values(bracket) for bracket in chosen)):
        within = [value for value in values if value is not None]
        counts.append(len(within))
        if within:
            means.append(sum(within) / len(within))
    return counts, means


def _values(bracket: Bracket) -> list[float | None]:
    """Radii of the bracket (low, high] up to the threshold, its ends and the threshold; None for one above it."""
    low, high = bracket
    if low == high:
        return [low if low <= THRESHOLD else None]
    values: list[float | None] = [value for value in (low, min(high, THRESHOLD)) if low < THRESHOLD]
    return values + ([None] if high > THRESHOLD else [])


def _same(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or abs(a - b) < 1e-12  # means of a few small whole numbers


def _lower_ends_of_all(brackets: Any, threshold: float) -> tuple[float, float]:
    """A false rule: everybody who may count does, also where that raises the least mean."""
    within = [low for low, high in zip(brackets.lower, brackets.upper, strict=True) if low < threshold or high == low]
    within = [low for low in within if low <= threshold]
    return (sum(within) / len(within) if within else math.nan), code_severity(brackets, threshold)[1]


LEMMA = Lemma(
    name="metric_intervals",
    statement=__doc__,
    source="Bastani et al. (2016), section 2, metrics; the intervals are ours",
    code=(
        "refcert.app.metrics.estimates:frequency_interval",
        "refcert.app.metrics.estimates:severity_interval",
    ),
    tests=("tests/proofs/test_lemmas.py",),
    check=lambda: _brackets() + _means() + _every_case(),
    controls={
        "an input on the certified ball may break the question": lambda: _brackets(attacked=sp.Integer(0)),
        "the mean of the mean and the value": lambda: _means(lambda value: (mean + value) / 2),
        "all who may count lower the mean": lambda: _every_case(_lower_ends_of_all),
    },
)
