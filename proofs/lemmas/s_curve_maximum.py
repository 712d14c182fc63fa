"""A sigmoid or tanh minus a line is bounded by interval ends and ANY tangent of its concave half.

Let s = sigmoid(v), t = tanh(z), h = k s - a v or k t - a z, and [l, u] an interval.
(i)   sigmoid'' = s (1-s) (1-2s), tanh'' = -2 t (1-t^2): for k >= 0 the curve h is convex on x <= 0 and
      concave on x >= 0; for k <= 0 the halves are exchanged.
(ii)  Where h is convex its maximum over an interval is at the ends. Where h is concave, for any p there,
      h(x) <= h(p) + h'(p) (x - p) <= h(p) + max(h'(p) (low - p), h'(p) (high - p)), [low, high] being the
      part of [l, u] in the concave half. Hence max over [l, u] <= max(h(l), h(u), that bound): 0 belongs to
      both halves, so the end 0 of the convex half is covered by the tangent.
(iii) The point p used: s (1-s) = q has 1-s = w = 2q / (1 + sqrt(1-4q)), v = log((1-w)/w) >= 0;
      1-t^2 = q has z = log((1 + sqrt(1-q)) / sqrt(q)). p need not be exact.
(iv)  1-t^2 = 4 e / (1+e)^2 with e = exp(-2 |z|), between 0 and 1.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, above_tangents, below_tangents, identity, nonnegative, positive

v, z, p, first, last = sp.symbols("v z p first last", real=True)
s, t, w, r, q, m = sp.symbols("s t w r q m", positive=True)
HALF = sp.Rational(1, 2)


def sigmoid(v: Expr) -> Expr:
    """The definition."""
    return 1 / (1 + sp.exp(-v))


def _derive(concave_sigmoid: tuple[Expr, Expr] = (HALF, 1), concave_tanh: tuple[Expr, Expr] = (0, 1)) -> list[str]:
    proof = Proof()
    S, T = sigmoid(v), sp.tanh(z)
    proof.by("sigmoid' = s (1-s)", identity, S.diff(v), S * (1 - S))
    proof.by("sigmoid'' = s (1-s) (1-2s)", identity, S.diff(v, 2), S * (1 - S) * (1 - 2 * S))
    proof.by("tanh' = 1-t^2", identity, T.diff(z), 1 - T**2)
    proof.by("tanh'' = -2 t (1-t^2)", identity, T.diff(z, 2), -2 * T * (1 - T**2))
    # sigmoid and tanh increase, so the halves in v and z are halves in s and t.
    proof.by("sigmoid increases", positive, s * (1 - s), {s: (0, 1)})
    proof.by("tanh increases", positive, 1 - t**2, {t: (-1, 1)})
    proof.by("sigmoid(0) = 1/2", identity, S.subs(v, 0), HALF)
    proof.by("tanh(0) = 0", identity, T.subs(z, 0))
    d2s, d2t = s * (1 - s) * (1 - 2 * s), -2 * t * (1 - t**2)
    proof.by(
        "k s - a v, k >= 0: below its tangents for v >= 0", below_tangents, m * d2s, {s: concave_sigmoid, m: (0, sp.oo)}
    )
    proof.by("k s - a v, k >= 0: convex for v <= 0", above_tangents, m * d2s, {s: (0, HALF), m: (0, sp.oo)})
    proof.by(
        "k s - a v, k <= 0: below its tangents for v <= 0", below_tangents, -m * d2s, {s: (0, HALF), m: (0, sp.oo)}
    )
    proof.by("k s - a v, k <= 0: convex for v >= 0", above_tangents, -m * d2s, {s: (HALF, 1), m: (0, sp.oo)})
    proof.by(
        "k t - a z, k >= 0: below its tangents for z >= 0", below_tangents, m * d2t, {t: concave_tanh, m: (0, sp.oo)}
    )
    proof.by("k t - a z, k >= 0: convex for z <= 0", above_tangents, m * d2t, {t: (-1, 0), m: (0, sp.oo)})
    _ends(proof)
    return proof.steps


def _ends(proof: Proof) -> None:
    """From tangents to ends of intervals; everything here is linear in x."""
    value, slope, share = sp.symbols("value slope share", real=True)
    low = sp.Symbol("low", real=True)
    width, rise = sp.symbols("width rise", nonnegative=True)
    point = share * first + (1 - share) * last
    # Convex: the tangent at x, taken at both ends, averages to the value at x.
    ends = share * (value + slope * (first - point)) + (1 - share) * (value + slope * (last - point))
    proof.by("convex: an average of the ends is at least the value inside", identity, ends, value)
    # Concave: on [low, high] a tangent is an average of its values at the ends, and the code takes the larger.
    tangent = value + slope * (point - p)
    average = share * (value + slope * (first - p)) + (1 - share) * (value + slope * (last - p))
    proof.by("a tangent inside is an average of its ends", identity, tangent, average)
    high = low + width
    larger = (rise * (high - p)) - (rise * (low - p))
    proof.by(
        "slope > 0: the upper end is the larger one",
        nonnegative,
        sp.expand(larger),
        {width: (0, sp.oo), rise: (0, sp.oo)},
    )
    smaller = (-rise * (low - p)) - (-rise * (high - p))
    proof.by(
        "slope <= 0: the lower end is the larger one",
        nonnegative,
        sp.expand(smaller),
        {width: (0, sp.oo), rise: (0, sp.oo)},
    )


def _roots(
    complement: Callable[[Expr, Expr], Expr] = lambda q, r: 2 * q / (1 + r),
    inverse_tanh: Callable[[Expr, Expr], Expr] = lambda q, r: sp.log((1 + r) / sp.sqrt(q)),
) -> list[str]:
    proof = Proof()
    W = complement((1 - r**2) / 4, r)  # r = sqrt(1 - 4q) in [0, 1]
    proof.by("sigmoid root: w (1-w) = q", identity, W * (1 - W), (1 - r**2) / 4)
    proof.by("sigmoid root: w <= 1/2, so v >= 0", nonnegative, HALF - W, {r: (0, 1)})
    proof.by("sigmoid root: sigmoid(log((1-w)/w)) = 1-w", identity, sigmoid(sp.log((1 - w) / w)), 1 - w)
    # r = sqrt(1-q) in [0, 1): e^(2z) = (1+r)^2 / q determines tanh(z) = (e^(2z)-1) / (e^(2z)+1).
    root = inverse_tanh(q, r)
    square = sp.simplify(sp.exp(2 * root)).subs(q, 1 - r**2)
    proof.by("tanh root: tanh(z) = sqrt(1-q)", identity, (square - 1) / (square + 1), r)
    e = sp.exp(-2 * z)
    proof.by("1-t^2 = 4 e / (1+e)^2", identity, 1 - sp.tanh(z) ** 2, 4 * e / (1 + e) ** 2)
    proof.by(
        "4 e / (1+e)^2 is the same for e and 1/e, so |z| may be used",
        identity,
        4 * m / (1 + m) ** 2,
        (4 / m) / (1 + 1 / m) ** 2,
    )
    proof.by("4 e / (1+e)^2 <= 1", nonnegative, 1 - 4 * m / (1 + m) ** 2, {m: (0, 1)})
    return proof.steps


LEMMA = Lemma(
    name="s_curve_maximum",
    statement=__doc__,
    source="theory section 3 (candidates on the sides)",
    code=(
        "gpu_engine.relaxations.s_curve:max_sigmoid_minus_line",
        "gpu_engine.relaxations.s_curve:max_tanh_minus_line",
        "gpu_engine.relaxations.s_curve:sech_squared",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_offsets.py"),
    check=lambda: _derive() + _roots(),
    controls={
        "sigmoid concave on all of v": lambda: _derive(concave_sigmoid=(0, 1)),
        "sigmoid concave for v <= 0": lambda: _derive(concave_sigmoid=(0, HALF)),
        "tanh concave for z <= 0": lambda: _derive(concave_tanh=(-1, 0)),
        "the other root of the quadratic": lambda: _roots(complement=lambda q, r: 2 * q / (1 - r)),
        "tanh root without the square root of q": lambda: _roots(inverse_tanh=lambda q, r: sp.log((1 + r) / q)),
    },
)
