"""The interior tangent point lies at most harmlessly far outside the box.

Let F = s t - a v - b z have an interior local maximum (v*, z*) on the box, g = tanh(zu), and let (v', z') be the
point at which `inside` takes the tangent plane, P = max(0, v' - vu) its overshoot, u <= 2^-24. If P > 0 then v'
was pushed into the concave region, v' <= V(z') (1+e) + SCALAR_UNITS tiny, e = 3 SCALAR_UNITS u. Then

(i)   sigmoid(v') sigmoid(-v') P <= 1/4, for x / (2 + 2 cosh x) <= 1/4.
(ii)  z' >= z*: V(z') <= V(z*) <= v* <= vu and a v* <= g/4, so a P <= e g.
(iii) z' < z*: z' is not below the float that `_z_on_curve` gives. a <= (1-b) g, as s* > b. The start v0 of that float
      lies right of v_peak up to rounding, where 1-s <= 2/3 (1-b), so T = 1 - b/s0 >= 0.32 (1-b), and the computed T'
      satisfies T' >= (1-u) (T - gamma_k), k = ELEMENTARY_UNITS + 1. With tau = tanh(z')^2 >= 0.98 T',
      tau V = tau log((1+tau) / (2 tau)) <= 3/10. Together a P <= g.
(iv)  V(z') <= 710 and tanh(z')^2 >= tiny/4 wherever the code uses the point, so P tiny <= u g / 2^20.
"""

from __future__ import annotations

import sympy as sp

from gpu_engine.rounding import ELEMENTARY_UNITS, SCALAR_UNITS
from proofs.lemma import Lemma, Proof
from proofs.tactics import (
    Expr,
    above_tangents,
    below_tangents,
    compare,
    identity,
    nonnegative,
    positive,
    positive_polynomial,
)

x, h, b, R, w, k, E, tau = sp.symbols("x h b R w k E tau", positive=True)
OO = sp.oo
QUARTER, THREE_TENTHS, SHARE = sp.Rational(1, 4), sp.Rational(3, 10), sp.Rational(32, 100)
UNITS = (sp.Rational(1, 2**24), sp.Rational(1, 2**53))
TINY = {UNITS[0]: sp.Rational(1, 2**126), UNITS[1]: sp.Rational(1, 2**1022)}


def _steepness(limit: Expr = QUARTER) -> list[str]:
    proof = Proof()
    s = 1 / (1 + sp.exp(-x))
    proof.by("s (1-s) = 1 / (2 + 2 cosh x)", identity, s * (1 - s), 1 / (2 + 2 * sp.cosh(x)))
    # cosh x - 1 - x^2/2 is 0 and level at 0; its second derivative is cosh x - 1, with h = exp(x) > 1.
    proof.by("cosh x = (h + 1/h) / 2", identity, sp.cosh(x), (sp.exp(x) + sp.exp(-x)) / 2)
    proof.by("cosh x >= 1 + x^2/2", above_tangents, (h + 1 / h) / 2 - 1, {h: (1, OO)})
    gap = (2 + 2 * (1 + x**2 / 2)) - x / limit
    proof.by("2 + 2 cosh x - 4 x >= (x-2)^2 >= 0", identity, gap, (x - 2) ** 2)
    return proof.steps


def _right_of_peak() -> list[str]:
    proof = Proof()
    # R = sqrt(4-4b+9b^2) >= 3b, so 1-s_peak = 4 (1-b) / (6-3b+R) <= 2/3 (1-b).
    proof.by("R^2 - 9 b^2 >= 0", nonnegative, 4 - 4 * b, {b: (0, 1)})
    more = sp.Rational(2, 3) - 4 / (6 - 3 * b + (3 * b + w))
    proof.by("1 - s_peak <= 2/3 (1-b)", nonnegative, more, {b: (0, 1), w: (0, OO)})
    # v0 >= v_peak - d implies 1 - s0 <= e^d (1 - s_peak); E = e^v, k = e^d > 1.
    proof.by(
        "1 - sigmoid(v-d) <= e^d (1 - sigmoid(v))", nonnegative, k / (1 + E) - 1 / (1 + E / k), {E: (0, OO), k: (1, OO)}
    )
    for u in UNITS:
        # b < 1 is a float: 1-b >= u, so v_peak <= log(48 / (32 u)); `scalar_rounding` gives prod <= 48.
        push = 2 * SCALAR_UNITS * u * (1 + sp.log(sp.Rational(3, 2) / u))
        proof.by(f"e^d <= 1.01 for u = {u}", compare, push, sp.log(sp.Rational(101, 100)))
    proof.by("1 - 1.01 * 2/3 >= 0.32", compare, sp.Rational(32, 100), 1 - sp.Rational(101, 100) * sp.Rational(2, 3))
    s0 = b + w * (1 - b) / (1 + w)  # any s0 in (b, 1)
    proof.by("1 - b/s0 >= s0 - b", nonnegative, 1 - b / s0 - (s0 - b), {b: (0, 1), w: (0, OO)})
    return proof.steps


