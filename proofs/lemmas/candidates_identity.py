"""The maximum of sigmoid(v) z - a v - b z over a box lies on the sides z = zl or z = zu.

Let F(v, z) = s z - a v - b z, s = sigmoid(v), on the box [vl, vu] x [zl, zu].
(i)   F is linear in z for fixed v, so max_box F = max over z0 in {zl, zu} of max_v F(v, z0).
(ii)  Its Hessian has determinant -(s (1-s))^2 < 0 everywhere: no maximum lies inside.
(iii) On z = z0 the maximum is at an end of [vl, vu] or where z0 s (1-s) = a, a quadratic equation in s:
      at most two roots, s and 1 - s of one of them. For z0 = 0 the side is linear in v.
So corners and these roots are all the candidates; `s_curve_maximum` bounds them without an exact root.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, equal_sets_of_roots, identity, positive

v, z, a, b, zl, zu, share, z0, r = sp.symbols("v z a b zl zu share z0 r", real=True)
s = sp.Symbol("s", positive=True)


def _derive(
    g: Callable[[Expr], Expr] = lambda z: z,
    determinant: Callable[[Expr], Expr] = lambda s: -((s * (1 - s)) ** 2),
    side: Callable[[Expr], Expr] = lambda s: z0 * s * (1 - s) - a,
) -> list[str]:
    proof = Proof()
    S = sigmoid(v)

    def objective(v: Expr, z: Expr) -> Expr:
        return sigmoid(v) * g(z) - a * v - b * z

    between = share * zl + (1 - share) * zu
    average = share * objective(v, zl) + (1 - share) * objective(v, zu)
    proof.by("F between the sides is an average of F on the sides", identity, objective(v, between), average)
    hessian = sp.hessian(objective(v, z), (v, z))
    proof.by("determinant of the Hessian", identity, hessian.det(), determinant(S))
    proof.by("the determinant is negative", positive, -determinant(s), {s: (0, 1)})
    proof.by("derivative along z = z0", identity, objective(v, z0).diff(v), side(S))
    # With r = sqrt(1 - 4 a / z0) the two roots are (1 +- r) / 2; a = z0 (1 - r^2) / 4.
    stationary = sp.expand(side(s).subs(a, z0 * (1 - r**2) / 4))
    proof.by("its two roots", equal_sets_of_roots, stationary, s, [(1 + r) / 2, (1 - r) / 2])
    proof.by("for z0 = 0 the side is linear in v", identity, objective(v, 0).diff(v, 2))
    return proof.steps


LEMMA = Lemma(
    name="candidates_identity",
    statement=__doc__,
    source="theory section 3; POPQORN (Ko et al. 2019), equations 25 and 26",
    code=("gpu_engine.relaxations.sigmoid_times_identity:upper_maximum",),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_offsets.py"),
    check=_derive,
    controls={
        "the same for g(z) = z^2": lambda: _derive(g=lambda z: z**2),
        "the same for g = tanh": lambda: _derive(g=sp.tanh),
        "a positive determinant": lambda: _derive(determinant=lambda s: (s * (1 - s)) ** 2),
        "side equation z0 s = a": lambda: _derive(side=lambda s: z0 * s - a),
    },
)
