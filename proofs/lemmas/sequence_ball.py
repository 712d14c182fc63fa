"""On one ball around all frames, sum_t a_t.x_t is at least -r times the dual norm of the frames' dual norms.

Let X = {x : ||x||_p <= r}, the norm over all values of all frames, 1/p + 1/q = 1, N_t = ||a_t||_q and
N = ||(N_1, ..., N_T)||_q.

(i)   The norm of the norms is the norm of the concatenation, for every exponent, exact or rounded down; so by
      `dual_norm` on the concatenation sum_t a_t.x_t >= -r N.
(ii)  It is attained where frame t has the share r_t = r (N_t / N)^(q-1) of the budget: sum_t r_t^p = r^p and
      sum_t r_t N_t = r N. p = 1 (q = infinity): all budget to the frame with the largest N_t.
(iii) N <= sum_t N_t: never below the bound with a ball of radius r for every frame, and equal to it for p = infinity
      (q = 1).
(iv)  Frames that stay have x_t = 0: leaving their rows out changes nothing. The projection on one frame is its ball of
      radius r.
Shapes: a, x (time, input).
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, equal, identity, nonnegative

k, r, M, m, N = sp.symbols("k r M m N", positive=True)
p = 1 + k  # every p > 1
q = p / k
OO = sp.oo


def _norm_of_norms(outer: Expr = None, entries: int = 2) -> list[str]:
    """Two frames; more by adding one frame at a time. outer: exponent over the frames, true for that within."""
    proof = Proof()
    e = sp.Symbol("e", positive=True)  # any exponent, so the rounded one, too
    first = sp.symbols(f"a:{entries}", positive=True)
    second = sp.symbols(f"b:{entries}", positive=True)

    def power_sum(values: tuple[Expr, ...]) -> Expr:
        return sum(value**e for value in values)

    frames = [power_sum(values) ** (1 / e) for values in (first, second)]
    over = e if outer is None else outer
    joined = sum(sp.powdenest(frame**over, force=True) for frame in frames)
    proof.by("the frames' norms to the q-th power add up", identity, joined, power_sum(first + second))
    known, fresh = sp.symbols("known fresh", positive=True)  # q-th powers of t frames' norm and of the next one's
    proof.by("one frame more", identity, sp.powdenest((known ** (1 / e)) ** e) + fresh, known + fresh)
    largest = sp.Max(sp.Max(*first), sp.Max(*second))
    proof.by("q = infinity: the largest of the largest", equal, largest, sp.Max(*first, *second))
    return proof.steps


def _budget(share: Expr = q - 1) -> list[str]:
    """Frame t with N_t = m gets r (m/N)^share; sum m^q = N^q."""
    proof = Proof()
    part = r * (m / N) ** share
    proof.by(
        "r_t^p = r^p N_t^q / N^q, so the shares use up the budget",
        identity,
        sp.simplify(sp.expand_log(sp.log(part**p / (r**p * (m / N) ** q)), force=True)),
    )
    proof.by(
        "r_t N_t = r N_t^q / N^(q-1), so they sum to r N",
        identity,
        sp.simplify(sp.expand_log(sp.log(part * m / (r * N * (m / N) ** q)), force=True)),
    )
    return proof.steps


def _against_frames(sign: int = 1) -> list[str]:
    """sign -1 claims the opposite order."""
    proof = Proof()
    budget, first, second, left = sp.symbols("budget first second left", positive=True)
    # The frames' own balls contain the sequence's: any shares r_t <= r give sum r_t N_t <= r sum N_t.
    share = {budget: (0, OO), first: (0, OO), second: (0, OO), left: (0, budget)}
    gap = budget * (first + second) - (left * first + (budget - left) * second)
    proof.by("r sum_t N_t >= sum_t r_t N_t for r_t <= r", nonnegative, sign * gap, share)
    return proof.steps


LEMMA = Lemma(
    name="sequence_ball",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), section 3.2, on the concatenated frames; lemma `dual_norm`",
    code=(
        "gpu_engine.propagation.input_sets.sequence_ball:PreparedSequenceBall.concretize_all",
        "gpu_engine.propagation.input_sets.sequence_ball:prepare_sequence_ball",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_input_set_relations.py"),
    check=lambda: _norm_of_norms() + _budget() + _against_frames(),
    controls={
        "the frames' norms are added": lambda: _norm_of_norms(outer=sp.Integer(1)),
        "an outer exponent of its own": lambda: _norm_of_norms(outer=sp.Symbol("o", positive=True)),
        "equal shares of the budget": lambda: _budget(share=sp.Integer(0)),
        "shares in proportion to the norms": lambda: _budget(share=sp.Integer(1)),
        "above the bound of independent frames": lambda: _against_frames(sign=-1),
    },
)
