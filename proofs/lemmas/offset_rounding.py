"""OFFSET_UNITS units of slack cover all roundings of every candidate for an offset.

Let B be the real number that a candidate of `upper_maximum` stands for, computed without rounding at the point that
the code has chosen; any point will do (`s_curve_maximum`, `concave_region`). The float B' that the code computes is a
sum of terms m_i (1 + theta_i), |theta_i| <= gamma_(k_i), plus underflows. The counts k_i come from running the code
itself on symbols (`proofs.roundings`). With slack S' as the code computes it, fl(B' + S') >= B, because monomial by
monomial
    sum_i |m_i| gamma_(k_i + 1) + underflows <= S (1-u)^(k_S + 1)

for float64 and float32, where g = max |g(z)|, width and reach of the box and |slopes| are the monomials. Inside
(`inside`) the tangent point may lie an overshoot P beyond the box; at an interior maximum steepness P <= 1/4,
|slope_v| P <= g (lemma `interior_overshoot`).
Model: that of `rounding_gamma`, with sigmoid, tanh and exp accurate to ELEMENTARY_UNITS u, relative.
"""

from __future__ import annotations

from types import ModuleType
from unittest import mock

import sympy as sp
import torch

from gpu_engine.bounds import Box
from gpu_engine.relaxations import offsets, sigmoid_times_identity, sigmoid_times_tanh
from gpu_engine.rounding import OFFSET_UNITS, tiny, unit_roundoff
from proofs import rounding_choices  # noqa: F401  (makes where, maximum and minimum known)
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.roundings import GROWTH, STEEPNESS, Expr, Interval, Traced, bounded_counts, constant, leaf, longest, point

A, B, g, Mv, wv, P, Mz, wz = sp.symbols("A B g Mv wv P Mz wz", positive=True)
MODULES = {"identity": sigmoid_times_identity, "tanh": sigmoid_times_tanh}


def traced(module: ModuleType, dtype: torch.dtype) -> tuple[Traced, Traced]:
    """The largest candidate before the slack, and the slack, as the code computes them on symbols."""
    along_v, along_z = Interval(Mv, wv, P, g), Interval(Mz, wz, sp.nan, g)
    v = Box(*(point(along_v, dtype) for _ in range(2)))  # type: ignore[arg-type]
    z = Box(*(point(along_z, dtype) for _ in range(2)))  # type: ignore[arg-type]
    slack: list[Traced] = []

    def keep(*arguments: object, **named: object) -> Traced:
        slack.append(offsets.rounding_slack(*arguments, **named))  # type: ignore[arg-type]
        return constant(0)

    with mock.patch.object(module, "rounding_slack", keep):
        best = module.upper_maximum(v, z, leaf(A), leaf(B))
    return best.value, slack[0]


def _split(expr: Expr) -> dict[Expr, Expr]:
    return {m: c for c, m in (term.as_coeff_Mul() for term in sp.Add.make_args(sp.expand(expr))) if c != 0}


def _eliminate(monomial: Expr) -> Expr:
    """Bounds for the symbols of the inner candidate, by lemma `interior_overshoot`."""
    if monomial.has(P):
        for known, bound in ((STEEPNESS * P, sp.Rational(1, 4)), (A * P, g)):
            quotient = monomial / known
            if not quotient.has(P, STEEPNESS) and sp.denom(quotient) == 1:
                return quotient * bound
    return monomial.subs(STEEPNESS, sp.Rational(1, 4))


def needed(module: ModuleType, dtype: torch.dtype, scale: Expr = 1) -> tuple[dict[Expr, Expr], dict[Expr, Expr]]:
    """What rounding can take, and what the slack (times scale) gives, by monomial; exact rationals."""
    return loss_and_slack(*traced(module, dtype), dtype, scale)


def loss_and_slack(
    best: Traced, slack: Traced, dtype: torch.dtype, scale: Expr = 1
) -> tuple[dict[Expr, Expr], dict[Expr, Expr]]:
    """What rounding of `best + slack` can take, and what the slack (times scale) gives, by monomial."""
    u, eta = sp.Rational(unit_roundoff(dtype)), sp.Rational(tiny(dtype))
    bounded_counts(max(longest(best.terms), longest(slack.terms)) + 2)
    loss = sp.Integer(0)
    for monomial, (coefficient, roundings) in best.terms.items():
        gamma = (roundings + 1) * u / (1 - (roundings + 1) * u)
        loss += coefficient * gamma * _eliminate(monomial)
    for monomial, coefficient in _split(best.underflow).items():
        # P tiny <= u g / 2^20: a usable tangent point has tanh(z)^2 >= tiny / 4, and P <= 710 (`interior_overshoot`).
        lost = monomial.subs(STEEPNESS, sp.Rational(1, 4))
        loss += coefficient * (u * g / 2**20 * (lost / P).subs(g, 1) if lost.has(P) else GROWTH * eta * lost)
    given = sum((c * m for m, (c, _) in slack.terms.items()), start=sp.Integer(0))
    given = given * (1 - (longest(slack.terms) + 1) * u) * scale
    return _split(loss), _split(given)


def covered(loss: dict[Expr, Expr], given: dict[Expr, Expr], dtype: torch.dtype) -> None:
    """Monomial by monomial, what is given is at least the loss."""
    u = sp.Rational(unit_roundoff(dtype))
    for monomial, amount in loss.items():
        there = given.get(monomial, sp.Integer(0))
        if not amount <= there:
            raise LemmaError(
                f"{monomial}: rounding takes {float(amount / u):.6g} u, the slack has {float(there / u):.6g} u"
            )


def _derive(scale: Expr = 1) -> list[str]:
    proof = Proof()
    for name, module in MODULES.items():
        for dtype in (torch.float64, torch.float32):
            proof.by(f"{name}, {dtype}: every monomial is covered", covered, *needed(module, dtype, scale), dtype)
    return proof.steps


def units(dtype: torch.dtype = torch.float64) -> Expr:
    """The constant that would just do: OFFSET_UNITS times the largest quotient of loss and slack."""
    quotients = []
    for module in MODULES.values():
        loss, given = needed(module, dtype)
        quotients += [amount / given[m] for m, amount in loss.items() if m in given]
    return sp.Max(*quotients) * OFFSET_UNITS


LEMMA = Lemma(
    name="offset_rounding",
    statement=__doc__,
    source="Higham (2002), section 3.1; the counts are ours",
    code=("gpu_engine.rounding:OFFSET_UNITS", "gpu_engine.relaxations.offsets:rounding_slack"),
    tests=("tests/proofs/test_lemmas.py", "tests/proofs/test_roundings.py", "tests/engine/test_offsets.py"),
    check=_derive,
    controls={
        "a quarter of the slack": lambda: _derive(scale=sp.Rational(1, 4)),
        "seven eighths of the slack": lambda: _derive(scale=sp.Rational(7, 8)),
    },
)
