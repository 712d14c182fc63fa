"""Any multipliers bound the network relaxation from below: c.y + d >= d - m.h - pi.e + least of the residual.

Let y be values that the network takes on the input set X: E y = e (affine equations), G y <= h (planes and boxes that
hold), |y_j| <= magnitude_j. For EVERY m >= 0 and EVERY pi, with r = c + G'm + E'pi,

    c.y + d >= d - m.h - pi.e + min over x in X of r_x.x - sum over the other j of |r_j| magnitude_j.

(i)   c.y = r.y - m.(G y) - pi.(E y), and m.(G y) <= m.h since m >= 0: the claim but for r.y.
(ii)  r.y is its part over the inputs, at least its minimum over X (the input sets' lemmas), and the rest, each term at
      least -|r_j| magnitude_j. Nothing is assumed of m and pi but m >= 0: no property of a solver is used.
(iii) With an error of at most err_j in the computed r_j, inputs included, charging err_j magnitude_j more is enough.
(iv)  Planes, boxes and rows that are added shrink the set of y that is left, so the least value over it does not fall.
(v)   Bounds of y_j and of -y_j are a box again; a plane that is sound on a box is sound on every part of it.
Shapes: y (variables,), m (inequalities,), pi (equations,). One of each kind here; sums go term by term.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, nonnegative

OO = sp.oo
m, slack, magnitude, size, err, above, lowest = sp.symbols("m slack magnitude size err above lowest", positive=True)
share, part = sp.symbols("share part", positive=True)
c_x, c_y, g_x, g_y, e_x, e_y, x, y, h, pi, d = sp.symbols("c_x c_y g_x g_y e_x e_y x y h pi d", real=True)
RANGES = dict.fromkeys((m, slack, magnitude, size, err, above, lowest), (0, OO)) | {share: (0, 2), part: (0, 2)}


def _duality(sign_of_m: int = 1, sign_of_h: int = -1) -> list[str]:
    """(i). One input x and one other variable y; G y = h - slack, E y = e."""
    proof = Proof()
    multiplier = sign_of_m * m
    r_x, r_y = c_x + g_x * multiplier + e_x * pi, c_y + g_y * multiplier + e_y * pi
    e = e_x * x + e_y * y  # the equation holds
    limit = g_x * x + g_y * y + slack  # and so does the inequality
    gap = (c_x * x + c_y * y + d) - (d + sign_of_h * multiplier * limit - pi * e + r_x * x + r_y * y)
    proof.by("c.y + d >= d - m.h - pi.e + r.y", nonnegative, sp.expand(gap), RANGES)
    return proof.steps


def _residual(in_box: bool = True, at_centre: bool = False, charged: Expr = err * magnitude) -> list[str]:
    """(ii) and (iii). y = -magnitude + share magnitude; the error is -err + part err."""
    proof = Proof()
    inside = -magnitude + (share if in_box else 2 * share) * magnitude
    for sign in (1, -1):
        bound = -size * magnitude
        gap = sign * size * inside - bound
        proof.by(
            f"r_j y_j >= -|r_j| magnitude_j, r_j {'> 0' if sign > 0 else '< 0'}", nonnegative, sp.expand(gap), RANGES
        )
    # r_x.x over X: its minimum is `lowest` below its value at the centre, and x has `above` more than the minimum.
    at_x = -lowest + above
    claimed = sp.Integer(0) if at_centre else -lowest
    proof.by("r_x.x >= its least value over X", nonnegative, at_x - claimed, RANGES)
    wrong = (-err + part * err) * inside
    proof.by("an error of r_j costs at most err_j magnitude_j", nonnegative, sp.expand(wrong + charged), RANGES)
    return proof.steps


def _fewer(smaller: int = 1) -> list[str]:
    """(iv) and (v). smaller -1: the set grows."""
    proof = Proof()
    first, more = sp.symbols("first more", positive=True)  # least value over all, over those that are left
    left = first + smaller * more
    proof.by("fewer points: the least value does not fall", nonnegative, left - first, {first: (0, OO), more: (0, OO)})
    low = sp.Symbol("low", real=True)
    value = -(low + slack)  # -y = low + slack
    proof.by("y <= minus the lower bound of -y", nonnegative, sp.expand(-low - value), RANGES)
    return proof.steps


LEMMA = Lemma(
    name="network_lp_weak_duality",
    statement=__doc__,
    source="Neumaier and Shcherbina (2004); Salman et al. (2019), section 4",
    code=(
        "refcert.audit.network_lp.duality:bound_by_multipliers",
        "refcert.audit.network_lp.solve:NetworkLP",
        "refcert.audit.network_lp.tighten:tightened",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/audit/test_network_lp_duality.py"),
    check=lambda: _duality() + _residual() + _fewer(),
    controls={
        "a negative multiplier": lambda: _duality(sign_of_m=-1),
        "m.h with the other sign": lambda: _duality(sign_of_h=1),
        "a variable outside of its box": lambda: _residual(in_box=False),
        "the inputs at their centre only": lambda: _residual(at_centre=True),
        "half of the error is charged": lambda: _residual(charged=err * magnitude / 2),
        "more points instead of fewer": lambda: _fewer(smaller=-1),
    },
)
