"""Counting roundings by running the engine's own code on symbols.

A `Traced` number stands for a float that the code computes. It is a sum of terms

    computed = sum_i m_i phi_i + rest,   phi_i in I_k = [(1-u)^k, (1-u)^(-k)],   |rest| <= underflow * tiny,

where sum_i m_i is the number without rounding (lemma `rounding_gamma`). `terms` maps a monomial in the magnitudes of
the inputs to (bound of the sum of the |m_i| of that kind, largest count k). It answers torch functions, so the code
that is counted is the code that runs; an operation that it does not know raises LemmaError.

Numbers that soundness does not care about (any tangent point is as good as another, lemmas `s_curve_maximum` and
`concave_region`) are unknown: no bound is kept for them until they are clamped into an interval. Cut from both sides
by its points they are points of it, without error; cut from one side only they are `loose`: points at most
`overshoot` outside, a symbol that the caller has to bound (lemma `interior_overshoot`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any

import sympy as sp
import torch

from gpu_engine.rounding import ELEMENTARY_UNITS
from proofs.lemma import LemmaError

Expr = Any
Terms = dict[Expr, tuple[Expr, int]]
_fresh = count()

LARGEST_U = sp.Rational(1, 2**24)  # float32
GROWTH = sp.Rational(1025, 1024)  # bounds the powers (1-u)^(-k) in front of underflows: `bounded_counts`


def bounded_counts(largest: int) -> None:
    """(1-u)^(-k) <= GROWTH for all counts k up to `largest`, by Bernoulli's inequality."""
    if not 1 / (1 - largest * LARGEST_U) <= GROWTH:
        raise LemmaError(f"a count of {largest} roundings is too long for {GROWTH}")


class Condition:
    """A comparison in the code. Either outcome must be covered; only where(a > b, a, b) is read as a maximum."""

    def __init__(self, greater: object = None, smaller: object = None) -> None:
        self.greater, self.smaller = greater, smaller

    def __and__(self, other: object) -> Condition:
        return self

    def __invert__(self) -> Condition:
        return self

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Traced:
        return Traced.__torch_function__(function, types, args, kwargs)


@dataclass(frozen=True)
class Interval:
    """An input interval: symbols for its largest magnitude, its width, the overshoot of loose points, max |tanh|."""

    magnitude: Expr
    width: Expr
    overshoot: Expr
    image: Expr


@dataclass(frozen=True)
class Traced:
    """See the module's docstring. low: a known lower bound of the value; shape: its formula where one matters."""

    terms: Terms
    underflow: Expr = sp.S.Zero
    low: Expr = -sp.oo
    known: bool = True
    loose: frozenset[int] = frozenset()
    interval: Interval | None = None
    formula: Expr = field(default_factory=lambda: sp.Symbol(f"n{next(_fresh)}", positive=True))
    dtype: torch.dtype = torch.float64

    # what torch calls

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Traced:
        operation = OPERATIONS.get(function.__name__)
        if operation is None or kwargs:
            raise LemmaError(f"the count of roundings does not know torch.{function.__name__} with {kwargs}")
        result: Traced = operation(*args)
        return result

    def __add__(self, other: object) -> Traced:
        return _add(self, lift(other))

    def __radd__(self, other: object) -> Traced:
        return _add(lift(other), self)

    def __sub__(self, other: object) -> Traced:
        right = lift(other)
        both = self.interval
        if both is not None and both == right.interval:
            width = both.width + (both.overshoot if self.loose or right.loose else 0)
            return Traced(_monomials(width, 1), underflow=sp.Integer(1))
        return _add(self, -right)

    def __rsub__(self, other: object) -> Traced:
        return lift(other) - self

    def __neg__(self) -> Traced:
        return replace(self, low=-sp.oo, formula=-self.formula)

    def __mul__(self, other: object) -> Traced:
        return _mul(self, lift(other))

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Traced:
        return _div(self, lift(other))

    def __rtruediv__(self, other: object) -> Traced:
        return _div(lift(other), self)

    def __lt__(self, other: object) -> Condition:
        return Condition()

    __le__ = __ge__ = __lt__

    def __gt__(self, other: object) -> Condition:
        return Condition(self, other)

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]
        return Condition()

    __hash__ = None  # type: ignore[assignment]

    def abs(self) -> Traced:
        return replace(self, low=sp.Integer(0), interval=None)

    def clamp(self, min: float | None = None, max: float | None = None) -> Traced:
        """Clamping to numbers: a point stays a point, for a part of the interval that is empty is not used."""
        return self if self.interval is not None else UNKNOWN


