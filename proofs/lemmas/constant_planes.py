"""The largest value of sigmoid(v) g(z) on a box is at z = zu, and at v = vu where g(zu) >= 0, at v = vl where not.

Let s = sigmoid(v) > 0 and g increase, g(0) = 0 (tanh or the identity).
(i)   d/dz s g(z) = s g'(z) > 0, so for each v the maximum over z is s g(zu).
(ii)  d/dv s g(zu) = s (1-s) g(zu) has the sign of g(zu).
(iii) sigmoid, tanh and relu do not decrease: their range runs from end to end.
So the range of the product has its ends at corners, which `upper_maximum` with slopes 0 takes; the least value is that
of the mirrored box (`mirror_symmetry`).
Shapes: elementwise, any.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, identity, nonnegative, positive

v, z, zu = sp.symbols("v z zu", real=True)
s, t, size = sp.symbols("s t size", positive=True)
G = {"tanh": (sp.tanh, 1 - t**2), "identity": (lambda z: z, sp.Integer(1))}


def _derive(
    factor: Callable[[Expr], Expr] = sigmoid,
    first: Expr = s * (1 - s),
    range_of_s: tuple[Expr, Expr] = (0, 1),
    sign_where_falling: int = -1,
) -> list[str]:
    proof = Proof()
    for name, (g, slope) in G.items():
        product = factor(v) * g(z)
        proof.by(f"{name}: d/dz", identity, product.diff(z), factor(v) * slope.subs(t, sp.tanh(z)))
        proof.by(f"{name}: it increases in z", positive, s * slope, {s: range_of_s, t: (-1, 1)})
        along = first.subs(s, factor(v)) * g(zu)
        proof.by(f"{name}: d/dv on z = zu", identity, product.subs(z, zu).diff(v), along)
    proof.by("g(zu) >= 0: it does not decrease in v", nonnegative, first * size, {s: range_of_s, size: (0, sp.oo)})
    falling = -first * sign_where_falling * size
    proof.by("g(zu) < 0: it does not increase in v", nonnegative, falling, {s: range_of_s, size: (0, sp.oo)})
    # sigmoid' and tanh' as in `s_curve_maximum`; relu is straight with slope 0, then 1.
    proof.by("sigmoid increases", positive, s * (1 - s), {s: (0, 1)})
    proof.by("tanh increases", positive, 1 - t**2, {t: (-1, 1)})
    return proof.steps


LEMMA = Lemma(
    name="constant_planes",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), appendix B.1, constant bounding",
    code=(
        "gpu_engine.relaxations.constants:constants",
        "gpu_engine.relaxations.curve_lines:constant_lines",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_relaxations.py"),
    check=_derive,
    controls={
        "a first factor that takes both signs": lambda: _derive(factor=sp.tanh, first=1 - s**2, range_of_s=(-1, 1)),
        "derivative s instead of s (1-s)": lambda: _derive(first=s),
        "increasing in v also where g(zu) < 0": lambda: _derive(sign_where_falling=1),
    },
)
