"""A linear form on hulls of candidates, one hull a frame, is least where every frame is at its own least candidate.

Let frame t be any of v_t1, ..., v_tK (the frame itself is one of them), or any convex combination of these. Then

(i)   a.x >= min_k a.v_k on the hull, attained at a vertex: the hull costs a linear form nothing.
(ii)  frames are independent: min over all K^T sequences of sum_t a_t.x_t = sum_t min_k a_t.v_tk.
(iii) |x_i - c_i| <= max_k |v_ki - c_i| on the hull: the magnitude that rounding is charged to, and the box.
(iv)  a candidate that is listed twice changes nothing, so the frame itself may stand in for one that is not allowed.
Shapes: a, x, v_k (input,).
"""

from __future__ import annotations

from itertools import product

import sympy as sp

from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import equal, identity, nonnegative

OO = sp.oo
least, gap1, gap2, w1, w2, c = sp.symbols("least gap1 gap2 w1 w2 c", positive=True)
MAX_CANDIDATES = 3
MAX_FRAMES = 3


def _hull(total: sp.Expr | None = None, lowest_weight: int = 0, largest: bool = False) -> list[str]:
    """Three candidates with values least, least + gap1, least + gap2; more by nesting. Weights w0 + w1 + w2 = total."""
    proof = Proof()
    whole = sp.Integer(1) if total is None else total
    values = (least, least + gap1, least + gap2)
    mixed = sum(w * value for w, value in zip((whole - w1 - w2, w1, w2), values, strict=True))
    claimed = sp.Max(*values).subs({gap1: 1, gap2: 1}) if largest else least
    weights = {w1: (lowest_weight, 1), w2: (0, 1 - w1)}
    ranges = {least: (0, OO), gap1: (0, OO), gap2: (0, OO), **weights}
    proof.by("sum_k w_k a.v_k >= min_k a.v_k", nonnegative, sp.expand(mixed - claimed), ranges)
    proof.by("attained at the least candidate", identity, mixed.subs({w1: 0, w2: 0}), least)
    # The sign of `least` does not matter: adding a constant to all values adds it to both sides.
    shifted = mixed.subs(least, least - c) - (mixed - c)
    proof.by("a shift of all values shifts the mixture", identity, sp.expand(shifted))
    # (iii) one coordinate: a mixture of distances |v_ki - c_i| <= reach is at most the reach.
    reach = sp.Symbol("reach", positive=True)
    far = reach - sum(w * (reach - g) for w, g in zip((1 - w1 - w2, w1, w2), (0, gap1, gap2), strict=True))
    limits = {reach: (0, OO), gap1: (0, reach), gap2: (0, reach), w1: (0, 1), w2: (0, 1 - w1)}
    proof.by("|x_i - c_i| <= max_k |v_ki - c_i|", nonnegative, sp.expand(far), limits)
    first, second = sp.symbols("first second", real=True)
    proof.by("a candidate listed twice", equal, sp.Min(first, second, first), sp.Min(first, second))
    return proof.steps


def _independent(tied: bool = False) -> list[str]:
    """Gaps above each frame's least value as symbols. tied: all frames must take the candidate of one number."""
    proof = Proof()
    for frames in range(1, MAX_FRAMES + 1):
        for candidates in range(1, MAX_CANDIDATES + 1):
            # Frame t is least at candidate t mod K, so that the least candidates differ.
            values = [
                [
                    sp.Integer(0) if j == t % candidates else sp.Symbol(f"g{t}{j}", positive=True)
                    for j in range(candidates)
                ]
                for t in range(frames)
            ]
            choices = [(j,) * frames for j in range(candidates)] if tied else product(range(candidates), repeat=frames)
            sums = [sum(row[j] for row, j in zip(values, choice, strict=True)) for choice in choices]
            if any(value.is_nonnegative is not True for value in map(sp.sympify, sums)):
                raise LemmaError("a sum of gaps may be negative")
            step = f"{frames} frames, {candidates} candidates: every sum is >= the sum of the least, one is equal"
            proof.by(step, equal, any(value == 0 for value in sums), True)
    # One frame more: f_j >= f and g_l >= g imply f_j + g_l >= f + g.
    f, g = sp.symbols("f g", positive=True)
    proof.by(
        "one frame more",
        nonnegative,
        (f + gap1) + (g + gap2) - (f + g),
        {f: (0, OO), g: (0, OO), gap1: (0, OO), gap2: (0, OO)},
    )
    return proof.steps


LEMMA = Lemma(
    name="substitution_hull",
    statement=__doc__,
    source="theory section 1; a linear form on a polytope is least at a vertex",
    code=(
        "gpu_engine.inputs:Substitutions",
        "gpu_engine.propagation.input_sets.substitutions:PreparedSubstitutions.concretize",
        "gpu_engine.propagation.input_sets.substitutions:prepare_substitutions",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_input_set_relations.py"),
    check=lambda: _hull() + _independent(),
    controls={
        "weights that sum to a half": lambda: _hull(total=sp.Rational(1, 2)),
        "negative weights": lambda: _hull(lowest_weight=-1),
        "the largest candidate": lambda: _hull(largest=True),
        "one number for all frames": lambda: _independent(tied=True),
    },
)
