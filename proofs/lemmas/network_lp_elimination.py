"""Back-substitution is one choice of multipliers: one sweep makes any m >= 0 residual-free, and with m = 0 is it.

Go through the equations from the last to the first; r_k is the residual of variable k from everything behind it.
(i)   Affine y_k = w.y + c: pi_k = -r_k leaves no residual at k and adds r_k w to what it reads: substitution.
(ii)  Nonlinear with multipliers summing to P >= 0 on its lower planes, M >= 0 on its upper ones, lack = r_k - (P - M):
      P' = P + (lack - M)^+ - min(lack^-, P) and M' = M + (-lack - P)^+ - min(lack^+, M) are >= 0 and P' - M' = r_k: no
      residual is left at k, whatever P and M were.
(iii) P = M = 0: P' = r_k^+, M' = r_k^-: the lower plane takes a positive coefficient, the upper one a negative one.
      With one pair of planes this is back-substitution (`back_substitution`), and its value is m.h + pi.e with the
      signs of `network_lp_weak_duality`. So the linear program, whose optimum is the best choice of multipliers, is
      never looser than back-substitution with planes that it holds.
(iv)  Every equation reads earlier variables only, so later sweeps change nothing behind them.
Shapes: one variable at a time.
"""

from __future__ import annotations

import sympy as sp

from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import Expr, identity, nonnegative

OO = sp.oo
P, M, size, more = sp.symbols("P M size more", positive=True)
RANGES = dict.fromkeys((P, M, size, more), (0, OO))


def _positive_part(x: Expr) -> Expr:
    """max(x, 0) for an expression whose sign its symbols decide."""
    x = sp.expand(x)
    if x.is_nonnegative:
        return x
    if x.is_nonpositive:
        return sp.Integer(0)
    raise LemmaError(f"the sign of {x} is not decided")


def _least(x: Expr, y: Expr) -> Expr:
    return x - _positive_part(x - y)


def balanced(lower: Expr, upper: Expr, lack: Expr, both: bool = True) -> tuple[Expr, Expr]:
    """P' and M' by the formula. both False: P and M are never taken from."""
    off_lower = _least(_positive_part(-lack), lower) if both else sp.Integer(0)
    off_upper = _least(_positive_part(lack), upper) if both else sp.Integer(0)
    return (
        lower + _positive_part(lack - upper) - off_lower,
        upper + _positive_part(-lack - lower) - off_upper,
    )


def _nonlinear(both: bool = True) -> list[str]:
    """(ii), by cases: lack positive or negative, small or large."""
    proof = Proof()
    for name, lower, upper, lack in (
        ("lack > M", P, M, M + more),
        ("0 < lack < M", P, size + more, size),
        ("-P < lack < 0", size + more, M, -size),
        ("lack < -P", P, M, -P - more),
        ("no multipliers, lack > 0", sp.Integer(0), sp.Integer(0), size),
        ("no multipliers, lack < 0", sp.Integer(0), sp.Integer(0), -size),
    ):
        coefficient = lower - upper + lack
        new_lower, new_upper = balanced(lower, upper, lack, both)
        proof.by(f"{name}: P' >= 0", nonnegative, sp.expand(new_lower), RANGES)
        proof.by(f"{name}: M' >= 0", nonnegative, sp.expand(new_upper), RANGES)
        proof.by(f"{name}: P' - M' is the coefficient", identity, new_lower - new_upper, coefficient)
    return proof.steps


def _substitution(affine_sign: int = -1, swapped: bool = False) -> list[str]:
    """(i) and (iii): what the multipliers leave is what substitution puts on the variables that are read."""
    proof = Proof()
    r, w, c = sp.symbols("r w c", real=True)
    pi = affine_sign * r
    # The row y_k - w u = c: its column at k is 1, at u -w.
    proof.by("affine: no residual is left", identity, r + pi)
    proof.by("affine: r w on what it reads", identity, -w * pi, r * w)
    proof.by("affine: the constant", identity, -pi * c, r * c)
    slopes, offsets = sp.symbols("a_L a_U", real=True), sp.symbols("c_L c_U", real=True)
    for sign in (1, -1):
        A = sign * size
        new_lower, new_upper = balanced(sp.Integer(0), sp.Integer(0), A)
        # lower: -y + a_L u <= -c_L; upper: y - a_U u <= c_U.
        on_source = new_lower * slopes[0] - new_upper * slopes[1]
        constant = -(new_lower * -offsets[0] + new_upper * offsets[1])
        taken = 0 if (sign > 0) != swapped else 1
        name = f"coefficient {'> 0' if sign > 0 else '< 0'}"
        proof.by(f"{name}: the slope that substitution takes", identity, on_source, A * slopes[taken])
        proof.by(f"{name}: the offset that substitution takes", identity, constant, A * offsets[taken])
    return proof.steps


LEMMA = Lemma(
    name="network_lp_elimination",
    statement=__doc__,
    source="Salman et al. (2019), theorem 4.2; lemma `back_substitution`",
    code=(
        "refcert.audit.network_lp.duality:eliminate",
        "refcert.audit.network_lp.duality:bound_by_multipliers",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/audit/test_network_lp_duality.py"),
    check=lambda: _nonlinear() + _substitution(),
    controls={
        "multipliers are only added": lambda: _nonlinear(both=False),
        "pi = r": lambda: _substitution(affine_sign=1),
        "the upper plane for a positive coefficient": lambda: _substitution(swapped=True),
    },
)