def _product(limit: Expr = THREE_TENTHS) -> list[str]:
    """tau log((1+tau)/(2 tau)) <= limit."""
    proof = Proof()
    proof.by("log is concave, so log w <= w - 1", below_tangents, sp.log(w).diff(w, 2), {w: (0, OO)})
    # w = sqrt((1+tau) / (2 tau)) > 1, tau = 1 / (2 w^2 - 1): tau log(w^2) <= 2 tau (w - 1).
    proof.by("tau in w", identity, (1 + tau) / (2 * tau), (w**2).subs(w, sp.sqrt((1 + tau) / (2 * tau))))
    proof.by("2 w^2 - 1 > 0", positive, 2 * w**2 - 1, {w: (1, OO)})
    bound = limit * (2 * w**2 - 1) - 2 * (w - 1)
    proof.by("2 (w-1) < limit (2 w^2 - 1) on (1, 10)", positive_polynomial, bound, w, 1, 10)
    proof.by("2 (w-1) < limit (2 w^2 - 1) beyond", positive, bound, {w: (9, OO)})
    return proof.steps


def _together(share: Expr = SHARE) -> list[str]:
    proof = Proof()
    for u in UNITS:
        roundings = ELEMENTARY_UNITS + 1
        gamma = roundings * u / (1 - roundings * u)
        e = 3 * SCALAR_UNITS * u
        proof.by(f"u = {u}: (ii) e/4 + SCALAR_UNITS tiny <= 1", compare, e / 4 + SCALAR_UNITS * TINY[u], 1)
        # T' >= u: then tanh(z')^2 >= 0.98 T', for the logarithm's error of 2 ELEMENTARY_UNITS u is small beside
        # its value of at least sqrt(u), and tanh(0.99 z) >= 0.99 tanh(z).
        lost = 2 * ELEMENTARY_UNITS * u / sp.sqrt(u) + ELEMENTARY_UNITS * u
        proof.by(f"u = {u}: z' >= 0.99 z", compare, lost, sp.Rational(1, 100))
        proof.by("0.99^2 >= 0.98", compare, sp.Rational(98, 100), sp.Rational(99, 100) ** 2)
        largest = sp.log(1 / (sp.Rational(98, 100) * u))  # V at the smallest T' = u
        first = sp.Rational(3, 10) / (sp.Rational(98, 100) * (1 - u) * share)
        bound = (first + gamma * largest / share) * (1 + e) + SCALAR_UNITS * TINY[u]
        proof.by(f"u = {u}: (iii) a P <= g", compare, bound, 1)
        proof.by(f"u = {u}: (iii) T' = 0", compare, gamma * 710 / share * (1 + e) + SCALAR_UNITS * TINY[u], 1)
        # (iv): g >= tanh(z') >= sqrt(tiny)/2.
        proof.by(f"u = {u}: (iv)", compare, 720 * TINY[u], u * sp.sqrt(TINY[u]) / 2 / 2**20)
    proof.by("log of the largest float64 is below 710", compare, 1024 * sp.log(2), 710)
    return proof.steps


LEMMA = Lemma(
    name="interior_overshoot",
    statement=__doc__,
    source="ours; needed by `offset_rounding`",
    code=("gpu_engine.relaxations.sigmoid_times_tanh:upper_maximum",),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_offsets.py"),
    check=lambda: _steepness() + _right_of_peak() + _product() + _together(),
    controls={
        "steepness times x at most 1/5": lambda: _steepness(limit=sp.Rational(1, 5)),
        "tau V <= 1/4": lambda: _product(limit=sp.Rational(1, 4)),
        "T >= 0.3 (1-b) would not do": lambda: _together(share=sp.Rational(3, 10)),
    },
)
