"""Axes whose numbers are readable at any scale: counted from the box's corner where it is thin, in powers of ten."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

Ends = tuple[Fraction, Fraction]

# Numbers are drawn as they are if their spread is between these, and wide beside their distance from zero.
_PLAIN_LOW, _PLAIN_HIGH, _PLAIN_SHARE = 1e-3, 1e5, 1e-3
_JUST_BELOW: Final = Fraction(1001, 1000)
_RAISED: Final = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Ruler:
    """Numbers as an axis shows them: (x - origin) / 10**power."""

    name: str
    origin: Fraction
    power: int
    shifted: str = ""

    def at(self, x: Fraction | float) -> float:
        return float((Fraction(x) - self.origin) / Fraction(10) ** self.power)

    @property
    def label(self) -> str:
        """'v', 'Δv in 10⁻⁹'."""
        start = self.shifted or (f"Δ{self.name}" if self.origin else self.name)
        return f"{start} in {power_of_ten(self.power)}" if self.power else start

    @property
    def note(self) -> str:
        """'Δv = v − 0.53'; empty where nothing is subtracted."""
        if not self.origin:
            return ""
        sign, number = ("+", -self.origin) if self.origin < 0 else ("\N{MINUS SIGN}", self.origin)
        return f"Δ{self.name} = {self.name} {sign} {_digits(number)}"


def ruler(name: str, low: Fraction, high: Fraction, *, corner: bool) -> Ruler:
    """How an axis from low to high is labelled. corner: offsets count from `low` itself, else from a short number."""
    span, far = high - low, max(abs(low), abs(high))
    narrow = span < Fraction(_PLAIN_SHARE) * far
    power = 0 if _PLAIN_LOW <= span < _PLAIN_HIGH or not span else exponent(span)
    if not narrow:
        return Ruler(name, Fraction(0), power)
    if corner:
        return Ruler(name, low, power)
    unit = Fraction(10) ** exponent(span)
    return Ruler(name, (low // unit) * unit, power)


def ruler_around(name: str, ends: Ends, middle: Fraction) -> Ruler:
    """An axis of a magnified window, counted from the point that it is about."""
    span = ends[1] - ends[0]
    power = 0 if _PLAIN_LOW <= span < _PLAIN_HIGH else exponent(span)
    return Ruler(name, middle, power, f"{name} \N{MINUS SIGN} {name}*")


def power_of_ten(power: int) -> str:
    """10⁻⁹."""
    return "10" + str(power).translate(_RAISED)


def exponent(x: Fraction) -> int:
    """The power of ten below or at a positive number of any size; a number just below a power counts as that."""
    if not x:
        return 0
    guess = math.floor((x.numerator.bit_length() - x.denominator.bit_length()) * math.log10(2))
    return next(k for k in (guess + 1, guess, guess - 1, guess - 2) if Fraction(10) ** k <= x * _JUST_BELOW)


def _digits(number: Fraction) -> str:
    """As a float, all digits that matter."""
    return repr(float(number)).removesuffix(".0")
