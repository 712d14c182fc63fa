"""Errors of the engine's own code on numbers of which only sizes are known.

A `Bounded` number stands for a float that the code computes in the place of an exact one:

    |exact| <= size,   |computed - exact| <= error u + flow tiny,

size, error and flow polynomials with nonnegative coefficients in symbols that are not negative. It answers torch
functions, as `proofs.roundings.Traced` does; where that one follows every product, this one only adds up sizes, so
it is coarser and knows more: maxima of unlike numbers, clamps, slices (a slice of a vector has the vector's bounds).
Choices are bounded by both branches: they must be a maximum or minimum of both, or either must be right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from gpu_engine.rounding import ELEMENTARY_UNITS
from proofs.lemma import LemmaError
from proofs.rounding_choices import _either
from proofs.roundings import LARGEST_U, Expr

# tiny^2 beside tiny
SMALL = sp.Rational(1, 2**100)
FUNCTION = ELEMENTARY_UNITS + 1  # a power of 1 +- u counts at most one unit more than its exponent


class Choice:
    """A comparison in the code."""

    def __and__(self, other: object) -> Choice:
        return self

    def __ne__(self, other: object) -> Choice:  # type: ignore[override]
        return self

    __hash__ = None  # type: ignore[assignment]

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Bounded:
        return Bounded.__torch_function__(function, types, args, kwargs)


@dataclass(frozen=True)
class Bounded:
    """See the module's docstring."""

    size: Expr
    error: Expr = sp.S.Zero
    flow: Expr = sp.S.Zero

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Bounded:
        operation = OPERATIONS.get(function.__name__)
        if operation is None or kwargs:
            raise LemmaError(f"the errors of torch.{function.__name__} with {kwargs} are not known")
        result: Bounded = operation(*args)
        return result

    def __add__(self, other: object) -> Bounded:
        right = lift(other)
        if right.size == 0:
            return self
        return _rounded(self.size + right.size, self.error + right.error, self.flow + right.flow)

    __radd__ = __sub__ = __rsub__ = __add__

    def __mul__(self, other: object) -> Bounded:
        if isinstance(other, int | float):
            return self._times(sp.Rational(other))
        x, y = self, lift(other)
        error = x.size * y.error + y.size * x.error + LARGEST_U * x.error * y.error
        flow = (x.size + LARGEST_U * x.error) * y.flow + (y.size + LARGEST_U * y.error) * x.flow
        return _rounded(x.size * y.size, error, flow + SMALL * x.flow * y.flow)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Bounded:
        if not isinstance(other, int | float):
            raise LemmaError("a quotient of two numbers of which only sizes are known")
        return self._times(1 / sp.Rational(other))

    def _times(self, factor: Expr) -> Bounded:
        """By a power of two: exact but for underflow."""
        factor = abs(factor)
        if factor == 0 or not sp.log(factor, 2).is_integer:
            raise LemmaError(f"{factor} is no power of two")
        return Bounded(factor * self.size, factor * self.error, factor * self.flow + 1)

    def __neg__(self) -> Bounded:
        return self

    def __getitem__(self, index: object) -> Bounded:
        return self

    __iter__ = None

    def abs(self) -> Bounded:
        """The same bounds."""
        return self

    def clamp(self, min: float | None = None, max: float | None = None) -> Bounded:
        """At 0, on either side: the same bounds."""
        if {min, max} - {None, 0.0}:
            raise LemmaError(f"a clamp at {min}, {max}")
        return self

    def __lt__(self, other: object) -> Choice:
        return Choice()

    __gt__ = __le__ = __ge__ = __lt__


def lift(value: object) -> Bounded:
    """A plain number is exact."""
    return value if isinstance(value, Bounded) else Bounded(abs(sp.Rational(value)))


def _rounded(size: Expr, error: Expr, flow: Expr) -> Bounded:
    """One operation on floats whose exact result is that far from the exact value."""
    size, error, flow = sp.expand(size), sp.expand(error), sp.expand(flow)
    return Bounded(size, sp.expand(error * (1 + LARGEST_U) + size), sp.expand(flow * (1 + LARGEST_U) + 1))


def _join(x: object, y: object) -> Bounded:
    """Maxima and minima move by at most what one of both moves."""
    first, second = lift(x), lift(y)
    return Bounded(
        _either(first.size, second.size), _either(first.error, second.error), _either(first.flow, second.flow)
    )


def _function(x: Bounded) -> Bounded:
    """sigmoid or tanh, of size and slope at most 1, of a float."""
    if x.error != 0:
        raise LemmaError("an elementary function of a number that is not exact")
    return Bounded(sp.Integer(1), sp.Integer(FUNCTION), x.flow + 1)


OPERATIONS: dict[str, Any] = {
    "sigmoid": _function,
    "tanh": _function,
    "maximum": _join,
    "minimum": _join,
    "where": lambda condition, x, y: _join(x, y),
}
