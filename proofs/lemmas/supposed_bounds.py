"""Where h_k <= 0, a form plus multiples m_k h_k, m_k >= 0, bounds the form from below; and such places cover a set.

Let row be a form that is to be at least m on a set X, and let X' be the x in X with h_k(x) <= 0 for all k. The forms
h_k are row - m, v - s (`below`) or s - v (`above`), v a unit of a variable, s a number.
(i)   On X' every form f satisfies f >= f + sum m_k h_k for m_k >= 0. So a lower bound of the right side on X, as
      `back_substitution` gives it with planes that hold on X', is one of f on X'; constants of h_k included.
(ii)  For x in X outside of row <= m, row > m. So if row >= m on {row <= m}, then on X; all the more if that is empty.
(iii) (v - s) (s - v) = -(v - s)^2 is never positive: v - s and s - v are not both positive, so each x lies below or
      above the same s, perhaps both.
(iv)  If a <= v <= b on X' and a > b, then X' is empty.
(v)   For t > 0, t A has the sign of A: substituting t times a form takes the same planes and gives t times the result.
Shapes: one form; one supposition, as further ones add the same way.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, equal, identity, nonnegative, source_has
from refcert.kernel import block_rules, blocks, supposed_bounds
from refcert.kernel.supposition import split

OO = sp.oo
f, m, s, v = sp.symbols("f m s v", real=True)
size, room, more = sp.symbols("size room more", nonnegative=True)
RANGES = {size: (0, OO), room: (0, OO), more: (0, OO)}


def _multiples(multiplier: Expr = size, constant: Expr = m) -> list[str]:
    """(i). constant: what is taken from the row in the code's sum."""
    proof = Proof()
    # On X': row = m - room, v = s - room below s, v = s + room above it.
    for name, h in (
        ("row", (m - room) - constant),
        ("below", (s - room) - s),
        ("above", s - (s + room)),
    ):
        loss = f - (f + multiplier * h)
        proof.by(f"{name}: the form does not increase", nonnegative, loss, RANGES)
    source_has(block_rules._require_not_negative, "if factor < 0:")
    source_has(blocks.Blocks._opened, "constants = specification.constants[number], -self.claimed.margin")
    source_has(supposed_bounds._sum, "constant = constant + times * sum_of(exact(x) for x in one.constants)")
    source_has(supposed_bounds._sum, "row[unit] = row.get(unit, ZERO) + times * exact(x)")
    for below, way in ((True, 1), (False, -1)):
        one = split(5, 0, 0.75, below=below)
        value = sum(way_of * v for way_of in one.form.values()) + sum(one.constants)
        proof.by(
            f"the code's supposition, below: {below}", identity, sp.nsimplify(value), way * (v - sp.Rational(3, 4))
        )
    return proof.steps


def _cover(limit: Expr = m, other: Expr = s) -> list[str]:
    """(ii) to (iv). limit: of the row in the block; other: the number of the upper half."""
    proof = Proof()
    outside = limit + room
    proof.by("outside of the block the row is at least m", nonnegative, outside - m, RANGES)
    below, above = v - s, other - v
    proof.by("below and above: the product is minus a square", identity, below * above, -((v - s) ** 2))
    proof.by("a square is not negative", nonnegative, more**2, RANGES)
    source_has(blocks._require_both, "below.place == above.place")
    source_has(blocks._require_both, "if below.below and not above.below")
    a = v - room
    b = v + more
    proof.by("ends around a number are not reversed", nonnegative, b - a, RANGES)
    return proof.steps


def _homogeneous(factor: int = 1) -> list[str]:
    """(v). factor: the sign of t."""
    proof = Proof()
    lower, upper = sp.symbols("lower upper", real=True)
    A = sp.Symbol("A", positive=True)
    t = sp.Symbol("t", positive=True)
    for sign in (1, -1):
        once = sign * A * (lower if sign > 0 else upper)
        scaled = factor * t * sign * A
        times = scaled * (lower if factor * sign > 0 else upper)
        proof.by(f"coefficient {sign}: t times the result", identity, times, factor * t * once)
    proof.by("the sign of t A", equal, sp.sign(factor * t * A), sp.sign(A))
    source_has(supposed_bounds._group, "used = [k for k, factor in enumerate(factors) if factor]")
    source_has(supposed_bounds._group, "if len(higher) == 1:")
    return proof.steps


LEMMA = Lemma(
    name="supposed_bounds",
    statement=__doc__,
    source="Kotha et al. 2023 (INVPROP); Wang et al. 2021 (Beta-CROWN); Lagrange's multipliers",
    code=(
        "refcert.kernel.supposed_bounds:supposed_bounds",
        "refcert.kernel.supposition:split",
        "refcert.kernel.block_rules:closed_row",
        "refcert.kernel.block_rules:closed_empty",
        "refcert.kernel.blocks:Blocks",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/certificates/test_blocks.py"),
    check=lambda: _multiples() + _cover() + _homogeneous(),
    controls={
        "a negative multiplier": lambda: _multiples(multiplier=-size),
        "the constant m is forgotten": lambda: _multiples(constant=sp.Integer(0)),
        "the block is about row <= 0": lambda: _cover(limit=sp.Integer(0)),
        "halves that leave something between them": lambda: _cover(other=s + 1),
        "a negative factor keeps the planes": lambda: _homogeneous(factor=-1),
    },
)
