"""The maximum of sigmoid(v) g(z) - a v - b z over an octagon lies on its edges or at a critical point inside.

An octagon is a box [vl, vu] x [zl, zu] cut by sl <= v + z <= su and dl <= v - z <= du; g is the identity or tanh; s =
sigmoid(v), t = tanh(z). F is the function above less a constant.
(i)   At a point where no bound is an equality a whole neighbourhood belongs to the octagon: a maximum there is one of F
      on an open set. For the identity there is none (`candidates_identity` (ii)), for tanh it lies in the region C of
      `concave_region`. All other points lie on one of the eight lines.
(ii)  Ends of edges: v + z = s has v = s - z = (s + (v - z)) / 2; v - z = d has v = d + z = ((v + z) + d) / 2; v = v0
      has z = (v + z) - v0 = v0 - (v - z); likewise z = z0. The least box: v = ((v + z) + (v - z)) / 2,
      z = ((v + z) - (v - z)) / 2. Where su >= vu + zu, v + z = su meets the box in (vu, zu) at most; so do the others.
(iii) Along z = e v + k, e = 1 or -1, F is h with h'' = sigmoid''(v) g(z) + 2 e sigmoid'(v) g'(z) + sigmoid(v) g''(z),
      so -h'' = s (1-s) ((2s - 1) g - 2 e g') - s g'', and -tanh'' = 2 t tanh'.
(iv)  h'' >= -n on [p, q], n >= 0: h(x) <= max(h(p), h(q)) + n (q - p)^2 / 8 there.
(v)   Between two points sigmoid and tanh lie between their values at them; sigmoid' and tanh' also do, unless 0 lies
      between: then up to 1/4 and 1, the largest of all, |sigmoid''| <= 1 / (6 sqrt 3), |tanh''| <= 4 / (3 sqrt 3).
(vi)  A rectangle with vl + zl >= su (or the like) holds no point of the octagon's interior.
Shapes: one plane.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.lemmas.s_curve_maximum import sigmoid
from proofs.tactics import Expr, above_tangents, identity, nonnegative, source_has
from refcert.kernel import cell_proof, diagonal_proof, octagon

v, z, a, b, c, k, x, p = sp.symbols("v z a b c k x p", real=True)
s, t = sp.symbols("s t", positive=True)
ROOT = sp.sqrt(3)
OO = sp.oo


def _ends(corner: tuple[str, str] = ("upper", "upper")) -> list[str]:
    """(ii) and (vi). corner: of the box, the one that v + z = su >= its sum meets at most."""
    proof = Proof()
    plus, minus = v + z, v - z
    proof.by("v + z = s: v = s - z", identity, plus - z, v)
    proof.by("v + z = s: v = (s + (v - z)) / 2, as on v - z = d and in the least box", identity, (plus + minus) / 2, v)
    proof.by("v - z = d: v = d + z", identity, minus + z, v)
    proof.by("v = v0: z = (v + z) - v0", identity, plus - v, z)
    proof.by("v = v0: z = v0 - (v - z)", identity, v - minus, z)
    proof.by("the least box: z = ((v + z) - (v - z)) / 2", identity, (plus - minus) / 2, z)
    source_has(octagon.diagonals, "_lowest(claim.lower_v, s - high_z, (s + low_minus) / 2)")
    source_has(octagon.diagonals, "_lowest(claim.lower_v, d + low_z, (low_plus + d) / 2)")
    # A point of the box, `below` its upper ends and `above` its lower ones, on v + z = su = sum of the corner + room.
    low_v, low_z = sp.symbols("low_v low_z", real=True)
    names = ("below_v", "below_z", "above_v", "above_z", "room")
    below_v, below_z, above_v, above_z, room = sp.symbols(" ".join(names), nonnegative=True)
    ranges = dict.fromkeys((below_v, below_z, above_v, above_z, room), (0, OO))
    ends = {"upper": (low_v + above_v + below_v, low_z + above_z + below_z), "lower": (low_v, low_z)}
    su = ends[corner[0]][0] + ends[corner[1]][1] + room
    # So where it is 0, the point is the corner.
    missing = su - (low_v + above_v) - (low_z + above_z)
    proof.by("an implied bound: what v + z lacks", identity, missing, room + below_v + below_z)
    proof.by("it is not negative", nonnegative, missing, ranges)
    proof.by(
        "a rectangle beyond: v + z >= vl + zl >= su",
        nonnegative,
        (low_v + above_v) + (low_z + above_z) - (low_v + low_z),
        ranges,
    )
    source_has(cell_proof._Search.outside, "surely_not_negative(low_v + low_z - high_plus)")
    return proof.steps


def _along(turned: Callable[[int], int] = lambda e: e) -> list[str]:
    """(iii). turned: the sign of the mixed term for the edge's direction."""
    proof = Proof()
    for e, edge in ((1, "v - z = d"), (-1, "v + z = s")):
        for name, g in (("identity", lambda y: y), ("tanh", sp.tanh)):
            h = sigmoid(v) * g(e * v + k) - a * v - b * (e * v + k) - c
            S = sigmoid(v)
            d1, d2 = (w.diff(z).subs(z, e * v + k) for w in (g(z), g(z).diff(z)))
            second = S * (1 - S) * (1 - 2 * S) * g(e * v + k) + 2 * turned(e) * S * (1 - S) * d1 + S * d2
            proof.by(f"{name}, {edge}: h''", identity, h.diff(v, 2), second)
    e, g, dg, ddg = sp.symbols("e g dg ddg", real=True)
    second = s * (1 - s) * (1 - 2 * s) * g + 2 * e * s * (1 - s) * dg + s * ddg
    ds = s * (1 - s)
    proof.by("-h'' as computed, identity", identity, -second.subs({dg: 1, ddg: 0}), ds * ((s + s - 1) * g - 2 * e))
    computed = ds * ((s + s - 1) * g - 2 * e * dg) + 2 * s * g * dg
    proof.by("-h'' as computed, tanh", identity, -second.subs(ddg, -2 * g * dg), computed)
    source_has(diagonal_proof._Line.bend, "ds * ((s + s - ONE) * g - 2 * self.turn)")
    source_has(diagonal_proof._Line.bend, "ds * ((s + s - ONE) * g - 2 * self.turn * dg) + 2 * s * g * dg")
    return proof.steps


