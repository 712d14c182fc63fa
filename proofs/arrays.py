"""Arrays of symbols that answer what the engine asks of tensors, so that its own code runs on symbols.

Choices (`clamp`, `where`, `maximum`) are made where the signs of the symbols decide them; else a maximum stays one. An
operation that is not known raises, as everywhere: what is not understood is not proved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp

from proofs.lemma import LemmaError
from proofs.tactics import Expr


class Array(np.ndarray):
    """An array of expressions with a tensor's methods."""

    def abs(self) -> Array:
        return _each(sp.Abs, self)

    def clamp(self, min: float | None = None, max: float | None = None) -> Array:
        found = self if min is None else _each(lambda x: sp.Max(x, sp.Rational(min)), self)
        return found if max is None else _each(lambda x: sp.Min(x, sp.Rational(max)), found)

    def transpose(self, *axes: int) -> Array:  # type: ignore[override]
        return np.swapaxes(self, *axes).view(Array) if axes else np.ndarray.transpose(self).view(Array)

    @property
    def T(self) -> Array:
        return np.ndarray.transpose(self).view(Array)

    def amin(self, dim: int) -> Array:
        return _along(sp.Min, self, dim)

    def amax(self, dim: int) -> Array:
        return _along(sp.Max, self, dim)

    def to(self, *_: object, **__: object) -> Array:
        """A cast keeps the value: rounding has lemmas of its own."""
        return self

    @property
    def dtype(self) -> Any:
        return None


def as_method(function: Callable[[Expr], Expr]) -> Callable[[Expr], Expr]:
    """A function of one argument as a method. sympy's functions are classes, which are not bound as they are."""

    def method(self: Expr) -> Expr:
        return function(self)

    return method


def array(values: object) -> Array:
    """Nested lists of expressions."""
    return np.array(values, dtype=object).view(Array)


def _each(function: Callable[..., Expr], *arrays: object) -> Array:
    found = np.frompyfunc(function, len(arrays), 1)(*arrays)
    return np.asarray(found, dtype=object).view(Array)


def _along(function: Callable[..., Expr], values: Array, axis: int) -> Array:
    moved = np.moveaxis(np.asarray(values), axis, -1)
    flat = [function(*row) for row in moved.reshape(-1, moved.shape[-1])]
    return np.array(flat, dtype=object).reshape(moved.shape[:-1]).view(Array)


def _choose(condition: object, yes: Expr, no: Expr) -> Expr:
    if condition in (True, sp.true):
        return yes
    if condition in (False, sp.false):
        return no
    raise LemmaError(f"{condition} is not decided by the signs of the symbols")


def _compared(name: str) -> Callable[..., Array]:
    return lambda *arrays: _each(getattr(sp, name), *arrays)


def _stack(arrays: Sequence[object]) -> Array:
    return np.stack([np.asarray(one, dtype=object) for one in arrays]).view(Array)


TORCH = SimpleNamespace(
    maximum=_compared("Max"),
    minimum=_compared("Min"),
    where=lambda condition, yes, no: _each(_choose, condition, yes, no),
    stack=_stack,
    zeros_like=lambda x: _each(lambda _: sp.Integer(0), x),
    ones_like=lambda x: _each(lambda _: sp.Integer(1), x),
    float64=None,
)
"""What the code calls of torch."""
