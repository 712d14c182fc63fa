"""SCALAR_UNITS units of slack cover the scalar expressions that decide where an interior maximum can be.

Write U = SCALAR_UNITS, u the unit roundoff, ELEMENTARY_UNITS u the relative accuracy of sigmoid, tanh, exp, log and
log1p, 0 < b < 1. As computed in `inside` and `_logit_upper`:
(i)   b < sigmoid(vu) implies b < s_upper (1 + U u) for the computed s_upper;
(ii)  the computed v_peak - U u (1 + |v_peak|) is at most log((2+3b+R) (6-3b+R) / (32 (1-b)));
(iii) `_logit_upper(b / sech(zu)^2, U u)` is at least logit(b cosh(zu)^2) where that is below infinity, and
      `_logit_lower(b / sech(z)^2, U u)` at most logit(b cosh(z)^2), z = max(zl, 0), or infinite where b cosh(z)^2 >=
1; (iv)  v_region (1 + U u) + k tiny is at least V(z) = log(1 + sech(z)^2 / (2 tanh(z)^2)), for tanh(z)^2 in the
      normal range (below it the code's quotient overflows, or its loss of at most 16 u is small beside V > 80);
(v)   where sech^2 underflows at the z of an interior maximum (or at z_low), a side of the box is as good up to 4
      tiny: F(v, zu) >= F(v, z) - b (zu - z) with b <= sech(z)^2, and F(v, z_low) >= F(v, z) - sech(z_low)^2.
The counts follow the expressions as they stand in the source; if those change, this lemma fails and must be redone.
"""

from __future__ import annotations

import inspect

import sympy as sp

from gpu_engine.relaxations import s_curve, sigmoid_times_tanh
from gpu_engine.rounding import ELEMENTARY_UNITS, SCALAR_UNITS
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import below_tangents, compare, equal, identity, nonnegative

b, R, s, u, w = sp.symbols("b R s u w", positive=True)
SMALL = {u: (0, sp.Rational(1, 2**24))}
PUSHES = {"v_region * (1 + u) + tiny(dtype)": 1, "v_region * (1 + u) + SCALAR_UNITS * tiny(dtype)": SCALAR_UNITS}
PINNED = (
    "u = SCALAR_UNITS * unit_roundoff(dtype)",
    "(b < s_upper * (1 + u))",
    "root = torch.sqrt(4 - 4 * b_safe + 9 * b_safe * b_safe)",
    "v_peak = torch.log((2 + 3 * b_safe + root) * (6 - 3 * b_safe + root)) - torch.log(32 * (1 - b_safe))",
    "v_peak = v_peak - u * (1 + v_peak.abs())",
    "_logit_upper(b_safe / sech_squared(z.upper), u)",
    "complement = 1 - s * (1 + u) - u",
    "bound = torch.log(s / complement.clamp(min=0.0))",
    "torch.where(complement > 0, bound + u * (1 + bound.abs()), torch.inf)",
    "low = torch.maximum(torch.maximum(v.lower, v_peak), _logit_lower(b_safe / sech_squared(z_low), u))",
    "s = s * (1 - u) bound = torch.log(s / ((1 - s).clamp(min=0.0) + u))",
    "torch.where(s < 1, bound - u * (1 + bound.abs()), torch.inf)",
    "v_region = torch.log1p(sech2 / (2 * t * t))",
)


