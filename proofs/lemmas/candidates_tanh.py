"""All candidates for the maximum of sigmoid(v) tanh(z) - a v - b z over a box, and where the inner one lies.

Let F(v, z) = s t - a v - b z, s = sigmoid(v), t = tanh(z). For finite v, z: 0 < s < 1, -1 < t < 1.
(i)   F_v = s (1-s) t - a and F_z = s (1-t^2) - b. On the sides z = z0: s (1-s) = a / tanh(z0); on v = v0:
      1-t^2 = b / sigmoid(v0). Inside: t = a / (s (1-s)) and psi(s) := (s-b) s (1-s)^2 = a^2.
(ii)  An interior local maximum has t > 0, a > 0, b > 0, s > b, 1-t^2 = b/s.
(iii) For 0 < b < 1, log psi is concave on (b, 1) in s and in v; psi has one peak there, at
      s_peak = (2+3b+R)/8, R = sqrt(4-4b+9b^2), 1-s_peak = 4 (1-b) / (6-3b+R), b < s_peak < 1.
      v_peak = log((2+3b+R) (6-3b+R) / (32 (1-b))).
(iv)  An interior local maximum has s >= s_peak: along the curve F_z = 0, z > 0, the function
      G(v) = F(v, z(v)) has G' = sqrt(psi) - a, and a local maximum of F is one of G, so psi' <= 0.
(v)   On that curve s = b cosh(z)^2 increases with z: z <= zu implies v <= logit(b cosh(zu)^2).
(vi)  psi(s) <= (1-b) (1-s)^2 (start of Newton's method; tightness only).
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, equal_sets_of_roots, identity, nonnegative, positive, with_square

v, z, a, b = sp.symbols("v z a b", real=True)
s, t, R, B = sp.symbols("s t R B", positive=True)
SQUARE = 4 - 4 * b + 9 * b**2  # R^2


def _gradient(quartic: Callable[[Expr], Expr] = lambda s: (s - b) * s * (1 - s) ** 2) -> list[str]:
    proof = Proof()
    S, T = sigmoid(v), sp.tanh(z)
    F = S * T - a * v - b * z
    F_v, F_z = s * (1 - s) * t - a, s * (1 - t**2) - b
    here = {s: S, t: T}
    proof.by("F_v = s (1-s) t - a", identity, F.diff(v), F_v.subs(here))
    proof.by("F_z = s (1-t^2) - b", identity, F.diff(z), F_z.subs(here))
    stationary = F_z.subs(t, a / (s * (1 - s))) * s * (1 - s) ** 2
    proof.by("inside: F_z = 0 is psi(s) = a^2", identity, stationary, quartic(s) - a**2)
    # Second-order condition of a local maximum: F_vv <= 0, F_zz <= 0, determinant >= 0.
    F_zz = -2 * s * t * (1 - t**2)
    F_vz = s * (1 - s) * (1 - t**2)
    proof.by("F_zz", identity, F.diff(z, 2), F_zz.subs(here))
    proof.by("F_vz", identity, F.diff(v, z), F_vz.subs(here))
    inside = {s: (0, 1), t: (0, 1)}
    proof.by("F_zz > 0 for t < 0", positive, F_zz.subs(t, -t), inside)
    determinant = sp.Matrix(sp.hessian(F, (v, z))).det().subs(z, 0)
    proof.by("t = 0: the determinant is -F_vz^2", identity, determinant, -(F_vz.subs(t, 0).subs(s, S) ** 2))
    proof.by("t = 0: F_vz > 0, so there is no maximum", positive, F_vz.subs(t, 0), {s: (0, 1)})
    proof.by("t > 0: a = s (1-s) t > 0", positive, F_v + a, inside)
    proof.by("t > 0: b = s (1-t^2) > 0", positive, F_z + b, inside)
    proof.by("t > 0: s - b = s t^2 > 0", positive, s - (F_z + b), inside)
    return proof.steps


def _peak(root_sign: int = 1, falls_right: bool = True, power: int = 2) -> list[str]:
    """(iii) and (iv). root_sign and the others exist for the controls."""
    proof = Proof()
    psi = (s - b) * s * (1 - s) ** power
    ranges = {b: (0, 1), s: (b, 1)}
    proof.by("psi > 0 on (b, 1)", positive, psi, ranges)
    log_slope = sp.together(sp.diff(psi, s) / psi)
    proof.by("log psi is concave in s", positive, -sp.diff(log_slope, s), ranges)
    in_v = s * (1 - s) * log_slope  # d/dv = s (1-s) d/ds
    proof.by("log psi is concave in v", positive, -sp.diff(in_v, s) * s * (1 - s), ranges)
    code = (1 - s) * (s / (s - b) + 1) - 2 * s
    proof.by("the code's derivative of log psi in v", identity, in_v, code)
    Q = -4 * s**2 + (2 + 3 * b) * s - b
    proof.by("psi' = (1-s) Q(s)", identity, sp.diff(psi, s), (1 - s) * Q)
    peak = (2 + 3 * b + root_sign * R) / 8
    other = (2 + 3 * b - root_sign * R) / 8
    proof.by("R^2 > 0", positive, SQUARE, {b: (0, 1)}, polya=4)
    product = -4 * (s - peak) * (s - other)
    proof.by("Q = -4 (s - s_peak) (s - other root)", identity, with_square(Q - product, R, SQUARE))
    proof.by("the peak is the larger root", positive, peak - other, {R: (0, sp.oo)})
    # Q > 0 exactly between its roots. Q(b) > 0 > Q(1), b < 1: b lies between the roots, 1 right of both.
    proof.by("b < s_peak: Q(b) > 0", positive, Q.subs(s, b), {b: (0, 1)})
    proof.by("s_peak < 1: Q(1) < 0", positive, -Q.subs(s, 1), {b: (0, 1)})
    complement = 4 * (1 - b) / (6 - 3 * b + root_sign * R)
    gap = with_square(sp.numer(sp.together(1 - peak - complement)), R, SQUARE)
    proof.by("1 - s_peak", identity, gap)
    odds = (2 + 3 * b + R) * (6 - 3 * b + R) / (32 * (1 - b))
    proof.by("the code's v_peak is logit(s_peak)", identity, peak / complement, odds)
    # Along F_z = 0: t^2 = 1 - b/s, and F_z = 0 removes dz/dv from G'.
    proof.by("(s (1-s) t)^2 = psi on the curve", identity, (s * (1 - s)) ** 2 * (1 - b / s), psi)
    slope = (1 - s) * sp.sqrt(s * (s - b))  # G' + a, the positive root of psi
    curvature = sp.diff(slope, s) * s * (1 - s)
    proof.by("G' + a = sqrt(psi)", identity, slope**2, psi)
    proof.by("2 sqrt(psi) G'' = psi' s (1-s)", identity, 2 * slope * curvature, sp.diff(psi, s) * s * (1 - s))
    left, right = (with_square(Q.subs(s, peak + step), R, SQUARE) for step in (-B, B))
    left, right = (left, right) if falls_right else (right, left)
    # b lies between the roots, which are R/4 apart: psi' > 0 on all of (b, s_peak).
    proof.by("left of the peak psi' > 0, so a maximum has s >= s_peak", positive, left, {R: (0, sp.oo), B: (0, R / 4)})
    proof.by("right of the peak psi' < 0", positive, -right, {R: (0, sp.oo), B: (0, sp.oo)})
    return proof.steps


def _curve(bound: Callable[[Expr], Expr] = lambda s: (1 - B) * (1 - s) ** 2) -> list[str]:
    proof = Proof()
    on_curve = b / (1 - sp.tanh(z) ** 2)
    proof.by("s = b cosh(z)^2 on the curve", identity, on_curve, b * sp.cosh(z) ** 2)
    # d/dz b cosh^2 = 2 b cosh sinh = b (e^(2z) - e^(-2z)) / 2; with e^(2z) = 1 + t, t > 0.
    derivative = sp.diff(b * sp.cosh(z) ** 2, z)
    proof.by("its derivative", identity, derivative, b * (sp.exp(2 * z) - sp.exp(-2 * z)) / 2)
    proof.by("it increases for z > 0", positive, B * (t - 1 / t) / 2, {B: (0, 1), t: (1, sp.oo)})
    proof.by("logit increases", positive, sp.diff(sp.log(s / (1 - s)), s), {s: (0, 1)})
    gap = bound(s) - (s - B) * s * (1 - s) ** 2
    proof.by("psi <= (1-b) (1-s)^2", nonnegative, gap, {B: (0, 1), s: (B, 1)})
    return proof.steps


def _sides() -> list[str]:
    proof = Proof()
    k, q = sp.symbols("k q", positive=True)
    roots = [(1 + k) / 2, (1 - k) / 2]
    proof.by("on z = z0 two roots in s", equal_sets_of_roots, s * (1 - s) - (1 - k**2) / 4, s, roots)
    proof.by("on v = v0 two roots in t", equal_sets_of_roots, 1 - t**2 - (1 - q**2), t, [q, -q])
    return proof.steps


LEMMA = Lemma(
    name="candidates_tanh",
    statement=__doc__,
    source="theory section 3; POPQORN (Ko et al. 2019), equations 25 and 26",
    code=("gpu_engine.relaxations.sigmoid_times_tanh:upper_maximum",),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_offsets.py"),
    check=lambda: _gradient() + _sides() + _peak() + _curve(),
    controls={
        "a cubic instead of the quartic": lambda: _gradient(quartic=lambda s: (s - b) * s * (1 - s)),
        "s + b instead of s - b": lambda: _gradient(quartic=lambda s: (s + b) * s * (1 - s) ** 2),
        "the peak is the smaller root": lambda: _peak(root_sign=-1),
        "a maximum has s <= s_peak": lambda: _peak(falls_right=False),
        "psi with the first power of 1-s": lambda: _peak(power=1),
        "psi <= (1-b) (1-s)^3": lambda: _curve(bound=lambda s: (1 - B) * (1 - s) ** 3),
    },
)