def _chord(part: int = 8) -> list[str]:
    """(iv). part: of n (q - p)^2."""
    proof = Proof()
    n, bent, w = sp.symbols("n bent w", nonnegative=True)
    # phi = h + n (x - p) (x - q) / 2 has phi'' = h'' + n = bent >= 0: above its tangents, so below its chord, as an
    # average of the ends (`s_curve_maximum`).
    q = p + w
    bow = n * (x - p) * (x - q) / 2
    proof.by("phi'' = h'' + n", identity, bow.diff(x, 2), n)
    proof.by("phi is convex", above_tangents, bent, {bent: (0, OO)})
    for end in (p, q):
        proof.by(f"phi = h at {end}", identity, bow.subs(x, end))
    share = sp.Symbol("share", real=True)
    value, slope = sp.symbols("value slope", real=True)
    at = share * p + (1 - share) * q
    tangents = share * (value + slope * (p - at)) + (1 - share) * (value + slope * (q - at))
    proof.by("convex: an average of the ends is at least the value inside", identity, tangents, value)
    half = sp.Symbol("half", real=True)  # the distance from the middle
    top = n * w**2 / part - (-bow).subs(x, p + w / 2 + half)
    square = n * half**2 / 2
    proof.by("h - phi is largest in the middle: n w^2 / 8", identity, top, square)
    return proof.steps


