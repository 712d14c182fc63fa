"""The engine's bound of sigmoid(v) g(z) - a v - b z along a diagonal of an octagon, and of its interior maxima.

The candidates are those of `octagon_edges` (i) to (iii): sides and vertices as on boxes, diagonal edges, the inside. On
a diagonal z = e v + k, h is F along it; s = sigmoid(v), t = tanh(z), s' = s (1-s). Exact arithmetic; one plane.
(i)   h'' >= -n on [p, q]: h(x) <= chord + n (x-p) (q-x) / 2. With B = n (q-p)^2, r = h(q) - h(p) this is at most
      (h(p) + h(q)) / 2 + B/8 + r^2 / (2B), which is never below max(h(p), h(q)); for |r| >= B/2 that maximum is enough.
(ii)  2s - 1 = tanh(v/2), so -h'' = s' (tanh(v/2) g - 2 e g') - s g''. On a piece a product x y is largest at a corner;
      s' <= its larger end (or 1/4), g' lies between its ends (up to 1 if 0 lies between), -s g'' <= 2 s max(t, 0) g'.
(iii) The tangent plane at any p of C (`concave_region`) with gradient mu n + r, mu >= 0, where n . x <= level on the
      octagon: F(x) <= F(p) + mu (level - n . p) + max over the box of r . (x - p) at every interior maximum x.
(iv)  z -> -z exchanges v + z and v - z: so does the mirrored octagon.
"""

from __future__ import annotations

import sympy as sp

from gpu_engine.relaxations import octagon_edges, octagon_inside, octagon_maximum
from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import identity, largest_at_corner, nonnegative, source_has

v, z, x, p = sp.symbols("v z x p", real=True)
s = sp.Symbol("s", positive=True)
OO = sp.oo


def _pieces(quarter: int = 8) -> list[str]:
    """(i) quarter: of B."""
    proof = Proof()
    n, w, B = sp.symbols("n w B", positive=True)
    low, r, share = sp.symbols("low r share", real=True)
    # `octagon_edges` (iv): phi is below its chord, and h = phi - n (x-p) (x-q) / 2. x = p + share w.
    above = -n * (x - p) * (x - (p + w)) / 2
    here = above.subs(x, p + share * w)
    proof.by("n (x-p) (q-x) / 2 with x = p + share w", identity, here, n * w**2 * share * (1 - share) / 2)
    bound = low + share * r + B * share * (1 - share) / 2
    top = (low + (low + r)) / 2 + B / quarter + r**2 / (2 * B)
    proof.by("less than the top by a square", identity, top - bound, B / 2 * (share - sp.Rational(1, 2) - r / B) ** 2)
    for sign in (1, -1):
        end = low + (r + sign * r) / 2  # the larger end where sign r = |r|
        proof.by("the top less an end is a square", identity, top - end, (B / 2 - sign * r) ** 2 / (2 * B))
        # beyond: sign r = B/2 + small, small >= 0: nothing lies above that end
        y = sp.Symbol("y", nonnegative=True)
        steep = (end - bound).subs({r: sign * (B / 2 + y), share: share})
        proof.by(
            "a steep chord: the end is largest",
            nonnegative,
            steep,
            {share: (0, 1), y: (0, OO), B: (0, OO), low: (0, OO)},
        )
    source_has(octagon_maximum.Contour._on_diagonals, "over = (h[1:] + h[:-1]) / 2 + bend / 8 + rise * share / 2")
    source_has(octagon_maximum.Contour._on_diagonals, "torch.where(inside, over, torch.maximum(h[1:], h[:-1]))")
    return proof.steps


