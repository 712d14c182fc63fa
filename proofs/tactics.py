"""Recurring arguments. Each tactic returns nothing when it succeeds and raises LemmaError otherwise.

All arithmetic is exact (integers, rationals, symbols). A tactic that cannot decide raises: unknown is false.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp
from sympy.polys.polyerrors import BasePolynomialError

from proofs.lemma import LemmaError

# sympy has no types of its own.
Expr = Any
# For every symbol the open interval it ranges over; ends may use symbols that come earlier in the mapping.
Ranges = Mapping[Any, tuple[Any, Any]]


def _exact(*exprs: Expr) -> None:
    """No floating-point number may enter a proof."""
    for expr in exprs:
        if isinstance(expr, float) or sp.sympify(expr).has(sp.Float):
            raise LemmaError(f"{expr} holds a floating-point number")


def _rational(expr: Expr) -> Expr:
    return sp.cancel(sp.together(expr))


def _exponential(expr: Expr) -> Expr:
    return sp.cancel(sp.together(sp.expand(expr.rewrite(sp.exp))))


def identity(left: Expr, right: Expr = 0) -> None:
    """left = right wherever both are defined."""
    _exact(left, right)
    difference = sp.sympify(left) - sp.sympify(right)
    for reduce in (sp.expand, _rational, _exponential):
        if reduce(difference) == 0:
            return
    if not _differ(difference) and sp.simplify(difference) == 0:
        return
    raise LemmaError(f"{left} = {right} does not follow")


_DIGITS = 30


def _differ(difference: Expr) -> bool:
    """Is it far from 0 at one point? Only to refuse a false claim sooner: nothing is accepted for what is seen here."""
    symbols = sorted(difference.free_symbols, key=str)
    point = {symbol: sp.Rational(3 * k + 2, 2 * k + 7) for k, symbol in enumerate(symbols)}
    value = difference.subs(point).evalf(_DIGITS)
    return bool(value.is_number and value.is_finite and abs(value) > sp.Rational(1, 10 ** (_DIGITS // 2)))


def _substitute(expr: Expr, ranges: Ranges) -> tuple[Expr, list[Expr]]:
    """Map the ranges onto x > 0: an interval (l, h) by (l + h x) / (1 + x), a half line by l + x."""
    _exact(expr, *(end for ends in ranges.values() for end in ends))
    free = set(sp.sympify(expr).free_symbols)
    fresh: list[Expr] = []
    for symbol, (low, high) in reversed(list(ranges.items())):
        x = sp.Dummy(f"x_{symbol}", positive=True)
        low, high = sp.sympify(low), sp.sympify(high)
        image = low + x if high is sp.oo else (low + high * x) / (1 + x)
        expr = expr.subs(symbol, image)
        free |= low.free_symbols | high.free_symbols
        fresh.append(x)
    missing = free - set(ranges)
    if missing:
        raise LemmaError(f"no range is given for {sorted(map(str, missing))}")
    return sp.cancel(sp.together(expr)), fresh


def _coefficients(expr: Expr, symbols: list[Expr], polya: int) -> list[Expr]:
    try:
        polynomial = sp.Poly(expr, *symbols, domain="QQ")
    except BasePolynomialError as error:
        raise LemmaError(f"{expr} is no polynomial with rational coefficients in {symbols}") from error
    if polya:
        polynomial = polynomial * sp.Poly(1 + sum(symbols), *symbols, domain="QQ") ** polya
    return list(polynomial.coeffs())


def nonnegative(expr: Expr, ranges: Ranges, *, strict: bool = False, polya: int = 0) -> None:
    """The rational function is >= 0 (strict: > 0) for all values in the open ranges.

    After the substitution all variables are any positive numbers, and numerator and denominator have
    only nonnegative coefficients. polya: powers of 1 + sum x by which the numerator is multiplied first.
    Sufficient, not necessary: a true claim may be refused, a false one is never accepted.
    """
    image, fresh = _substitute(sp.sympify(expr), ranges)
    numerator, denominator = sp.fraction(image)
    if not fresh:
        fresh = [sp.Dummy("x", positive=True)]
    below = _coefficients(denominator, fresh, 0)
    if all(c < 0 for c in below):
        numerator, below = -numerator, [-c for c in below]
    if not all(c > 0 for c in below):
        raise LemmaError(f"the sign of the denominator {denominator} is not known")
    above = _coefficients(numerator, fresh, polya)
    if not all(c >= 0 for c in above):
        raise LemmaError(f"{expr} >= 0 does not follow on {dict(ranges)}: coefficients {above}")
    if strict and not any(c > 0 for c in above):
        raise LemmaError(f"{expr} vanishes, it is not > 0")


def positive(expr: Expr, ranges: Ranges, *, polya: int = 0) -> None:
    """Like `nonnegative`, and nowhere zero in the open ranges."""
    nonnegative(expr, ranges, strict=True, polya=polya)


def positive_polynomial(expr: Expr, x: Expr, low: Expr, high: Expr) -> None:
    """A polynomial in x with rational coefficients is > 0 on the open interval, by Sturm's count of roots."""
    _exact(expr)
    try:
        polynomial = sp.Poly(expr, x, domain="QQ")
    except BasePolynomialError as error:
        raise LemmaError(f"{expr} is no polynomial with rational coefficients in {x}") from error
    low, high = sp.Rational(low), sp.Rational(high)
    if polynomial.is_zero or not low < high:
        raise LemmaError(f"{expr} is zero or ({low}, {high}) is empty")
    inside = polynomial.count_roots(low, high)  # closed interval, roots counted once
    inside -= sum(1 for end in (low, high) if polynomial.eval(end) == 0)
    if inside != 0:
        raise LemmaError(f"{expr} has {inside} roots inside ({low}, {high})")
    if not polynomial.eval((low + high) / 2) > 0:
        raise LemmaError(f"{expr} is not positive between {low} and {high}")


