"""Bounding one factor of sigmoid(v) g(z) by its line and the other by its range gives a plane with one zero slope.

Let s = sigmoid(v) in [s1, s2], 0 < s1 <= s2, g increase with g(0) = 0, and l(v) <= s <= u(v) be lines on the interval.
(i)   Appendix A.6 of POPQORN: s g(z) <= H(v), H = u g(zu) where g(zu) >= 0 and H = l g(zu) where g(zu) < 0. So the
      code's offset, which is exact, is at most H's for the same slope.
(ii)  max over z of s g(z) is s g(zu): the S-shaped curve of `s_curve_maximum` with scale g(zu).
(iii) max over v of s g(z) is m(z) = s2 g(z) for z >= 0 and s1 g(z) for z <= 0: convex for z <= 0, concave for z >= 0
      (for g = identity straight on both), and its slope at 0 does not fall from left to right. So m is S-shaped, as the
      exchange of contact points needs: tightness only.
Lower planes are mirrored (`mirror_symmetry`). Shapes: elementwise, any.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, above_tangents, below_tangents, identity, nonnegative, positive

s1, ds, es, size, fall, above, below = sp.symbols("s1 ds es size fall above below", positive=True)
t = sp.Symbol("t", real=True)
z = sp.Symbol("z", real=True)
OO = sp.oo


def _a6(swapped: bool = False) -> list[str]:
    """(i) and (ii): g = g(zu) - fall, u = s + above, l = s - below."""
    proof = Proof()
    s = s1 + ds
    ranges = dict.fromkeys((s1, ds, size, fall, above, below), (0, OO))
    for name, end, line in (
        ("g(zu) >= 0", size, s - below if swapped else s + above),
        ("g(zu) < 0", -size, s + above if swapped else s - below),
    ):
        g = end - fall
        proof.by(f"{name}: s g <= s g(zu)", nonnegative, sp.expand(s * end - s * g), ranges)
        proof.by(f"{name}: s g <= H", nonnegative, sp.expand(line * end - s * g), ranges)
    return proof.steps


def _over_v(swapped: bool = False, second: Expr = -2 * t * (1 - t**2)) -> list[str]:
    """(iii): s = s1 + ds and s2 = s + es."""
    proof = Proof()
    s, s2 = s1 + ds, s1 + ds + es
    ranges = dict.fromkeys((s1, ds, es, size), (0, OO))
    right, left = (s1, s2) if swapped else (s2, s1)
    proof.by("z >= 0: s g <= m", nonnegative, sp.expand((right - s) * size), ranges)
    proof.by("z <= 0: s g <= m", nonnegative, sp.expand((left - s) * -size), ranges)
    proof.by("tanh''", identity, sp.tanh(z).diff(z, 2), second.subs(t, sp.tanh(z)))
    proof.by("tanh, z <= 0: convex", above_tangents, s1 * second, {s1: (0, OO), t: (-1, 0)})
    proof.by("tanh, z >= 0: concave", below_tangents, s1 * second, {s1: (0, OO), t: (0, 1)})
    # g'(0) = 1 for both: the slopes at 0 are left and right themselves.
    for name, slope in (("tanh", sp.tanh(z).diff(z).subs(z, 0)), ("identity", z.diff(z))):
        proof.by(f"{name}: g'(0) = 1", identity, slope, 1)
    proof.by("the slope at 0 does not fall", positive, right - left, ranges)
    return proof.steps


LEMMA = Lemma(
    name="one_slope_lines",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), appendix A.6, proof of theorem A.5",
    code=("gpu_engine.relaxations.lines:lines", "gpu_engine.relaxations.lines:lines_either"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_relaxations.py"),
    check=lambda: _a6() + _over_v(),
    controls={
        "the sigmoid's lines exchanged": lambda: _a6(swapped=True),
        "the ends of the sigmoid's range exchanged": lambda: _over_v(swapped=True),
        "tanh'' with the other sign": lambda: _over_v(second=2 * t * (1 - t**2)),
    },
)