def _curvature(mixed: int = 2) -> list[str]:
    """(ii) mixed: what 2 e g' is counted."""
    proof = Proof()
    S = sigmoid(v)
    proof.by("2s - 1 = tanh(v/2)", identity, 2 * S - 1, sp.tanh(v / 2))
    e, g, dg, ddg, turn = sp.symbols("e g dg ddg turn", real=True)
    second = s * (1 - s) * (1 - 2 * s) * g + 2 * e * s * (1 - s) * dg + s * ddg
    closed = s * (1 - s) * (turn * g - mixed * e * dg) - s * ddg
    proof.by("-h'' in closed form", identity, -second, closed.subs(turn, 2 * s - 1))
    source_has(octagon_maximum._curvature, "bracket = turned + 2 * torch.where(direction < 0, g_most, -g_least)")
    source_has(octagon_maximum._curvature, "bend = steepest * bracket.clamp(min=0.0)")
    source_has(octagon_maximum._curvature, "g_most = torch.where((z[1:] > 0) != (z[:-1] > 0), 1.0, g_most)")
    source_has(octagon_maximum._curvature, "bend + 2 * s[1:] * torch.maximum(g[1:], g[:-1]).clamp(min=0.0) * g_most")
    # a bilinear function is an average of its corners
    a, b, c, d, one, two = sp.symbols("a b c d one two", real=True)
    at = (one * a + (1 - one) * b) * (two * c + (1 - two) * d)
    corners = one * (two * a * c + (1 - two) * a * d) + (1 - one) * (two * b * c + (1 - two) * b * d)
    proof.by("x y is an average of its corners", identity, at, corners)
    up, ratio, most = sp.symbols("up ratio most", positive=True)
    ranges = {up: (0, OO), ratio: (0, 1), most: (0, OO)}
    proof.by("s' x <= max s' max(x, 0)", nonnegative, most * up - ratio * most * up, ranges)
    X, Y, Z = sp.symbols("X Y Z", positive=True)
    corner = dict.fromkeys((X, Y, Z), "high")
    proof.by(
        "s max(t, 0) g' is largest at the largest ones",
        largest_at_corner,
        X * Y * Z,
        dict.fromkeys((X, Y, Z), (0, OO)),
        corner,
    )
    return proof.steps


def _tangent(sign: int = 1) -> list[str]:
    """(iii) and (iv). sign: of mu."""
    proof = Proof()
    mu, excess = sp.symbols("mu excess", nonnegative=True)
    q_v, q_z, n_v, n_z, r_v, r_z, level = sp.symbols("q_v q_z n_v n_z r_v r_z level", real=True)
    step = (mu * n_v + r_v) * (v - q_v) + (mu * n_z + r_z) * (z - q_z)
    rest = r_v * (v - q_v) + r_z * (z - q_z)
    at = n_v * v + n_z * z
    proof.by("g . (x-p)", identity, step - rest, mu * (at - n_v * q_v - n_z * q_z))
    gap = sign * mu * (level - n_v * q_v - n_z * q_z) - sign * mu * ((level - excess) - n_v * q_v - n_z * q_z)
    proof.by("n . x = level - excess", identity, gap, sign * mu * excess)
    proof.by("mu >= 0: the level is an upper bound", nonnegative, sign * mu * excess, {mu: (0, OO), excess: (0, OO)})
    source_has(octagon_inside._tangent, "mu = torch.minimum(n_v * f_v, n_z * f_z).clamp(min=0.0)")
    source_has(octagon_inside._tangent, "rise = mu * (level - n_v * v - n_z * z)")
    # r x is linear: over an interval it is largest at the upper end where r > 0, at the lower one where not
    source_has(octagon_inside._tangent, "torch.where(r_v > 0, r_v * (box_v.upper - v), r_v * (box_v.lower - v))")
    source_has(octagon_inside._tangent, "torch.where(r_z > 0, r_z * (box_z.upper - z), r_z * (box_z.lower - z))")
    proof.by("v + z of the mirror image is v - z", identity, (v + z).subs(z, -z), v - z)
    proof.by("v - z of the mirror image is v + z", identity, (v - z).subs(z, -z), v + z)
    source_has(
        octagon_edges.both_octagons,
        "Box(torch.stack((plus.lower, minus.lower)), torch.stack((plus.upper, minus.upper)))",
    )
    source_has(
        octagon_edges.both_octagons,
        "Box(torch.stack((minus.lower, plus.lower)), torch.stack((minus.upper, plus.upper)))",
    )
    return proof.steps


LEMMA = Lemma(
    name="octagon_offsets",
    statement=__doc__,
    source="Taylor's theorem; lemmas `octagon_edges`, `concave_region`; the bounds are ours",
    code=(
        "gpu_engine.relaxations.octagon:octagon",
        "gpu_engine.relaxations.octagon_edges:both_octagons",
        "gpu_engine.relaxations.octagon_maximum:octagon_maximum",
        "gpu_engine.relaxations.octagon_inside:inside_octagon",
    ),
    tests=(
        "tests/proofs/test_lemmas.py",
        "tests/engine/test_octagon_maximum.py",
        "tests/engine/test_octagon_inside.py",
    ),
    check=lambda: _pieces() + _curvature() + _tangent(),
    controls={
        "B / 16 at the top": lambda: _pieces(quarter=16),
        "e g' counted once": lambda: _curvature(mixed=1),
        "mu < 0": lambda: _tangent(sign=-1),
    },
)
