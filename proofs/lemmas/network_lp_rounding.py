"""The bound from multipliers, computed in float64, is not above the exact one: charges of twice the counted rounding.

(i)   `safe_sum(p, k)`: T = fsum(p) is the exact sum of the computed products, rounded once; each product is off by k
      roundings of itself, and by at most `UNDERFLOW`. The code's charge, itself rounded, times `CHARGE_SLACK` = 2
      covers gamma_k sum |p_i|, the rounding of T and that of T - charge.
(ii)  `bound_by_multipliers`: an entry of r = c + G'm + E'pi goes through at most N = longest column of G + longest
      column of E + EXTRA_ROUNDINGS roundings, stored weights included: |error| <= gamma_N (|c| + |G|'m + |E|'|pi|) + N
      underflow. The code's `error` and `charged` are rounded sums of positive terms: at least (1 - gamma_N) (1 -
      gamma_V) (1 - 6 u) of the exact ones, V variables. Twice that is at least the exact one if N u, V u <= 1/16.
      Stored weights that are not exact are at least the smallest normal number (`system_of` refuses others), so their
      rounding is relative.
(iii) -m.h - pi.e: each product two roundings (the stored constant and its own), summed by (i).
Assumed: float64 arithmetic, sums in any order (`rounding_gamma`), `math.fsum` rounds correctly. u = 2^-53.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, compare, nonnegative, source_has
from refcert.audit.network_lp import duality, least

OO = sp.oo
k, u, S, T, tiny, g = sp.symbols("k u S T tiny g", positive=True)
SLACK = sp.Integer(int(least.CHARGE_SLACK))
EXTRA = sp.Integer(duality.EXTRA_ROUNDINGS)
SIXTEENTH = sp.Rational(1, 16)
PINNED: dict[Callable[..., object], tuple[str, ...]] = {
    least.safe_sum: (
        "total = math.fsum(products)",
        "charge = CHARGE_SLACK * (roundings * UNIT * sizes + 2.0 * UNIT * abs(total) + "
        "(len(products) + 1) * UNDERFLOW)",
        "return total - charge",
    ),
    duality.bound_by_multipliers: (
        "r = C[:, :stop].T + G.T @ m + E.T @ pi",
        "size = np.abs(C[:, :stop].T) + abs(G).T @ m + abs(E).T @ np.abs(pi)",
        "terms = _longest(G) + _longest(E) + EXTRA_ROUNDINGS",
        "error = terms * UNIT / (1.0 - terms * UNIT) * size + terms * UNDERFLOW",
        "charged = np.concatenate((error[:inputs, k], np.abs(r[inputs:, k]) + error[inputs:, k])) @ magnitude",
        "products = np.concatenate(([float(d[k])], -m[:, k] * h, -pi[:, k] * e))",
        "fixed = Fraction(safe_sum(products, 2)) - Fraction(CHARGE_SLACK * float(charged))",
        "if (m < 0).any():",
    ),
}


def _source() -> list[str]:
    proof = Proof()
    for function, lines in PINNED.items():
        for line in lines:
            proof.by(f"{function.__name__} has: {line}", source_has, function, line)
    return proof.steps


def _sum(slack: Expr = SLACK, of_total: int = 2) -> list[str]:
    """(i). S: the exact sum of the |p_i|; T: |total|. Sizes are at least (1 - g) S, g = n u <= 1/16."""
    proof = Proof()
    # charge: at most six roundings after `sizes` (three products, two sums, the slack is exact).
    lower = 1 - 6 * u
    charge = slack * lower * (k * u * (1 - g) * S + of_total * u * T + tiny)
    # k roundings of each product relative to what was computed: at most k u / (1 - k u); k u <= 1/16.
    x = sp.Symbol("x", positive=True)  # k u
    exact = x / (1 - x) * S + u * T + tiny
    after = u * (T + slack * (x * S + of_total * u * T + tiny) * (1 + 6 * u))
    gap = (charge.subs(k, x / u) - exact - after) * (1 - x)
    small = {x: (0, SIXTEENTH), g: (0, SIXTEENTH), u: (0, sp.Rational(1, 2**10))}
    ranges = small | dict.fromkeys((S, T, tiny), (0, OO))
    for name, symbol in (("products", S), ("total", T), ("underflow", tiny)):
        part = sp.expand(gap).coeff(symbol, 1)
        used = {s: ranges[s] for s in ranges if s in part.free_symbols}
        proof.by(f"safe_sum: the charge covers the {name}", nonnegative, part, used)
    return proof.steps


def _residual(extra: Expr = EXTRA, slack: Expr = SLACK) -> list[str]:
    """(ii)."""
    proof = Proof()
    G, E = sp.symbols("G E", positive=True)  # entries of the longest columns
    ranges = {G: (0, OO), E: (0, OO)}
    # product and sum over the column; stored weight, product and sum; two additions of the three parts
    for name, count in (("of G'm", G + 2), ("of E'pi", 1 + E + 2), ("of c", sp.Integer(2))):
        proof.by(f"roundings {name}", nonnegative, G + E + extra - count, ranges)
    V, n = sp.symbols("V n", positive=True)  # V u and N u
    gamma_n, gamma_v = n / (1 - n), V / (1 - V)
    kept = slack * (1 - gamma_n) * (1 - gamma_v) * (1 - 6 * u) - 1
    small = {n: (0, SIXTEENTH), V: (0, SIXTEENTH), u: (0, sp.Rational(1, 2**10))}
    proof.by("twice the computed charge is at least the exact one", nonnegative, kept, small)
    proof.by("u is small enough", compare, sp.Rational(1, 2**53), sp.Rational(1, 2**10))
    return proof.steps


LEMMA = Lemma(
    name="network_lp_rounding",
    statement=__doc__,
    source="Higham (2002), section 3.1; Neumaier and Shcherbina (2004); the counts are ours",
    code=(
        "refcert.audit.network_lp.duality:bound_by_multipliers",
        "refcert.audit.network_lp.least:safe_sum",
        "refcert.audit.network_lp.least:least_on_intervals",
        "refcert.audit.network_lp.least:affine_interval",
        "refcert.audit.network_lp.system:system_of",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/audit/test_network_lp_duality.py"),
    check=lambda: _source() + _sum() + _residual(),
    controls={
        "charges as counted, not twice": lambda: _sum(slack=sp.Integer(1)),
        "the rounding of the total is free": lambda: _sum(of_total=0),
        "two roundings beside the sums": lambda: _residual(extra=sp.Integer(2)),
        "a residual charged as computed": lambda: _residual(slack=sp.Integer(1)),
    },
)
