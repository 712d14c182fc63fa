"""The least value of a.x on an l_p ball of radius r is -r ||a||_q, 1/p + 1/q = 1.

(i)   Young: x y <= x^p/p + y^q/q for x, y > 0 (p > 1), with equality for y = x^(p-1).
(ii)  Hoelder: a.x >= -r ||a||_q if ||x||_p <= r, attained at x_i = -r sign(a_i) (|a_i| / ||a||_q)^(q-1).
      p = 1 (q = infinity) and p = infinity (q = 1) termwise.
(iii) ||a||_q does not increase with q: a q that is rounded DOWN gives a norm that is not too small.
      Conversely ||a||_q <= n^(1/q - 1/q') ||a||_q' for q' > q, and log n <= n/2.
(iv)  ||c a||_q = c ||a||_q for c > 0: dividing by the largest entry first changes nothing.
(v)   The code's q = p / (p-1) * (1 - 2^-50) in float64 (three roundings) is at most the exact q.
Shapes: a, x (input,).
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import (
    Expr,
    above_tangents,
    compare,
    identity,
    nonnegative,
    positive_by_assumptions,
    tangent_remainder,
)

x, m, k, r, n, c, d, S, N, mean = sp.symbols("x m k r n c d S N mean", positive=True)
p = 1 + k  # every p > 1
OO = sp.oo
SHRINK = 1 - sp.Rational(1, 2**50)


def _young(q: Expr = p / k) -> list[str]:
    proof = Proof()
    proof.by("1/p + 1/q = 1", identity, 1 / p + 1 / q, 1)
    y = m**k  # every y > 0 is the (p-1)-th power of some m > 0
    gap = x**p / p + y**q / q - x * y
    proof.by("equality at x = m", identity, sp.powsimp(gap.subs(x, m)))
    proof.by("level at x = m", identity, sp.powsimp(gap.diff(x).subs(x, m)))
    proof.by("convex in x", positive_by_assumptions, gap.diff(x, 2))
    proof.by("so the gap is >= 0", tangent_remainder)
    # With x_i = |x_i|/r and y_i = |a_i|/||a||_q, summed: sum <= X/p + Y/q with X <= 1 and Y = 1.
    X, missing = sp.symbols("X missing", positive=True)
    bound = (X / p + 1 / q).subs(X, 1 - missing)
    proof.by("the sum of Young's inequalities is at most 1", positive_by_assumptions, sp.simplify(1 - bound))
    return proof.steps


def _attained(power: Expr = p / k - 1) -> list[str]:
    """At |x_i| = r (|a_i|/N)^power, N = ||a||_q; one entry m stands for all, sum m^q = N^q."""
    proof = Proof()
    q = p / k
    step = r * (m / N) ** power
    proof.by(
        "|x_i|^p = r^p |a_i|^q / N^q, so ||x||_p = r",
        identity,
        sp.powsimp(step**p / (r**p * (m / N) ** q), force=True),
        1,
    )
    proof.by(
        "a_i x_i = -r |a_i|^q / N^(q-1), so a.x = -r N",
        identity,
        sp.powsimp(m * step / (r * N * (m / N) ** q), force=True),
        1,
    )
    return proof.steps


def _ends() -> list[str]:
    proof = Proof()
    a, largest, size = sp.symbols("a largest size", positive=True)
    more = {a: (0, OO), size: (0, OO), largest: (0, OO)}
    proof.by("p = 1: max|a| |x_i| >= |a_i| |x_i|", nonnegative, (a + largest) * size - a * size, more)
    proof.by("p = infinity: |a_i| r >= |a_i| |x_i|", nonnegative, a * (size + largest) - a * size, more)
    return proof.steps


def _exponents(direction: int = 1) -> list[str]:
    """(iii); direction -1 claims the opposite."""
    proof = Proof()
    q, w, t = sp.symbols("q w t", positive=True)
    # b = |a_i| / ||a||_q = exp(-t) <= 1, so sum b^(q+d) <= sum b^q = 1.
    ratio = sp.log(sp.exp(-t) ** q / sp.exp(-t) ** (q + direction * d))
    proof.by("b^q / b^(q+d) = exp(t d)", identity, sp.expand_log(ratio, force=True), t * d)
    proof.by("exp is convex", positive_by_assumptions, sp.exp(w).diff(w, 2))
    proof.by("exp(w) >= 1 + w >= 1", tangent_remainder)
    # Jensen for y^(1+d), y_i = |a_i|^q with sum S: tangents at the mean S/n.
    power = 1 + d
    proof.by("y^(1+d) is convex", positive_by_assumptions, (x**power).diff(x, 2))
    tangents = n * mean**power + (mean**power).diff(mean) * (S - n * mean)
    proof.by("the tangents at the mean sum to n mean^(1+d)", identity, tangents.subs(S, n * mean), n * mean**power)
    wider = (n * (S / n) ** power) ** (1 / (q * power))
    claimed = n ** (1 / (q * power) - 1 / q) * S ** (1 / q)
    proof.by("||a||_q' >= n^(1/q' - 1/q) ||a||_q", identity, sp.expand_log(sp.log(wider / claimed), force=True))
    proof.by("n/2 - log n is convex", above_tangents, (n / 2 - sp.log(n)).diff(n, 2), {n: (0, OO)})
    proof.by("it is level at n = 2", identity, (n / 2 - sp.log(n)).diff(n).subs(n, 2))
    proof.by("and positive there", compare, sp.log(2), 1)
    proof.by(
        "||c a||_q = c ||a||_q",
        identity,
        sp.expand_log(sp.log((c**q * S) ** (1 / q)), force=True),
        sp.log(c) + sp.log(S) / q,
    )
    return proof.steps


def _rounded_down(shrink: Expr = SHRINK) -> list[str]:
    proof = Proof()
    u = sp.Rational(1, 2**53)
    proof.by("three roundings and the factor leave q below p / (p-1)", compare, (1 + u) ** 2 / (1 - u) * shrink, 1)
    return proof.steps


LEMMA = Lemma(
    name="dual_norm",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), section 3.2",
    code=(
        "gpu_engine.propagation.input_sets.norms:dual_norm",
        "gpu_engine.propagation.input_sets.norms:dual_exponent",
        "gpu_engine.propagation.input_sets.frame_balls:PreparedFrameBalls.concretize",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_concretize.py"),
    check=lambda: _young() + _attained() + _ends() + _exponents() + _rounded_down(),
    controls={
        "q = p": lambda: _young(q=p),
        "q = p - 1": lambda: _young(q=k),
        "minimiser with power q": lambda: _attained(power=p / k),
        "the norm increases with q": lambda: _exponents(direction=-1),
        "q without rounding down": lambda: _rounded_down(shrink=sp.Integer(1)),
        "q rounded down by one unit": lambda: _rounded_down(shrink=1 - sp.Rational(1, 2**53)),
    },
)