UNKNOWN = Traced({}, known=False)


def constant(value: float) -> Traced:
    """An exact number. Powers of two multiply without rounding unless they underflow."""
    number = sp.Rational(value)
    return Traced({sp.Integer(1): (abs(number), 0)}, low=number, formula=number)


def leaf(symbol: Expr) -> Traced:
    """An exact input of the given magnitude."""
    return Traced({symbol: (sp.Integer(1), 0)})


def point(interval: Interval, dtype: torch.dtype = torch.float64, loose: frozenset[int] = frozenset()) -> Traced:
    """An exact float inside the interval; loose: the sides (1 above, -1 below) on which it may lie outside."""
    reach = interval.magnitude + (interval.overshoot if loose else 0)
    return Traced(_monomials(reach, 0), loose=loose, interval=interval, dtype=dtype)


def lift(value: object) -> Traced:
    """A plain number becomes an exact constant."""
    return value if isinstance(value, Traced) else constant(value)  # type: ignore[arg-type]


def _monomials(expr: Expr, roundings: int) -> Terms:
    split = (term.as_coeff_Mul() for term in sp.Add.make_args(sp.expand(expr)))
    return {monomial: (coefficient, roundings) for coefficient, monomial in split}


def total(terms: Terms) -> Expr:
    """The bound of the sum of all |m_i|."""
    return sum((c * m for m, (c, _) in terms.items()), start=sp.Integer(0))


def longest(terms: Terms) -> int:
    """The largest count."""
    return max((k for _, k in terms.values()), default=0)


def _is_constant(x: Traced, value: Expr) -> bool:
    """A plain number, not a computed one whose formula happens to be a number."""
    return bool(x.formula == value and longest(x.terms) == 0 and x.underflow == 0)


def _is_power_of_two(x: Traced) -> bool:
    number = x.formula
    plain = number.is_Rational and number != 0 and _is_constant(x, number)
    return bool(plain and sp.log(abs(number), 2).is_integer)


def _add(a: Traced, b: Traced) -> Traced:
    if not (a.known and b.known):
        return UNKNOWN
    if _is_constant(a, 0) or _is_constant(b, 0):
        return b if _is_constant(a, 0) else a
    terms: Terms = {}
    for part in (a.terms, b.terms):
        for m, (c, k) in part.items():
            before, most = terms.get(m, (sp.Integer(0), 0))
            terms[m] = (before + c, max(most, k + 1))
    low = a.low + b.low if a.low > -sp.oo and b.low > -sp.oo else -sp.oo
    return Traced(terms, sp.expand((a.underflow + b.underflow) * GROWTH + 1), low, formula=a.formula + b.formula)


def _mul(a: Traced, b: Traced) -> Traced:
    if not (a.known and b.known):
        return UNKNOWN
    scaled = _is_power_of_two(a) or _is_power_of_two(b)
    terms: Terms = {}
    for m, (c, k) in a.terms.items():
        for n, (d, j) in b.terms.items():
            before, most = terms.get(m * n, (sp.Integer(0), 0))
            terms[m * n] = (before + c * d, max(most, k + j + (0 if scaled else 1)))
    lost = total(a.terms) * b.underflow + total(b.terms) * a.underflow + a.underflow * b.underflow / 2**100  # tiny^2
    low = a.low * b.low if a.low >= 0 and b.low >= 0 else -sp.oo
    formula = a.formula * b.formula
    terms = _cap(terms, formula)
    return Traced(terms, sp.expand(lost * GROWTH + 1), low, formula=formula)


