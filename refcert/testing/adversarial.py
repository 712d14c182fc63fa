"""A counter-example to one sample, made simple: few changed frames, few changed coordinates, few digits.

Method card
    Claim      the point returned is in the set in exact arithmetic, and the exact network's margin there is certainly
               not positive. It need not be the simplest of all.
    Idea       from an adversarial input frames, then coordinates, go back to the sample's own values as long as the
               margin stays below a floor; what is left is rounded to the fewest decimal digits. The smallest radius is
               searched apart from that (`Bisected`): the nearest adversarial input changes everything a little.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context
from typing import Final

import torch
from torch import Tensor

from gpu_engine.attacks.bisection import Bisected
from gpu_engine.attacks.pgd import PGD
from gpu_engine.inputs import Substitutions
from refcert.testing.exact import ExactNetwork, contains
from refcert.testing.questions import Asked

QUICK: Final = PGD(steps=12, restarts=4)
# A simpler point keeps this share of the first one's margin, so that it fails in float64, too, whoever evaluates it.
KEPT: Final = 0.05
_DIGITS: Final = (1, 2, 3, 4, 6, 9)
_AT_ONCE: Final = 64
"""Points of one forward pass."""


@dataclass(frozen=True)
class CounterExample:
    """x (time, input), the exact margin between two floats; changed: (frame, coordinate) that differ from the sample.

    radius: the smallest ball of the asked family in which the attack found one; None where the sets are no balls.
    """

    x: Tensor
    margin: tuple[float, float]
    changed: tuple[tuple[int, int], ...]
    radius: float | None = None


def attacked(asked: Asked, seed: int) -> tuple[Tensor, Tensor]:
    """The worst inputs found, (batch, time, input), and their margins (batch,) in float64."""
    worst = PGD().worst(asked.question, asked.inputs, torch.Generator().manual_seed(seed))
    return worst.x, worst.margin


def confirmed(asked: Asked, exact: ExactNetwork, sample: int, x: Tensor) -> tuple[float, float] | None:
    """The exact margin at x (time, input) if x is a counter-example beyond doubt."""
    if not contains(asked.inputs, sample, x):
        return None
    frames = x.shape[0] if asked.lengths is None else int(asked.lengths[sample])
    return exact.broken(asked.specification.select(slice(sample, sample + 1)), x[:frames])


def counter_example(asked: Asked, exact: ExactNetwork, x: Tensor, seed: int, *, shrink: bool) -> CounterExample | None:
    """Of one sample's question (batch 1) and an adversarial input x (time, input); None where it is not confirmed."""
    margin = confirmed(asked, exact, 0, x)
    if margin is None:
        return None
    radius = None
    if shrink:
        radius = _smallest_radius(asked, exact, seed)
        simple = _simple(asked, x)
        better = confirmed(asked, exact, 0, simple)
        if better is not None:
            x, margin = simple, better
    changed = tuple((int(t), int(i)) for t, i in (x != asked.x[0]).nonzero().tolist())
    return CounterExample(x, margin, changed, radius)


def _smallest_radius(asked: Asked, exact: ExactNetwork, seed: int) -> float | None:
    family = asked.family
    if family is None:
        return None
    found = Bisected(QUICK, tolerance=0.02).smallest(asked.question, family, torch.Generator().manual_seed(seed))
    radius = float(found.radius[0])
    if not math.isfinite(radius):
        return None
    frames = asked.x.shape[1] if asked.lengths is None else int(asked.lengths[0])
    return radius if exact.broken(asked.specification, found.x[0, :frames]) is not None else None


def _simple(asked: Asked, x: Tensor) -> Tensor:
    """x (time, input) with fewer and rounder changes, by the plain forward pass."""
    origin = asked.x[0]
    with torch.no_grad():
        floor = KEPT * float(_margins(asked, x[None])[0])
    if bool(_broken(asked, origin[None], floor)[0]):
        return origin.clone()
    x = _reverted(asked, x, [[(t, slice(None))] for t in range(len(x))], floor)
    if not isinstance(asked.inputs, Substitutions):
        places = [[(t, i)] for t, i in (x != origin).nonzero().tolist()]
        x = _reverted(asked, x, places, floor)
        x = _rounded(asked, x, floor)
    return x


def _reverted(asked: Asked, x: Tensor, groups: list[list[tuple[int, slice | int]]], floor: float) -> Tensor:
    """As many groups of places as possible back at the sample's values, those that changed least first."""
    origin = asked.x[0]

    def back(value: Tensor, some: list[list[tuple[int, slice | int]]]) -> Tensor:
        value = value.clone()
        for group in some:
            for place in group:
                value[place] = origin[place]
        return value

    def change(group: list[tuple[int, slice | int]]) -> float:
        return max(float((x[place] - origin[place]).abs().max()) for place in group)

    open_ = sorted((group for group in groups if change(group) > 0), key=change)
    size = len(open_)
    while open_ and size >= 1:
        kept: list[list[tuple[int, slice | int]]] = []
        for start in range(0, len(open_), size):
            some = open_[start : start + size]
            tried = back(x, some)
            if bool(_broken(asked, tried[None], floor)[0]):
                x = tried
            else:
                kept += some
        if size == 1 and len(kept) == len(open_):
            break
        open_, size = kept, max(1, min(size // 2, len(kept) // 2)) if size > 1 or len(kept) < len(open_) else 0
    return x


def _rounded(asked: Asked, x: Tensor, floor: float) -> Tensor:
    """Every changed value with few digits: all at once where that works, else one after the other."""
    changed = (x != asked.x[0]).nonzero().tolist()
    for candidate in _all_rounded(x, changed):
        if bool(_broken(asked, candidate[None], floor)[0]):
            return candidate
    for t, i in changed[:_AT_ONCE]:
        for value in _roundings(float(x[t, i])):
            tried = x.clone()
            tried[t, i] = value
            if bool(_broken(asked, tried[None], floor)[0]):
                x = tried
                break
    return x


def _all_rounded(x: Tensor, changed: list[list[int]]) -> Iterator[Tensor]:
    for digits in _DIGITS[:4]:
        rounded = x.clone()
        for t, i in changed:
            rounded[t, i] = _to_digits(float(x[t, i]), digits)
        yield rounded


def _roundings(value: float) -> Iterator[float]:
    for digits in _DIGITS:
        yield _to_digits(value, digits)


def _to_digits(value: float, digits: int) -> float:
    return float(Context(prec=digits).create_decimal_from_float(value)) + 0.0


def _margins(asked: Asked, points: Tensor) -> Tensor:
    index = torch.zeros(len(points), dtype=torch.int64)
    return asked.question.select(index).plain_margins(points)


def _broken(asked: Asked, points: Tensor, floor: float) -> Tensor:
    """Whether points (n, time, input) are in the set and below the floor, which is not positive."""
    low = _margins(asked, points) <= floor
    return torch.tensor([hit and contains(asked.inputs, 0, x) for hit, x in zip(low.tolist(), points, strict=True)])