def _constants(
    sigmoid_bend: Expr = 1 / (6 * ROOT), tanh_bend: Expr = 4 / (3 * ROOT), steepest: Expr = sp.Rational(1, 4)
) -> list[str]:
    """(v). The bounds of |sigmoid''|, |tanh''| and sigmoid'."""
    proof = Proof()
    S, T = sigmoid(v), sp.tanh(z)
    proof.by("sigmoid' = s (1-s)", identity, S.diff(v), S * (1 - S))
    proof.by("sigmoid'' = s (1-s) (1-2s)", identity, S.diff(v, 2), S * (1 - S) * (1 - 2 * S))
    proof.by("tanh'' = -2 t (1-t^2)", identity, T.diff(z, 2), -2 * T * (1 - T**2))
    first = s * (1 - s)
    proof.by("sigmoid' rises for v < 0", nonnegative, first.diff(s), {s: (0, sp.Rational(1, 2))})
    proof.by("sigmoid' falls for v > 0", nonnegative, -first.diff(s), {s: (sp.Rational(1, 2), 1)})
    proof.by("1/4 - sigmoid' is a square", identity, steepest - first, (s - sp.Rational(1, 2)) ** 2)
    proof.by("tanh' rises for z < 0", nonnegative, (1 - t**2).diff(t), {t: (-1, 0)})
    proof.by("tanh' falls for z > 0", nonnegative, -(1 - t**2).diff(t), {t: (0, 1)})
    proof.by("1 - tanh' is a square", identity, 1 - (1 - t**2), t**2)
    # With m = s (1-s) <= 1/4 and r = t^2 <= 1 the squares are m^2 (1 - 4m) and 4 r (1-r)^2.
    m, r = sp.symbols("m r", positive=True)
    proof.by("sigmoid''^2 in m", identity, (first * (1 - 2 * s)) ** 2, first**2 * (1 - 4 * first))
    gap = sigmoid_bend**2 - m**2 * (1 - 4 * m)
    proof.by("1 / 108 less it", identity, gap, (m - sp.Rational(1, 6)) ** 2 * (4 * m + sp.Rational(1, 3)))
    gap = tanh_bend**2 - 4 * r * (1 - r) ** 2
    factor = 4 * (sp.Rational(4, 3) - r)
    proof.by("16 / 27 less tanh''^2", identity, gap, (r - sp.Rational(1, 3)) ** 2 * factor)
    proof.by("its other factor is not negative", nonnegative, factor, {r: (0, 1)})
    return proof.steps


LEMMA = Lemma(
    name="octagon_edges",
    statement=__doc__,
    source="Taylor's theorem; lemmas `candidates_identity`, `concave_region`, `kernel_exits`; the edges are ours",
    code=(
        "refcert.kernel.octagon:shrunk",
        "refcert.kernel.octagon:axes",
        "refcert.kernel.octagon:diagonals",
        "refcert.kernel.diagonal_proof:holds_on_diagonal",
        "refcert.kernel.cell_proof:holds_in_cells",
        "refcert.kernel.octagon_proof:OctagonProof",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/kernel/test_octagon_proof.py"),
    check=lambda: _ends() + _along() + _chord() + _constants(),
    controls={
        "a bound is implied by the sum of a lower and an upper end": lambda: _ends(corner=("lower", "upper")),
        "the mixed term has the same sign on both diagonals": lambda: _along(turned=lambda e: 1),
        "the mixed term has the other sign": lambda: _along(turned=lambda e: -e),
        "n w^2 / 16": lambda: _chord(part=16),
        "|sigmoid''| <= 1 / 11": lambda: _constants(sigmoid_bend=sp.Rational(1, 11)),
        "|tanh''| <= 3 / 4": lambda: _constants(tanh_bend=sp.Rational(3, 4)),
        "sigmoid' <= 1 / 5": lambda: _constants(steepest=sp.Rational(1, 5)),
    },
)