class Count(int):
    """Roundings of a positive number: it lies in I_k around its exact value (lemma `rounding_gamma`)."""

    def __add__(self, other: int) -> Count:  # a sum of positive numbers
        return Count(max(int(self), int(other)) + 1)

    def __mul__(self, other: int) -> Count:
        return Count(int(self) + int(other) + 1)

    __truediv__ = __mul__

    def sqrt(self) -> Count:
        return Count((int(self) + 1) // 2 + 1)


EXACT = Count(0)
FUNCTION = Count(ELEMENTARY_UNITS)


def sech_squared() -> Count:
    """4 e / (1 + e)^2; the factor 4 is exact."""
    below = EXACT + FUNCTION
    return FUNCTION / (below * below)


def peak_count(proof: Proof) -> int:
    """Roundings of the two arguments of the logarithms in v_peak."""
    three_b, nine_b = EXACT * EXACT, EXACT * EXACT
    root = ((Count(1)) + nine_b * EXACT).sqrt()  # 4 - 4b of exact numbers: one rounding
    # 6 - 3b: the error of 3b counts at most once, for 3b <= 6-3b; one more for leaving the class I_1.
    proof.by("3b <= 6-3b", nonnegative, 6 - 6 * b, {b: (0, 1)})
    difference = Count(three_b + 1)
    product = (EXACT + three_b + root) * (difference + root)
    return int(product) + 1  # and 1 - b, which is one rounding


def _source(proof: Proof) -> int:
    """The expressions are still the ones that were counted. Returns k of (iv)."""
    parts = (sigmoid_times_tanh.inside, sigmoid_times_tanh._logit_upper, sigmoid_times_tanh._logit_lower)
    text = " ".join(" ".join(inspect.getsource(part).split()) for part in parts)
    for line in PINNED:
        proof.by(f"the code has: {line}", equal, line in text, True)
    proof.by(
        "sech_squared is 4 e / (1+e)^2",
        equal,
        "4 * e / torch.square(1 + e)" in inspect.getsource(s_curve.sech_squared),
        True,
    )
    found = [k for push, k in PUSHES.items() if push in text]
    if len(found) != 1:
        raise LemmaError(f"the push into the concave region is none of {list(PUSHES)}")
    return found[0]


def _derive(U: int = SCALAR_UNITS, push: int | None = None) -> list[str]:
    proof = Proof()
    tiny_units = _source(proof) if push is None else push
    # A count k costs at most (k+1) u, for k (k+1) u <= 1.
    proof.by("gamma_k <= (k+1) u", compare, 4000 * 4001 * sp.Rational(1, 2**24), 1)
    proof.by("(i)", compare, FUNCTION + 2, U)
    _peak(proof, U)
    _logit(proof, U)
    region = sech_squared() / (FUNCTION * FUNCTION)  # 2 t is exact
    # log1p(x phi) >= phi log1p(x) for phi <= 1, by concavity and log1p(0) = 0.
    proof.by("log1p is concave", below_tangents, sp.log(1 + w).diff(w, 2), {w: (0, sp.oo)})
    proof.by("(iv) v_region, the factor and the sum", compare, int(region) + ELEMENTARY_UNITS + 3, U)
    # Underflow of sech^2: exp loses tiny, four times that, the square and the quotient one each; over 2 t^2 > 1.
    proof.by("(iv) underflow", compare, 4 + 1 + 1 + 1 + 1, tiny_units)
    return proof.steps


def _peak(proof: Proof, U: int) -> None:
    square = 4 - 4 * b + 9 * b**2
    proof.by(
        "(2+3b+R) (6-3b+R) = 8 (2+b+R)",
        identity,
        sp.expand((2 + 3 * b + R) * (6 - 3 * b + R) - R**2 + square),
        8 * (2 + b + R),
    )
    proof.by("R <= 3, so the product is at most 48", nonnegative, 9 - square, {b: (0, 1)})
    proof.by("R >= 2-b, so it is at least 32", nonnegative, square - (2 - b) ** 2, {b: (0, 1)})
    counted, largest = peak_count(proof), sp.log(48)
    # Error in u: counts, ELEMENTARY_UNITS |log| twice, and |v| for the difference and for the slack's sum. With l = log
    # of the product and v = v_peak >= 0 the other logarithm is l - v, at most max(l, v).
    # Two more for (k+1) u in place of k u and for the rounding of the slack itself.
    at_zero = counted + 2 * ELEMENTARY_UNITS * largest + 4
    proof.by("(ii) at v_peak = 0", compare, at_zero, U)
    proof.by("(ii) growth with v_peak", compare, ELEMENTARY_UNITS + 4, U)


def _logit(proof: Proof, U: int) -> None:
    K = int(EXACT / sech_squared()) + 1
    shrunk = 1 - s * (1 + U * u) * (1 - u)
    computed = (shrunk * (1 + u) - U * u) * (1 + u)
    proof.by("(iii) complement <= 1 - s", nonnegative, 1 - s * (1 + K * u) - computed, {s: (0, 1), **SMALL})
    proof.by("(iii) the logarithm's argument", compare, K + 4, U)
    proof.by("(iii) the logarithm", compare, ELEMENTARY_UNITS + 4, U)
    # `_logit_lower`: s' = fl(s (1 - U u)) is at most the real value s (1 - K u), so 1 - s' is too large already; the
    # sum's U u is more than the rounding of 1 - s' and of the sum itself.
    proof.by("(iii) lower: s' is below the real value", nonnegative, (1 - K * u) - (1 - U * u) * (1 + u), SMALL)
    denominator = ((1 - s) * (1 - u) + U * u) * (1 - u) - (1 - s)
    proof.by("(iii) lower: denominator", nonnegative, denominator, {s: (0, 1), **SMALL})
    t, low = sp.symbols("t low", positive=True)
    # (v): b = s sech^2 <= sech^2; 1 - t_low <= (1 - t_low) (1 + t_low) = sech(z_low)^2 bounds s (t - t_low).
    proof.by("(v) b <= sech^2", nonnegative, t - s * t, {s: (0, 1), t: (0, 1)})
    rise = (1 - low**2) - s * (low + (1 - low) * t - low)
    proof.by("(v) s (t - t_low) <= sech(z_low)^2", nonnegative, rise, {low: (0, 1), t: (0, 1), s: (0, 1)})


LEMMA = Lemma(
    name="scalar_rounding",
    statement=__doc__,
    source="Higham (2002), section 3.1; the counts are ours",
    code=("gpu_engine.rounding:SCALAR_UNITS", "gpu_engine.relaxations.sigmoid_times_tanh:upper_maximum"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_offsets.py"),
    check=_derive,
    controls={
        "32 units": lambda: _derive(U=32, push=SCALAR_UNITS),
        "64 units": lambda: _derive(U=64, push=SCALAR_UNITS),
        "a push by one tiny": lambda: _derive(U=96, push=1),
    },
)
