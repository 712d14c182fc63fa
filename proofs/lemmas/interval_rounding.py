"""Interval arithmetic with the code's widening encloses the real image.

(i)   `_widen(box, 2)`: ends computed with one rounding, x = fl(p), |x - p| <= u min(|x|, |p|) (+ tiny on underflow),
      moved outward by gamma_2 |x| and by tiny, enclose p, although the widening rounds too. Subtracting tiny is
monotone. (ii)  `_monotone`: sigmoid and tanh accurate to E = ELEMENTARY_UNITS units, moved outward by c u |x|,
      enclose the real value if c >= E + 2: the subtraction rounds as well, and 1 / (1 - E u) > 1 + E u.
      c is read from the code by running it without rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp
import torch

from gpu_engine.bounds import Box
from gpu_engine.propagation import interval
from gpu_engine.rounding import ELEMENTARY_UNITS, tiny, unit_roundoff
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, compare, nonnegative

u = sp.Symbol("u", positive=True)
SMALL = {u: (0, sp.Rational(1, 2**20))}
DTYPES = (torch.float64, torch.float32)


@dataclass
class Exact:
    """A number that the code handles without rounding; its sign is known by `sign`."""

    value: Expr
    sign: int
    dtype: torch.dtype

    def abs(self) -> Exact:
        return Exact(self.sign * self.value, 1, self.dtype)

    def __mul__(self, other: float) -> Exact:
        return Exact(self.value * sp.Rational(other), self.sign, self.dtype)

    def __sub__(self, other: Any) -> Exact:
        return Exact(
            self.value - (other.value if isinstance(other, Exact) else sp.Rational(other)), self.sign, self.dtype
        )

    def __add__(self, other: Any) -> Exact:
        return Exact(
            self.value + (other.value if isinstance(other, Exact) else sp.Rational(other)), self.sign, self.dtype
        )

    def clamp(self, min: float | None = None, max: float | None = None) -> Exact:
        return self


def widening(apply: Callable[[Box], Box], dtype: torch.dtype, sign: int) -> tuple[Expr, Expr]:
    """(relative widening in units of u, absolute widening in units of tiny) of the lower end of a box."""
    x = sp.Symbol("x", real=True)
    number: Any = Exact(x, sign, dtype)
    lower = sp.expand(apply(Box(number, number)).lower.value)  # type: ignore[attr-defined]
    moved = sp.expand(x - lower)
    return sign * moved.coeff(x, 1) / sp.Rational(unit_roundoff(dtype)), moved.coeff(x, 0) / sp.Rational(tiny(dtype))


def _widen(operations: int = 2) -> list[str]:
    proof = Proof()
    for dtype in DTYPES:
        for sign in (1, -1):
            units, absolute = widening(lambda box: interval._widen(box, operations), dtype, sign)
            c = units * u
            v = sp.Rational(unit_roundoff(dtype))
            # x > 0: fl(x - c x) <= x / (1 + u); x < 0: its magnitude is at least |x| (1 + u).
            above_zero = 1 - (1 - c * (1 - u)) * (1 + u) ** 2
            below_zero = (1 + c * (1 - u)) * (1 - u) - (1 + u)
            gap = above_zero if sign > 0 else below_zero
            proof.by(f"{dtype}, sign {sign}: lower end", compare, 0, gap.subs(u, v))
            proof.by(f"{dtype}, sign {sign}: tiny for an underflow", compare, 1, absolute)
    return proof.steps


def _monotone(units: int | None = None) -> list[str]:
    proof = Proof()
    E = ELEMENTARY_UNITS
    for dtype in DTYPES:
        c, absolute = widening(lambda box: interval._monotone(lambda x: x, box, 0.0), dtype, 1)
        c = c if units is None else sp.Integer(units)
        proof.by(f"{dtype}: tiny for an underflow", compare, 1, absolute)
        # true value >= x / (1 + E u); computed end at most x (1 - c u (1-u)) (1+u).
        proof.by(f"{dtype}: lower end", nonnegative, 1 - (1 - c * u * (1 - u)) * (1 + u) * (1 + E * u), SMALL)
        # true value <= x / (1 - E u); computed end at least x (1 + c u (1-u)) (1-u).
        proof.by(f"{dtype}: upper end", nonnegative, (1 + c * u * (1 - u)) * (1 - u) * (1 - E * u) - 1, SMALL)
    return proof.steps


LEMMA = Lemma(
    name="interval_rounding",
    statement=__doc__,
    source="Moore, Kearfott and Cloud (2009), chapter 2; Higham (2002), section 2.2",
    code=("gpu_engine.propagation.interval:sigmoid", "gpu_engine.propagation.interval:multiply"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _widen() + _monotone(),
    controls={
        "widening by one rounding": lambda: _widen(operations=1),
        "a function's own units only": lambda: _monotone(units=ELEMENTARY_UNITS),
    },
)