def equal_sets_of_roots(expr: Expr, x: Expr, roots: list[Expr]) -> None:
    """expr is a polynomial in x and these are all its roots: it is its leading coefficient times their product."""
    polynomial = sp.Poly(expr, x)
    product = polynomial.LC() * sp.prod([x - root for root in roots])
    identity(expr, product)


def tangent_remainder() -> None:
    """D(x) = D(p) + D'(p) (x - p) + (x - p)^2 * integral_0^1 (1 - w) D''(p + w (x - p)) dw for every smooth D.

    First with the kernel (x - y) dy from p to x: both sides agree at x = p with their first derivative and
    have the same second derivative. Then y = p + w (x - p) turns the kernel into one that is never negative.
    So D'' >= 0 between p and x gives D(x) >= D(p) + D'(p) (x - p), on either side of p.
    """
    x, y, p, w = sp.symbols("x y p w", real=True)
    D = sp.Function("D")
    remainder = sp.Integral((x - y) * D(y).diff(y, 2), (y, p, x))
    taylor = D(p) + D(p).diff(p) * (x - p) + remainder
    identity(taylor.subs(x, p).doit(), D(p))
    identity(taylor.diff(x).doit(), D(x).diff(x))
    point = p + w * (x - p)
    identity((x - y).subs(y, point) * point.diff(w), (x - p) ** 2 * (1 - w))
    nonnegative(1 - w, {w: (0, 1)})


def positive_by_assumptions(expr: Expr) -> None:
    """The expression is > 0 by the signs of its symbols alone (powers and products of positive numbers)."""
    if sp.simplify(expr).is_positive is not True:
        raise LemmaError(f"{expr} > 0 does not follow from the signs of its symbols")


def below_tangents(second_derivative: Expr, ranges: Ranges) -> None:
    """A function with this second derivative lies below all its tangents over an interval inside the ranges."""
    tangent_remainder()
    nonnegative(-second_derivative, ranges)


def above_tangents(second_derivative: Expr, ranges: Ranges) -> None:
    """A function with this second derivative lies above all its tangents over an interval inside the ranges."""
    tangent_remainder()
    nonnegative(second_derivative, ranges)


def largest_at_corner(expr: Expr, ranges: Ranges, corner: Mapping[Any, str]) -> None:
    """On every box inside the ranges the expression is largest at the corner with these ends, 'low' or 'high'.

    It does not fall (rise) in each coordinate whose 'high' ('low') end is named, all others being anything in their
    ranges: go from any point of the box to the corner along one axis after the other.
    """
    for symbol, end in corner.items():
        slope = sp.diff(expr, symbol)
        nonnegative(slope if end == "high" else -slope, ranges)
    unnamed = sp.sympify(expr).free_symbols - set(corner)
    if unnamed & set(ranges):
        raise LemmaError(f"no end is named for {sorted(map(str, unnamed))}")


def with_square(expr: Expr, root: Expr, square: Expr) -> Expr:
    """The polynomial expr with root^2 replaced by square; root then occurs at most linearly. No tactic, a helper."""
    return sp.expand(sp.rem(sp.expand(expr), root**2 - square, root))


def compare(left: Expr, right: Expr) -> None:
    """left <= right for two exact numbers."""
    _exact(left, right)
    difference = sp.sympify(right) - sp.sympify(left)
    if difference.free_symbols or not difference.is_comparable or not difference >= 0:
        raise LemmaError(f"{left} <= {right} does not hold")


def equal(left: object, right: object) -> None:
    """Two plain values are equal."""
    if left != right:
        raise LemmaError(f"{left!r} is not {right!r}")


def source_has(function: Callable[..., object], line: str) -> None:
    """The function's source, all white space alike, holds this text: what a lemma has read is still what is run."""
    if line not in " ".join(inspect.getsource(function).split()):
        raise LemmaError(f"{function.__name__} no longer has: {line}")
