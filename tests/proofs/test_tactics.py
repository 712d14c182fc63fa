"""Tactics accept true claims and reject false or undecidable ones."""

import pytest
import sympy as sp

from proofs.lemma import LemmaError
from proofs.tactics import (
    above_tangents,
    below_tangents,
    compare,
    equal,
    equal_sets_of_roots,
    identity,
    largest_at_corner,
    nonnegative,
    positive,
    positive_by_assumptions,
    positive_polynomial,
    source_has,
    tangent_remainder,
    with_square,
)

x, y, a = sp.symbols("x y a", real=True)
p, q = sp.symbols("p q", positive=True)
OO = sp.oo
UNIT = {x: (0, 1)}
HALF = sp.Rational(1, 2)

TRUE = [
    (identity, ((x + 1) ** 2, x**2 + 2 * x + 1)),
    (identity, (sp.tanh(x), (sp.exp(2 * x) - 1) / (sp.exp(2 * x) + 1))),
    (nonnegative, (x * (1 - x), UNIT)),
    (nonnegative, (sp.Integer(0), {})),
    (nonnegative, (x - y, {y: (0, 1), x: (y, 1)})),
    (positive, (1 / (1 - x), UNIT)),
    (positive, (x, {x: (0, OO)})),
    (positive, (sp.Integer(2), {})),
    (positive_polynomial, (x**2 - 2 * x + 2, x, 0, 3)),
    (positive_polynomial, (x * (1 - x), x, 0, 1)),
    (equal_sets_of_roots, (x**2 - 1, x, [1, -1])),
    (positive_by_assumptions, (p**q,)),
    (below_tangents, (-p, {p: (0, OO)})),
    (above_tangents, (p, {p: (0, OO)})),
    (tangent_remainder, ()),
    (largest_at_corner, (x * (1 - y), {x: (0, 1), y: (0, 1)}, {x: "high", y: "low"})),
    (compare, (1, sp.sqrt(2))),
    (compare, (1, 1)),
    (equal, ([1], [1])),
]

FALSE = [
    (identity, ((x + 1) ** 2, x**2 + 1)),
    (identity, (sp.tanh(x), sp.sinh(x))),
    (nonnegative, (x * (1 - x) - sp.Rational(1, 1000), UNIT)),
    (nonnegative, (x - HALF, UNIT)),
    (nonnegative, (-x, UNIT)),
    (nonnegative, (1 / (x - HALF), UNIT)),  # changes its sign at a pole
    (nonnegative, (x + a, UNIT)),  # a has no range
    (nonnegative, (x, {x: (0, a)})),  # the end of the range has no range
    (nonnegative, (sp.exp(x), UNIT)),  # not rational: refused though true
    (nonnegative, (x - y, {x: (0, 1), y: (0, 1)})),
    (positive, (sp.Integer(0), UNIT)),
    (positive, (x - x, UNIT)),
    (positive, (-1 / x, {x: (0, OO)})),
    (positive_polynomial, ((x - 1) ** 2, x, 0, 3)),  # touches zero
    (positive_polynomial, (x - 1, x, 0, 3)),
    (positive_polynomial, (-1 - x**2, x, 0, 3)),
    (positive_polynomial, (sp.Integer(0), x, 0, 1)),
    (positive_polynomial, (x + a, x, 0, 1)),
    (positive_polynomial, (x, x, 1, 0)),
    (equal_sets_of_roots, (x**2 - 1, x, [1])),
    (equal_sets_of_roots, (x**2 - 1, x, [1, 1])),
    (positive_by_assumptions, (x**3,)),
    (positive_by_assumptions, (p - q,)),
    (below_tangents, (p, {p: (0, OO)})),
    (above_tangents, (-p, {p: (0, OO)})),
    (largest_at_corner, (x * (1 - y), {x: (0, 1), y: (0, 1)}, {x: "high", y: "high"})),
    (largest_at_corner, (x * (1 - x), UNIT, {x: "high"})),
    (largest_at_corner, (x * (1 - y), {x: (0, 1), y: (0, 1)}, {x: "high"})),  # y has no end
    (compare, (sp.sqrt(2), 1)),
    (compare, (x, 1)),
    (compare, (0.1, 1)),  # no floating-point numbers in a proof
    (nonnegative, (0.5 * x, UNIT)),
    (nonnegative, (x, {x: (0, 0.5)})),
    (identity, (0.1 * x, x / 10)),
    (compare, (sp.nan, 1)),
    (compare, (sp.I, 1)),
    (equal, (1, 2)),
]


@pytest.mark.parametrize(("tactic", "arguments"), TRUE)
def test_true_claim_is_accepted(tactic, arguments) -> None:
    tactic(*arguments)


@pytest.mark.parametrize(("tactic", "arguments"), FALSE)
def test_false_claim_is_rejected(tactic, arguments) -> None:
    with pytest.raises(LemmaError):
        tactic(*arguments)


def test_polya_decides_what_plain_coefficients_do_not() -> None:
    expr, ranges = x**2 - x + 1, {x: (0, OO)}
    with pytest.raises(LemmaError):
        positive(expr, ranges)
    positive(expr, ranges, polya=1)
    with pytest.raises(LemmaError):
        positive(x**2 - 3 * x + 1, ranges, polya=6)


def test_with_square_replaces_even_powers_only() -> None:
    assert with_square(p**3 + p**2, p, q) == sp.expand(p * q + q)


def test_source_has_sees_a_line_that_changed():
    def function(x):
        return x + 1

    source_has(function, "return x + 1")
    with pytest.raises(LemmaError, match="function no longer has: return x - 1"):
        source_has(function, "return x - 1")
