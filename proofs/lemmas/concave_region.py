"""sigmoid(v) tanh(z) is concave on a convex region C that holds every interior maximum.

Let f = s t, s = sigmoid(v), t = tanh(z), and C = {z > 0, t^2 (3s-1) >= 1-s}.
(i)   At an interior local maximum of F = f - a v - b z the Hessian of f is negative semidefinite, which
      holds exactly on C; on C also s > 1/2.
(ii)  C = {z > 0, v >= V(z)}, V(z) = log(1 + sech(z)^2 / (2 tanh(z)^2)), equivalently
      exp(-v) <= 2 t^2 / (1+t^2). V is positive, falls, and is convex: with y = 2z it is
      log cosh y - 2 log sinh(y/2) - log 2 and V'' = sech(y)^2 + csch(y/2)^2 / 2 > 0. So C is convex,
      and a point moved to larger v or z stays in C.
(iii) For any point p of C and any q of C: F(q) <= F(p) + grad F(p) (q - p). So the tangent plane at any p of C,
      maximised over a set that holds all interior maxima, bounds F there.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, identity, nonnegative, positive, tangent_remainder

v, z, y, dv, dz = sp.symbols("v z y dv dz", real=True)
s, t, E, h, theta = sp.symbols("s t E h theta", positive=True)
HALF = sp.Rational(1, 2)


def _hessian(level: Expr = sp.S.One) -> list[str]:
    """(i) for the region t^2 (3s-1) >= level (1-s); true for level 1 only."""
    proof = Proof()
    f = sigmoid(v) * sp.tanh(z)
    f_vv, f_vz, f_zz = s * (1 - s) * (1 - 2 * s) * t, s * (1 - s) * (1 - t**2), -2 * s * t * (1 - t**2)
    here = {s: sigmoid(v), t: sp.tanh(z)}
    for name, order, value in (("f_vv", (v, v), f_vv), ("f_vz", (v, z), f_vz), ("f_zz", (z, z), f_zz)):
        proof.by(name, identity, sp.diff(f, *order), value.subs(here))
    inside = {s: (0, 1), t: (0, 1)}
    region = t**2 * (3 * s - 1) - level * (1 - s)
    determinant = f_vv * f_zz - f_vz**2
    factor = s**2 * (1 - s) * (1 - t**2)
    # Necessary: f_zz <= 0 excludes t < 0, a zero determinant excludes t = 0 (`candidates_tanh`).
    proof.by("t < 0: f_zz > 0", positive, f_zz.subs(t, -t), inside)
    proof.by("t = 0: determinant < 0", positive, -determinant.subs(t, 0), {s: (0, 1)})
    proof.by("t > 0: determinant >= 0 is the region's inequality", identity, determinant, factor * region)
    proof.by("its factor is positive", positive, factor, inside)
    # Sufficient: on the region E = exp(-v) = theta E_max with theta <= 1, and s = 1 / (1 + E).
    largest = 2 * t**2 / (level + (2 * level - 1) * t**2)
    edge = region.subs(s, 1 / (1 + E))
    proof.by("the region is E <= E_max", identity, sp.numer(sp.together(edge.subs(E, largest))))
    on_region = {s: 1 / (1 + theta * largest)}
    ranges = {theta: (0, 1), t: (0, 1)}
    proof.by("on C: determinant >= 0", nonnegative, determinant.subs(on_region), ranges)
    proof.by("on C: s > 1/2", positive, (s - HALF).subs(on_region), ranges)
    proof.by("on C: f_vv < 0", positive, -f_vv.subs(on_region), ranges)
    proof.by("on C: f_zz < 0", positive, -f_zz, inside)
    square = f_zz * (dz + f_vz / f_zz * dv) ** 2 + (determinant / f_zz) * dv**2
    form = f_vv * dv**2 + 2 * f_vz * dv * dz + f_zz * dz**2
    proof.by("f_zz < 0 and determinant >= 0 make the form <= 0", identity, form, square)
    # tau -> F(p + tau (q-p)) has second derivative form <= 0 on a segment inside the convex C.
    proof.by("concave along segments: F lies below its tangent planes", tangent_remainder)
    return proof.steps


def _graph(weight: Expr = HALF) -> list[str]:
    """(ii) for V(z) = log(1 + weight sech^2 / tanh^2); true for weight 1/2."""
    proof = Proof()
    grows = 1 + weight * (1 - t**2) / t**2  # exp(V)
    region = (t**2 * (3 * s - 1) - (1 - s)).subs(s, 1 / (1 + E)) * (1 + E)
    proof.by("t^2 (3s-1) >= 1-s iff 2 t^2 >= E (1+t^2), E = exp(-v)", identity, region, 2 * t**2 - E * (1 + t**2))
    proof.by("exp(V) = (1+t^2) / (2 t^2)", identity, grows, (1 + t**2) / (2 * t**2))
    proof.by("V > 0", positive, grows - 1, {t: (0, 1)})
    proof.by("V falls: a larger z stays in C", positive, -sp.diff(grows, t), {t: (0, 1)})
    T = sp.tanh(y / 2)
    same = sp.cosh(y) / (2 * sp.sinh(y / 2) ** 2)
    proof.by("exp(V) = cosh(y) / (2 sinh(y/2)^2), y = 2z", identity, grows.subs(t, T), same)
    V = sp.log(sp.cosh(y)) - 2 * sp.log(sp.sinh(y / 2)) - sp.log(2)
    curvature = 1 / sp.cosh(y) ** 2 + 1 / (2 * sp.sinh(y / 2) ** 2)
    proof.by("V''", identity, V.diff(y, 2), curvature)
    # With h = exp(y) > 1: cosh(y) = (h + 1/h)/2, sinh(y/2)^2 = (h + 1/h - 2)/4.
    in_h = 4 / (h + 1 / h) ** 2 + 2 / (h + 1 / h - 2)
    proof.by("V'' in h = exp(y)", identity, curvature, in_h.subs(h, sp.exp(y)))
    proof.by("V'' > 0, so C is convex", positive, in_h, {h: (1, sp.oo)})
    return proof.steps


LEMMA = Lemma(
    name="concave_region",
    statement=__doc__,
    source="theory section 3 (interior candidates); the region is ours",
    code=("gpu_engine.relaxations.sigmoid_times_tanh:upper_maximum",),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_offsets.py"),
    check=lambda: _hessian() + _graph(),
    controls={
        "a larger region": lambda: _hessian(level=HALF),
        "a smaller region holds all maxima": lambda: _hessian(level=sp.Integer(2)),
        "V with sech^2 / tanh^2": lambda: _graph(weight=sp.Integer(1)),
        "V with sech^2 / (4 tanh^2)": lambda: _graph(weight=sp.Rational(1, 4)),
    },
)
