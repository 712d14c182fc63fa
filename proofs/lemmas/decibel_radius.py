"""A radius given in decibels is rounded up: it is at least max |x| * 10^(D / 20).

(i)   D decibels of amplitude are the factor 10^(D / 20): 20 log10 of it is D.
(ii)  In decimal arithmetic with `_DIGITS` digits, every result rounded up: the quotient D / 20 is not too small, and
      10^y increases; the power is off by less than one unit of its last digit, at most 10^(1 - _DIGITS) relative; times
      1 + `_DIGITS_ERROR` it is not below the exact factor.
(iii) The nearest float and the next number above it is not below that (`input_rounding`); the product with the peak is
      one rounding, and again one number up.
Shapes: x (batch, time, input), radius (batch,).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import sympy as sp

from gpu_engine import inputs
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, compare, identity, positive, source_has

PINNED: dict[Callable[..., object], tuple[str, ...]] = {
    inputs.decibel_factor: (
        "localcontext(Context(prec=_DIGITS, rounding=ROUND_CEILING))",
        "value = Decimal(10) ** (Decimal(decibel) / 20) * (1 + _DIGITS_ERROR)",
        "return math.nextafter(float(value), math.inf)",
    ),
    inputs.decibel_radius: (
        "peak = x.abs().amax(dim=(1, 2))",
        "radius = torch.nextafter(peak * factor, torch.full_like(peak, math.inf))",
    ),
}


def _definition(divisor: int = 20) -> list[str]:
    proof = Proof()
    D = sp.Symbol("D", real=True)
    factor = sp.Integer(10) ** (D / divisor)
    proof.by("20 log10(factor) = D", identity, 20 * sp.expand_log(sp.log(factor), force=True) / sp.log(10), D)
    rate = sp.log(10) * sp.Symbol("power", positive=True)  # d/dy 10^y = log(10) 10^y
    proof.by("10^y increases", compare, 0, rate.coeff(sp.Symbol("power", positive=True)))
    return proof.steps


def _decimal(margin: Expr = None) -> list[str]:
    """margin in place of the code's `_DIGITS_ERROR`."""
    proof = Proof()
    code = Fraction(inputs._DIGITS_ERROR)
    added = sp.Rational(code.numerator, code.denominator) if margin is None else margin
    unit = sp.Rational(1, 10 ** (inputs._DIGITS - 1))  # one unit of the last of the digits, relative to the number
    proof.by("the power times 1 + margin is not too small", compare, 1, (1 - unit) * (1 + added))
    peak, short = sp.symbols("peak short", positive=True)
    larger = (peak * (1 + short)) - peak
    proof.by("a larger factor gives a larger radius", positive, larger, {peak: (0, sp.oo), short: (0, sp.oo)})
    for function, lines in PINNED.items():
        for line in lines:
            proof.by(f"{function.__name__} has: {line}", source_has, function, line)
    return proof.steps


LEMMA = Lemma(
    name="decibel_radius",
    statement=__doc__,
    source="PROVER (Ryou et al. 2021), speech classifiers; Python's decimal arithmetic",
    code=("gpu_engine.inputs:decibel_radius", "gpu_engine.inputs:decibel_factor"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_inputs.py"),
    check=lambda: _definition() + _decimal(),
    controls={
        "10^(D / 10), as for power": lambda: _definition(divisor=10),
        "no margin": lambda: _decimal(margin=sp.Integer(0)),
        "a margin below the last digit": lambda: _decimal(margin=sp.Rational(1, 10**60)),
    },
)
