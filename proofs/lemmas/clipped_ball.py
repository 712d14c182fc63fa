"""A lower bound of a.x on a ball cut to a box, for any split of a.

Let X = {x : ||x||_p <= r, |x_i| <= room_i on the side -sign(a_i)}, room_i >= 0, and a = a' + a'' with
a'_i, a''_i of the sign of a_i. Then for all x in X

    a.x >= -(r ||a'||_q + sum_i |a''_i| room_i).

(i)   a'' = 0 is the whole ball, a' = 0 the whole box; for a box alone (p = infinity) the bound is exact.
(ii)  Tightness only: if |a'_i| = min(|a_i|, mu room_i^(p-1)) and the step x_i = room_i where the minimum is the
      second, (|a_i| / mu)^(1/(p-1)) where it is the first, has length r, the bound is attained by that x.
Shapes: a, x, room (input,).
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, identity, nonnegative

x, a, A, room, short, k, mu, total = sp.symbols("x a A room short k mu total", positive=True)
OO = sp.oo
p = 1 + k
q = p / k


def _split(same_sign: bool = True, side: int = 1) -> list[str]:
    """One coordinate with a_i > 0 (a_i < 0 is its mirror image): x_i = -room + y, y >= 0."""
    proof = Proof()
    y = sp.Symbol("y", positive=True)
    clipped = a if same_sign else -a  # a''_i
    ball = A - clipped  # a'_i, so that a' + a'' = A
    value = A * (-side * room + y)
    bound = ball * (-side * room + y) - a * room
    proof.by(
        "a_i x_i >= a'_i x_i - |a''_i| room_i",
        nonnegative,
        sp.expand(value - bound),
        {A: (0, OO), a: (0, OO), y: (0, OO), room: (0, OO)},
    )
    # Summed over i, a'.x >= -r ||a'||_q by `dual_norm`.
    proof.by("box: the end -room attains -|a_i| room_i", identity, value.subs(y, 0), -A * room)
    return proof.steps


def _tight(power: Expr = k) -> list[str]:
    """mu > 0, step_i = x. power: |a'_i| = mu step_i^power, true for p-1."""
    proof = Proof()
    part = mu * x**power
    free = (part / mu) ** (1 / k)
    proof.by(
        "free coordinate: |a'_i| = |a_i| gives the step (|a_i|/mu)^(1/(p-1))",
        identity,
        sp.log(free).expand(force=True) / sp.log(x),
        1,
    )
    # capped coordinate: a''_i = a_i - a'_i is paid with step = room, exactly.
    proof.by(
        "capped coordinate: -|a''_i| step = -|a''_i| room",
        identity,
        (A - part).subs(x, room) * room,
        (A - mu * room**power) * room,
    )
    # Sum over i of step_i^p = total = r^p.
    r = total ** (1 / p)
    proof.by("a'.x = -mu total", identity, sp.powsimp(part * x), mu * x**p)
    norm = (mu**q * total) ** (1 / q)
    entry = sp.powsimp(sp.expand_power_base(part**q, force=True), force=True)
    proof.by("|a'_i|^q = mu^q step_i^p", identity, sp.simplify(entry / (mu**q * x**p)), 1)
    proof.by("r ||a'||_q = mu total", identity, sp.expand_log(sp.log(r * norm), force=True), sp.log(mu) + sp.log(total))
    return proof.steps


LEMMA = Lemma(
    name="clipped_ball",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), section 3.2; the cut to a valid range is ours",
    code=("gpu_engine.propagation.concretize:PreparedInput.concretize",),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_concretize.py"),
    check=lambda: _split() + _tight(),
    controls={
        "a split with opposite signs": lambda: _split(same_sign=False),
        "room on the other side": lambda: _split(side=-1),
        "a' = mu room^p": lambda: _tight(power=p),
    },
)
