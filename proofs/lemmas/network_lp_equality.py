"""With one pair of planes per neuron, on boxes as wide as back-substitution's, the network LP equals back-substitution.

Let every nonlinearity k have one lower plane L_k and one upper plane U_k, no boxes in the program, and let B_j be the
interval that back-substitution itself gives variable j. If L_k <= U_k on B_v x B_z for all k, then for every row the
LP's optimum is back-substitution's bound.
(i)   Take x* that minimises the final form, and forward y_k := L_k if the coefficient A_k of back-substitution is > 0,
      else U_k. Then A_k y_k is what substitution put in its place, so the row's value there is its bound.
(ii)  y_k lies between L_k and U_k there if L_k <= U_k at its arguments.
(iii) Induction in order of computation: a point that keeps all planes up to k keeps B_v, B_z (`network_lp_weak_duality`
      for the rows of v and z), so L_k <= U_k there, and y_k keeps its planes.
(iv)  Planes that are sound on a box have L <= f <= U there: the condition holds where every box contains B. It may fail
      where boxes are smaller (intersected with interval arithmetic): relu with the chord 2 (v + 1) / 3 above and 0
      below, sound on [-1, 2], crosses at v = -1; the LP drops all v < -1, back-substitution does not.
(v)   More planes: if y* <= sum lambda_i f(p_i) for weights lambda >= 0, sum 1, points p_i of the box with the mean (v*,
      z*), every sound upper plane is >= y* at (v*, z*): no plane cuts the point off. If y* is above some sound upper
      plane there, that plane does, by the difference.
Shapes: one variable at a time.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import compare, identity, nonnegative, positive

OO = sp.oo
size, gap, above, below = sp.symbols("size gap above below", positive=True)
L, A_x = sp.symbols("L A_x", real=True)
RANGES = dict.fromkeys((size, gap, above, below), (0, OO))


def _attained(swapped: bool = False, crossing: int = 1) -> list[str]:
    """(i) and (ii). crossing -1: L above U at the arguments."""
    proof = Proof()
    U = L + crossing * gap
    for sign in (1, -1):
        A = sign * size
        y = L if (sign > 0) != swapped else U
        taken = L if sign > 0 else U
        name = f"coefficient {'> 0' if sign > 0 else '< 0'}"
        proof.by(f"{name}: the row's value is its bound", identity, A * y, A * taken)
        proof.by(f"{name}: y >= L", nonnegative, sp.expand(y - L), RANGES)
        proof.by(f"{name}: y <= U", nonnegative, sp.expand(U - y), RANGES)
    # (iv): L = f - below, U = f + above.
    f = sp.Symbol("f", real=True)
    proof.by("sound planes do not cross", nonnegative, sp.expand((f + above) - (f - below)), RANGES)
    return proof.steps


def _counter_example(lowest: int = -1) -> list[str]:
    """(iv) on [lowest, 2]: true for -1, where the chord starts."""
    proof = Proof()
    v = sp.Symbol("v", real=True)
    chord = sp.Rational(2, 3) * (v + 1)
    proof.by("the chord is sound on [-1, 2]: ends", compare, 0, chord.subs(v, -1))
    proof.by("the chord is sound on [-1, 2]: kink", compare, 0, chord.subs(v, 0))
    proof.by("the chord is sound on [-1, 2]: upper end", compare, 2, chord.subs(v, 2))
    proof.by("below -1 the chord is below 0", positive, -chord.subs(v, -1 - gap), RANGES)
    proof.by("on the interval the planes do not cross", compare, 0, chord.subs(v, lowest))
    return proof.steps


def _hull(total: sp.Expr = 1, lift: int = 1) -> list[str]:
    """(v): two points with values f_i, a plane `above` and `below` above them; y* is `gap` under their mean."""
    proof = Proof()
    share = sp.Symbol("share", positive=True)
    first, second, a, c = sp.symbols("first second a c", real=True)
    p1, p2 = a * first + c, a * second + c  # the plane at the points
    at = (share * first + (1 - share) * second) * total
    height = a * at + c * total
    mean = share * (p1 - lift * above) + (1 - share) * (p2 - lift * below)
    slack = sp.expand(height - (mean - gap))
    ranges = RANGES | {share: (0, 1)}
    proof.by("a sound plane is >= y* at (v*, z*)", nonnegative, slack, ranges)
    y = height + gap
    proof.by("a plane below y* cuts it off, by the difference", identity, y - height, gap)
    return proof.steps


LEMMA = Lemma(
    name="network_lp_equality",
    statement=__doc__,
    source="Salman et al. (2019), theorem 4.2; the condition on boxes is ours",
    code=(
        "refcert.audit.network_lp.solve:NetworkLP",
        "refcert.audit.network_lp.boxes:derive",
        "refcert.audit.network_lp.hull:Hull",
        "refcert.audit.network_lp.cuts:CuttingPlanes",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/audit/test_network_lp.py"),
    check=lambda: _attained() + _counter_example() + _hull(),
    controls={
        "the other plane": lambda: _attained(swapped=True),
        "planes that cross": lambda: _attained(crossing=-1),
        "the chord of [-1, 2] on [-2, 2]": lambda: _counter_example(lowest=-2),
        "weights that sum to a half": lambda: _hull(total=sp.Rational(1, 2)),
        "a plane below the points": lambda: _hull(lift=-1),
    },
)
