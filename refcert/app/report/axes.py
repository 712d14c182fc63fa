"""Axes of the figures: round ticks, and places on the page."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 400.0
HEIGHT: Final = 250.0
# Ticks that an axis has at most, about.
TICKS: Final = 5
_NICE: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """A label at a place of an axis."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """From a number to its place on the page: `low` at `start`, `high` at `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 2)


def nice_step(span: float, most: int) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that cuts span into at most `most` pieces."""
    if not (span > 0 and math.isfinite(span)):
        return 1.0
    power = 10.0 ** math.floor(math.log10(span / most))
    return next(nice * power for nice in (*_NICE, 20.0) if nice * power * most >= span * (1 - 1e-9))


def ticks(axis: Axis) -> tuple[Tick, ...]:
    """Round numbers along an axis."""
    step = nice_step(axis.high - axis.low, TICKS)
    return tuple(Tick(axis.at(v), plain(v, step)) for v in multiples(axis.low, axis.high, step))


def multiples(low: float, high: float, step: float) -> list[float]:
    """The multiples of step in [low, high], up to rounding at the ends."""
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [k * step for k in range(first, last + 1)]


def plain(value: float, step: float) -> str:
    """A multiple of step with just the digits that step has."""
    if not 1e-4 <= step < 1e6:
        return f"{value:.3g}"
    digits = max(0, -math.floor(math.log10(step)))
    text = f"{value:.{digits + 1}f}"
    shown = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if shown in ("-0", "") else shown
