"""n roundings change a product by at most gamma_n = n u / (1 - n u), and a dot product of n terms too.

Model: fl(x op y) = (x op y) (1 + d) + e, |d| <= u, |e| <= tiny (e only where a result underflows).
(i)   Every factor 1 + d and every 1 / (1 + d) lies in I_1, where I_n := [(1-u)^n, (1-u)^(-n)]. Products: I_j I_k is
      inside I_(j+k); inverses: 1 / I_k = I_k; averages of numbers in I_k lie in I_k.
(ii)  For n u < 1: 1 - gamma_n <= (1-u)^n and (1-u)^(-n) <= 1 + gamma_n.
(iii) gamma_j + gamma_k + gamma_j gamma_k <= gamma_(j+k).
(iv)  Without underflow, whatever the order and with or without fused multiply-add:
      |fl(x.y) - x.y| <= gamma_n |x|.|y|, for each product meets one rounding and at most n - 1 sums.
(v)   The code's gamma, computed in float64 with the factor 1 + 2^-40, is at least gamma_n.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, compare, equal, identity, nonnegative

n, j, k, u, y = sp.symbols("n j k u y", positive=True)
OO = sp.oo
FACTOR = 1 + sp.Rational(1, 2**40)


def gamma(count: Expr) -> Expr:
    """The definition."""
    return count * u / (1 - count * u)


def _induction(bound: Expr = None, growth: Expr = 1) -> list[str]:
    """bound(n) in place of gamma_n, growth roundings a step in place of one; true for the defaults."""
    proof = Proof()
    of = gamma if bound is None else bound
    small = {n: (0, OO), u: (0, 1 / (n + 1))}  # (n + 1) u < 1
    unit = {u: (0, 1)}
    proof.by("1 + u <= 1 / (1-u)", nonnegative, 1 / (1 - u) - (1 + u), unit)
    proof.by("1 - u <= 1 / (1+u)", nonnegative, 1 / (1 + u) - (1 - u), unit)
    proof.by("1 / (1-u) >= 1 >= 1-u: both ends enclose 1", nonnegative, (1 / (1 - u) - 1) * (1 - (1 - u)), unit)
    # (1-u)^(-n) <= 1 + gamma_n, by induction on n; n = 0 is an equality.
    proof.by("start: gamma_0 = 0", identity, of(sp.Integer(0)))
    step = 1 + of(n + 1) - (1 + of(n)) / (1 - growth * u)
    proof.by("step: (1 + gamma_n) / (1-u) <= 1 + gamma_(n+1)", nonnegative, step, small)
    # (1-u)^n >= 1 - n u >= 1 - gamma_n.
    proof.by("step: (1 - n u) (1-u) >= 1 - (n+1) u", nonnegative, (1 - n * u) * (1 - u) - (1 - (n + 1) * u), small)
    proof.by("1 - n u >= 1 - gamma_n", nonnegative, of(n) - n * u, small)
    both = {j: (0, OO), k: (0, OO), u: (0, 1 / (j + k))}
    sums = of(j + k) - of(j) - of(k) - of(j) * of(k)
    proof.by("gamma_j + gamma_k + gamma_j gamma_k <= gamma_(j+k)", nonnegative, sums, both)
    return proof.steps


def longest_path(terms: int, tree: str = "left") -> int:
    """Roundings on the longest path of a sum of `terms` products, for a given order of the sum."""
    if terms == 1:
        return 1  # the product
    left = terms - 1 if tree == "left" else terms // 2
    return 1 + max(longest_path(left, tree), longest_path(terms - left, tree))


def _dot(claimed: Expr = n) -> list[str]:
    """Induction over binary trees: a tree of n products has depth at most n, counting the product."""
    proof = Proof()
    left, right = sp.symbols("left right", positive=True)
    # A node joins left + right leaves; its paths are 1 longer than the longer one, which is <= claimed(leaves).
    for name, first, second in (("left", left, right), ("right", right, left)):
        room = claimed.subs(n, first + second) - (claimed.subs(n, first) + 1)
        proof.by(f"a sum above the {name} part", nonnegative, room, {first: (1, OO), second: (1, OO)})
    proof.by("a single product has one rounding", compare, 1, claimed.subs(n, 1))
    proof.by("the bound is met from left to right", equal, longest_path(7), claimed.subs(n, 7))
    # In I_n each product is off by at most gamma_n times its size.
    proof.by("sum of |x_i y_i| gamma_n", identity, gamma(n) * y + gamma(n) * k, gamma(n) * (y + k))
    return proof.steps


def _code(factor: Expr = FACTOR) -> list[str]:
    proof = Proof()
    v = sp.Rational(1, 2**53)
    # n u is exact (u is a power of two). Rounded: 1 - n u, the quotient, the product; the factor itself is exact.
    computed = factor * (1 - v) ** 2 / (1 + v)
    proof.by("three roundings cost less than the factor", compare, 1, computed)
    return proof.steps


LEMMA = Lemma(
    name="rounding_gamma",
    statement=__doc__,
    source="Higham (2002), lemmas 3.1 and 3.3 and section 3.1",
    code=("gpu_engine.rounding:gamma", "gpu_engine.rounding:unit_roundoff", "gpu_engine.rounding:tiny"),
    tests=("tests/proofs/test_lemmas.py",),
    check=lambda: _induction() + _dot() + _code(),
    controls={
        "gamma_n = n u": lambda: _induction(bound=lambda count: count * u),
        "gamma_n = n u / (1 + n u)": lambda: _induction(bound=lambda count: count * u / (1 + count * u)),
        "two roundings a step": lambda: _induction(growth=2),
        "n - 1 roundings for n products": lambda: _dot(claimed=n - 1),
        "gamma without its factor": lambda: _code(factor=sp.Integer(1)),
    },
)
