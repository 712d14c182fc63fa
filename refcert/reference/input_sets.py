"""Input sets for one sample, and the least value of a linear form on each.

claim     `least` returns a number not above any value of the form on the set; exact for boxes, l_1, l_inf,
          substitutions; for other norms off by the rounding of a ball computation. With a clip range: exact for l_1 and
          l_inf, else a dual bound at a multiplier found by bisection (any multiplier is sound).
source    POPQORN (Ko et al. 2019), theorem A.2 and corollary: dual norm; Hoelder's inequality.
Shapes: center (time, input), forms as Fractions keyed by (t, i).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

from flint import arb, fmpq

from refcert.kernel import ball
from refcert.reference.errors import ReferenceInputError
from refcert.reference.intervals import Interval
from refcert.reference.networks import Array
from refcert.reference.rounding import above, below

LinearForm = Mapping[tuple[int, int], Fraction]
BISECTIONS: Final = 60
# The multiplier is searched among exp(-SEARCHED) and exp(SEARCHED).
SEARCHED: Final = 100.0


class InputSet(Protocol):
    """What every input set offers."""

    @property
    def shape(self) -> tuple[int, int]:
        """(time, input)."""

    def interval(self, t: int, i: int) -> Interval:
        """The range of one input value, rounded outward."""

    def least(self, form: LinearForm) -> Fraction:
        """A number not above sum of form[t, i] x[t, i] for any x of the set."""


@dataclass(frozen=True)
class FrameBalls:
    """Every frame t in an l_p ball of radius[t] around center[t], cut to clip = (low, high) if given."""

    center: Array
    radius: Array
    p: float = math.inf
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check_ball(self.center, self.p, self.clip)
        if self.radius.shape != self.center.shape[:1] or not (self.radius >= 0).all():
            raise ReferenceInputError(f"radius {self.radius} needs one value >= 0 for each frame")

    @property
    def shape(self) -> tuple[int, int]:
        return _shape(self.center)

    def interval(self, t: int, i: int) -> Interval:
        return _ball_interval(float(self.center[t, i]), float(self.radius[t]), self.clip)

    def least(self, form: LinearForm) -> Fraction:
        total = Fraction(0)
        for t in range(self.shape[0]):
            keys = [(t, i) for i in range(self.shape[1])]
            total += _least_on_ball(form, keys, self.center, float(self.radius[t]), self.p, self.clip)
        return total


@dataclass(frozen=True)
class SequenceBall:
    """The whole sequence, as one vector, in an l_p ball around center: the frames share the budget."""

    center: Array
    radius: float
    p: float = math.inf
    clip: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        _check_ball(self.center, self.p, self.clip)
        if not self.radius >= 0:
            raise ReferenceInputError(f"radius {self.radius} is negative or NaN; give a radius >= 0")

    @property
    def shape(self) -> tuple[int, int]:
        return _shape(self.center)

    def interval(self, t: int, i: int) -> Interval:
        return _ball_interval(float(self.center[t, i]), self.radius, self.clip)

    def least(self, form: LinearForm) -> Fraction:
        keys = [(t, i) for t in range(self.shape[0]) for i in range(self.shape[1])]
        return _least_on_ball(form, keys, self.center, self.radius, self.p, self.clip)


@dataclass(frozen=True)
class BoxSet:
    """Every value between lower[t, i] and upper[t, i]."""

    lower: Array
    upper: Array

    def __post_init__(self) -> None:
        if self.lower.shape != self.upper.shape or not (self.lower <= self.upper).all():
            raise ReferenceInputError("a box needs lower <= upper, of the same shape, everywhere")

    @property
    def shape(self) -> tuple[int, int]:
        return _shape(self.lower)

    def interval(self, t: int, i: int) -> Interval:
        return Interval(float(self.lower[t, i]), float(self.upper[t, i]))

    def least(self, form: LinearForm) -> Fraction:
        total = Fraction(0)
        for (t, i), a in form.items():
            total += min(a * Fraction(end) for end in self.interval(t, i))
        return total


@dataclass(frozen=True)
class Substitutions:
    """Frame t is one of the rows of candidates[t] (K_t, input), or anything in their convex hull."""

    candidates: Sequence[Array]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.candidates), int(self.candidates[0].shape[1])

    def interval(self, t: int, i: int) -> Interval:
        return Interval(float(self.candidates[t][:, i].min()), float(self.candidates[t][:, i].max()))

    def least(self, form: LinearForm) -> Fraction:
        total = Fraction(0)
        for t, choices in enumerate(self.candidates):
            total += min(
                sum((form.get((t, i), Fraction(0)) * Fraction(float(x)) for i, x in enumerate(choice)), Fraction(0))
                for choice in choices
            )
        return total


def _shape(center: Array) -> tuple[int, int]:
    return int(center.shape[0]), int(center.shape[1])


def _check_ball(center: Array, p: float, clip: tuple[float, float] | None) -> None:
    if not p >= 1:
        raise ReferenceInputError(f"norm p = {p}: l_p is a norm only for p >= 1; give p >= 1 or inf")
    if clip is not None and not (clip[0] <= center.min() and center.max() <= clip[1]):
        raise ReferenceInputError(f"the center leaves the clip range {clip}; scale it or widen the range")


def _ball_interval(center: float, radius: float, clip: tuple[float, float] | None) -> Interval:
    lower = below(Fraction(center) - Fraction(radius))
    upper = above(Fraction(center) + Fraction(radius))
    return Interval(lower, upper) if clip is None else Interval(max(lower, clip[0]), min(upper, clip[1]))


def _least_on_ball(
    form: LinearForm,
    keys: Sequence[tuple[int, int]],
    center: Array,
    radius: float,
    p: float,
    clip: tuple[float, float] | None,
) -> Fraction:
    """a.center minus the greatest decrease within the ball (and the clip range)."""
    total = Fraction(0)
    weights, rooms = [], []
    for key in keys:
        a, x = form.get(key, Fraction(0)), Fraction(float(center[key]))
        total += a * x
        weights.append(abs(a))
        if clip is not None:
            # a > 0 asks for a step down, a < 0 for a step up
            rooms.append(x - Fraction(clip[0]) if a > 0 else Fraction(clip[1]) - x)
    r = Fraction(radius)
    if clip is None:
        return total - r * dual_norm(weights, p)
    return total - _cut_decrease(weights, rooms, r, p)


def dual_norm(weights: Sequence[Fraction], p: float) -> Fraction:
    """A number not below the l_q norm of weights >= 0, 1/p + 1/q = 1; exact for p = 1 and p = inf."""
    if p == math.inf:
        return sum(weights, Fraction(0))
    if p == 1 or not any(weights):
        return max(weights)
    q = _arb(Fraction(p)) / _arb(Fraction(p) - 1)
    total = arb(0)
    for weight in weights:
        if weight:
            total += _arb(weight) ** q
    return Fraction(ball.float_above(total ** (1 / q)))


def _arb(value: Fraction) -> arb:
    return arb(fmpq(value.numerator, value.denominator))


def _cut_decrease(weights: list[Fraction], rooms: list[Fraction], r: Fraction, p: float) -> Fraction:
    """At least max sum w_i s_i over ||s||_p <= r, 0 <= s_i <= room_i.

    For any 0 <= w' <= w: sum w s = sum w' s + sum (w - w') s <= r ||w'||_q + sum (w - w') room. The best w' is
    min(w, mu room^(p-1)) for one multiplier mu, found by bisection.
    """
    if p == math.inf:
        return sum((w * min(r, room) for w, room in zip(weights, rooms, strict=True)), Fraction(0))
    if p == 1:
        total, left = Fraction(0), r
        for w, room in sorted(zip(weights, rooms, strict=True), reverse=True):
            total += w * min(left, room)
            left -= min(left, room)
        return total

    def dual(mu: float) -> Fraction:
        kept = [min(w, Fraction(mu * float(room) ** (p - 1.0))) for w, room in zip(weights, rooms, strict=True)]
        outside = sum(((w - k) * room for w, k, room in zip(weights, kept, rooms, strict=True)), Fraction(0))
        return r * dual_norm(kept, p) + outside

    uncut = r * dual_norm(weights, p)
    boxed = sum((w * room for w, room in zip(weights, rooms, strict=True)), Fraction(0))
    return min(uncut, boxed, dual(_multiplier(weights, rooms, float(r), p)))


def _multiplier(weights: list[Fraction], rooms: list[Fraction], r: float, p: float) -> float:
    """mu with ||s||_p = r for the steps s_i = min(room_i, (w_i / mu)^(1/(p-1))); any value is sound."""

    def power(mu: float) -> float:
        return math.fsum(
            min(float(room), (float(w) / mu) ** (1.0 / (p - 1.0))) ** p for w, room in zip(weights, rooms, strict=True)
        )

    largest = float(max(weights))
    if largest == 0.0 or r == 0.0:
        return 0.0
    low, high = -SEARCHED, SEARCHED
    for _ in range(BISECTIONS):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if power(math.exp(middle)) > r**p else (low, middle)
    return math.exp(high)