# Products with a smaller magnitude than their factors': sigmoid(x) sigmoid(-x) = S (1 - S).
STEEPNESS = sp.Symbol("steepness", positive=True)


def _cap(terms: Terms, formula: Expr) -> Terms:
    symbols = sorted(formula.free_symbols, key=str)
    if len(symbols) == 1 and sp.expand(formula - symbols[0] * (1 - symbols[0])) == 0:
        return {STEEPNESS: (sp.Integer(1), longest(terms))}
    return terms


def _div(a: Traced, b: Traced) -> Traced:
    """Known only for 4 e / (1 + e)^2, at most 1 (lemma `s_curve_maximum`); the denominator is >= 1, all terms >= 0."""
    if not (a.known and b.known and b.low >= 1 and a.low >= 0):
        return UNKNOWN
    e = next(iter(a.formula.free_symbols), sp.Integer(0))
    if sp.expand(a.formula - 4 * e) != 0 or sp.expand(b.formula - (1 + e) ** 2) != 0:
        return UNKNOWN
    lost = (a.underflow + b.underflow) * GROWTH + 1
    return Traced({sp.Integer(1): (sp.Integer(1), longest(a.terms) + longest(b.terms) + 1)}, lost, sp.Integer(0))


_SIGMOIDS: dict[Expr, Expr] = {}


def _exact_point(x: Traced) -> None:
    if longest(x.terms) > 0 or x.underflow != 0:
        raise LemmaError("an elementary function of a number that is not exact")


def _sigmoid(x: Traced) -> Traced:
    """At most 1, accurate to ELEMENTARY_UNITS; sigmoid(-x) is recognised as 1 - sigmoid(x)."""
    if not x.known:
        return UNKNOWN
    _exact_point(x)
    opposite = _SIGMOIDS.get(-x.formula)
    formula = sp.Symbol(f"S{next(_fresh)}", positive=True) if opposite is None else 1 - opposite
    _SIGMOIDS[x.formula] = formula
    return Traced({sp.Integer(1): (sp.Integer(1), ELEMENTARY_UNITS)}, sp.Integer(1), sp.Integer(0), formula=formula)


def _tanh(x: Traced) -> Traced:
    """At most the interval's image, accurate to ELEMENTARY_UNITS."""
    if not x.known:
        return UNKNOWN
    _exact_point(x)
    if x.interval is None or x.loose:
        raise LemmaError("tanh of a number that is no point of an interval")
    return Traced({x.interval.image: (sp.Integer(1), ELEMENTARY_UNITS)}, sp.Integer(1))


def _exp(x: Traced) -> Traced:
    """exp(-2 |z|), at most 1. The argument must be exact (doubling is)."""
    if not x.known or longest(x.terms) > 0:
        raise LemmaError("exp of a number that is not exact")
    e = sp.Symbol(f"e{next(_fresh)}", positive=True)
    return Traced({sp.Integer(1): (sp.Integer(1), ELEMENTARY_UNITS)}, sp.Integer(1), sp.Integer(0), formula=e)


def _unknown(*_: object) -> Traced:
    return UNKNOWN


# torch functions by name; choices are in `proofs.rounding_choices`.
OPERATIONS: dict[str, Any] = {
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "exp": _exp,
    "square": lambda x: _mul(x, x),
    "isfinite": lambda x: Condition(),
    "isnan": lambda x: Condition(),
    "log": _unknown,
    "log1p": _unknown,
    "log_sigmoid": _unknown,
    "sqrt": _unknown,
    "ones_like": lambda x: constant(1),
    "zeros_like": lambda x: constant(0),
}
