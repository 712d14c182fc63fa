"""The rounding of back-substitution is covered by gamma times the absolute terms.

(i)   A coefficient computed as A + d instead of A changes a form by at most |d| |x| <= |d| M for |x| <= M. So treat
      every COMPUTED coefficient as exact and charge, at each substitution, only what that substitution rounds.
(ii)  Substituting a nonlinear step with computed coefficient A by planes (a, b, c) over arguments v = W x + w, z:
      the exact form has the atoms A a W_ij x_j, A a w_i, A b z (or A b W_ij x_j, A b w_i), A c. Each computed atom is
      the exact one times a factor in I_k, or enters a running constant through k roundings, so all errors are at most

          gamma_K sum_units |A| (|a| S_v + |b| S_z + |c|),   S_v >= |W| |x| + |w|,  S_z likewise (or |z|),

      K the largest k. An affine step that enters another sum, y = W x + w with computed coefficient B, likewise:
      gamma_K |B| S_y, charged to the row. Norms are no sums of atoms, but r ||d||_q <= sum_j |d_j| M_j for a ball
      inside |x_j| <= M_j. (A ball that grew by rounding its centre to float32 sticks out by less than it grew.)
(iii) With steps of at most m units, S of them, chains of affine steps of at most Q roundings, at most r readers of a
      step and n summands of a concretization (`PreparedInput.summands`, lemma `concretize_rounding`), K <= N - K'/4,
      where gamma_N is the charge of the code (`terms` of `_Run._rounding`) and K' counts the roundings of the charge
      itself. For N u < 1/4 (else `gamma` raises) gamma_N (1-u)^K' >= gamma_K: charging
      gamma_N (|a| S_v + |b| S_z + |c| + M_out) is enough.
(iv)  A bound whose value exceeds the magnitude S of its variable by far is rounded by more than gamma S, but loses
      against the interval bound, which does not.
(v)   A form v + z or v - z over both arguments of a part (`_Run._diagonals`) takes the place of the part: its exact
      coefficients +-1 stand where the part's slopes would, so `usage.readers` counts its reads. Its constants are one
      sum more than those of a box, and its pad is gamma (S_v + S_z), with a step's magnitude for S where an argument is
      a step itself; both signs of a sum, and both sums, are rows of their own.
(vi)  A form under a supposition (`_Supposed`) begins at a step and, times a multiplier mu >= 0, at the outputs: one
      reader more, which `terms` has there. The product mu C is one rounding more of a coefficient on the outputs, whose
      variables are charged gamma_N |mu C| S_y; the row's own constants d and the threshold pay gamma_N mu (|d| + |t|).
      Underflows there, times mu, are far below gamma times half the box's width, which every pad holds: mu is at most
      4^evaluations times the width over what the row lacks, and that is at least 1e-6.
The list of atoms follows `propagation.backward`, `propagation.relaxed` and `propagation.schedule` by hand.
Underflow: lemma `underflow`. Model: `rounding_gamma`,
matrix products as plain sums in the engine's dtype (no TF32, no bfloat16).
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable

import sympy as sp

from gpu_engine.propagation.relaxed import _pad, relax
from gpu_engine.propagation.schedule import _Run
from gpu_engine.propagation.supposed import _Supposed
from gpu_engine.steps import MAX_PARTS
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import Expr, equal, identity, nonnegative, source_has

m, n, Q, r, S = sp.symbols("m n Q r S", positive=True)
SIZES = {m: (1, sp.oo), n: (1, sp.oo), Q: (1, sp.oo), r: (1, sp.oo), S: (1, sp.oo)}
NAMES = {"usage.widest": m, "values": n, "usage.chain": Q, "usage.readers": r, "len(self.tape.steps)": S}


def code_terms() -> Expr:
    """N: the expression assigned to `terms` in the code, with sizes as symbols."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(_Run._rounding)))
    found = [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["terms"]
    ]
    if len(found) != 1 or "return gamma(terms, self.dtype)," not in inspect.getsource(_Run._rounding):
        raise LemmaError("the code's charge is not gamma(terms) any more")
    return _evaluate(found[0])


def _evaluate(node: ast.expr) -> Expr:
    name = ast.unparse(node)
    if name in NAMES:
        return NAMES[name]
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return sp.Integer(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
        left, right = _evaluate(node.left), _evaluate(node.right)
        return left + right if isinstance(node.op, ast.Add) else left * right
    raise LemmaError(f"the charge holds {name}, which has no symbol")


def product(*counts: Expr) -> Expr:
    """One rounded product of factors with these counts."""
    return sum(counts, start=sp.Integer(0)) + 1


def dot(length: Expr, *counts: Expr) -> Expr:
    """A dot product of `length` terms (lemma `rounding_gamma`: n roundings a term)."""
    return sum(counts, start=sp.Integer(0)) + length


def running() -> Expr:
    """Sums that one contribution to the running constant goes through: one per step, and the ends."""
    # one for the underflow, two for the shared part and the slack of a step's box, one for the first constant
    # one for each answer's constant, of which there are at most S
    return 2 * S + 4


CAST = sp.Integer(1)  # a float64 weight in the engine's dtype
PARTS = sp.Integer(MAX_PARTS)  # constants of the parts of one nonlinear step, at most this many


def atoms() -> dict[str, Expr]:
    """Roundings of every kind of atom of one substitution."""
    slope = product() + r  # coefficient times slope, summed over the readers of the argument
    through = dot(m, slope, CAST) + r  # times the weights, summed over the readers of the source
    # One frame's least value, lemma `concretize_rounding`; frames that share a budget are added up before, at most S.
    norm = sp.Rational(7, 2) * n + 20 + S
    constant = dot(m, product()) + 1 + PARTS + running()  # both signs, the parts' sum
    return {
        "a step behind an affine argument": through,
        "an argument that is a step itself": slope,
        "input, least value over its set": through + norm + running(),
        "constant of an argument": product(Q) + 3 + constant,
        "offset": 3 + constant,
        "affine step that enters a sum, its sources": dot(m, CAST) + r,
        "affine step that enters a sum, input": dot(m, CAST) + r + norm + running(),
        "outputs: their constants": CAST + dot(m, Q) + r + running(),
        "boxes: constants": Q + running(),
        "boxes: input": CAST + norm + Q + running(),
        "boxes: interval image": dot(m, CAST) + Q + running(),
        "diagonals: constants": Q + 1 + running(),
        "diagonals: sources of an affine argument": dot(m, CAST) + r,
        "diagonals: input": dot(m, CAST) + r + norm + Q + 1 + running(),
    }


def charge_roundings() -> Expr:
    """K': roundings of the charge itself: S_v, the pad, gamma in the engine's dtype, and what the pad goes through."""
    return Q + 8 + PARTS + dot(m, product()) + 1 + running()


def _counts(terms: Expr | None = None) -> list[str]:
    proof = Proof()
    N, K_charge = code_terms() if terms is None else terms, charge_roundings()
    for name, K in atoms().items():
        proof.by(f"{name}: K + K'/4 <= N", nonnegative, N - K - K_charge / 4, SIZES)
    # gamma_N (1 - K' u) >= gamma_K for K <= N - K'/4 and N u < 1/4. With x = N u, y = K u, w = K' u (w <= 4 (x - y)):
    # x (1-w) (1-y) - y (1-x) = (x - y) - x w (1-y) >= (x - y) - w/4 >= 0.
    x, y, w, more = sp.symbols("x y w more", positive=True)
    gap = sp.expand(x * (1 - w) * (1 - y) - y * (1 - x))
    proof.by("cross-multiplied", identity, gap, (x - y) - x * w * (1 - y))
    worst = ((x - y) - x * w * (1 - y)).subs(y, x - w / 4 - more)
    small = {x: (0, sp.Rational(1, 4)), w: (0, 4 * x), more: (0, x - w / 4)}
    proof.by("gamma_N (1 - K' u) >= gamma_K", nonnegative, worst, small)
    return proof.steps


def _charge(pad: Callable[[Expr, Expr, Expr, Expr], Expr] | None = None) -> list[str]:
    """(i) and (ii) for one unit; the pad is the code's own, on symbols."""
    proof = Proof()
    A, a, b, c, gamma, S_v, S_z, out = sp.symbols("A a b c gamma S_v S_z out", positive=True)
    ranges = {A: (0, sp.oo), a: (0, sp.oo), b: (0, sp.oo), c: (0, sp.oo), gamma: (0, 1), out: (0, sp.oo)}
    ranges |= {S_v: (0, sp.oo), S_z: (0, sp.oo)}
    d, x, M = sp.symbols("d x M", positive=True)
    proof.by("|d| |x| <= |d| M", nonnegative, d * M - d * x, {d: (0, sp.oo), M: (0, sp.oo), x: (0, M)})
    errors = gamma * A * (a * S_v + b * S_z + c)
    charged = A * (_code_pad(a, b, c, gamma, S_v, S_z, out) if pad is None else gamma * pad(a * S_v, b * S_z, c, out))
    proof.by("the code's pad covers all atoms", nonnegative, sp.expand(charged - errors), ranges)
    text = " ".join(inspect.getsource(relax).split())
    proof.by("it is taken from the lower plane", equal, "_constant(lower, v, z) - _pad(lower, charge)" in text, True)
    proof.by("and added to the upper one", equal, "_constant(upper, v, z) + _pad(upper, charge)" in text, True)
    # A ball of radius r inside |x_j| <= M_j: sum_j |d_j| |x_j| <= sum_j |d_j| M_j, and r ||d||_q is such a value.
    # (iv): a lower bound far below -S, rounded, stays below -S: bound <= -2S, factor (1 - 2u) or (1 + 2u).
    S, u, far = sp.symbols("S u far", positive=True)
    proof.by(
        "a far bound stays below -S",
        nonnegative,
        (2 * S + far) * (1 - 2 * u) - S,
        {S: (0, sp.oo), far: (0, sp.oo), u: (0, sp.Rational(1, 4))},
    )
    near = 2 * S * 2 * u
    proof.by("a near bound is rounded by at most 4 u S", nonnegative, 4 * u * S - near, {S: (0, sp.oo), u: (0, 1)})
    return proof.steps


def _diagonals(pad: Callable[[Expr, Expr, Expr], Expr] = lambda gamma, v, z: gamma * (v + z)) -> list[str]:
    """(v) S_v and S_z hold the sums of all atoms of both arguments."""
    proof = Proof()
    gamma, S_v, S_z, c_v, c_z = sp.symbols("gamma S_v S_z c_v c_z", positive=True)
    ranges = {gamma: (0, 1), S_v: (0, sp.oo), S_z: (0, sp.oo)}
    proof.by("both arguments' atoms are covered", nonnegative, pad(gamma, S_v, S_z) - gamma * (S_v + S_z), ranges)
    inside = ranges | {c_v: (0, S_v), c_z: (0, S_z)}
    proof.by("their constants are among them", nonnegative, pad(gamma, S_v, S_z) - gamma * (c_v + c_z), inside)
    source_has(_Run._sums, "pads += [self._pad_of(part.v_read) + self._pad_of(part.z_read)] * 2")
    source_has(_Run._diagonals, "own = Box(fixed[j] + ends[:, j, 0] - pads[j], fixed[j] - ends[:, j, 1] + pads[j])")
    source_has(_Run._sums, "((part.v_read, (turn, -turn, turn, -turn)), (part.z_read, (1.0, -1.0, -1.0, 1.0)))")
    source_has(_Run._rounding, "terms += 4 * int(self.supposes)")
    source_has(_Supposed._begin, "constant = given - threshold - self.gamma * (given.abs() + abs(threshold))")
    source_has(_Supposed._best, "return constants + found + multipliers * self.row_constant")
    source_has(_Supposed.round, "self.net.charge[number] = (self.gamma * size)[..., None]")
    proof.by("one reader more", nonnegative, code_terms() + 4 - code_terms().subs(r, r + 1), SIZES)
    source_has(_Run._pad_of, "return self.gamma * read.size + self.net.underflow(read.view.step)")
    return proof.steps


class _Size:
    """A positive symbol that answers .abs(), as the code's tensors do."""

    def __init__(self, value: Expr) -> None:
        self.value = value

    def abs(self) -> Expr:
        return self.value


def _code_pad(a: Expr, b: Expr, c: Expr, gamma: Expr, S_v: Expr, S_z: Expr, out: Expr) -> Expr:
    from gpu_engine.bounds import Plane
    from gpu_engine.propagation.relaxed import Charge

    return _pad(Plane(_Size(a), _Size(b), _Size(c)), Charge(S_v, S_z, out, gamma, 0))  # type: ignore[arg-type]


LEMMA = Lemma(
    name="charged_rounding",
    statement=__doc__,
    source="Higham (2002), section 3.1; theory section 4, answer 1",
    code=(
        "gpu_engine.propagation.relaxed:relax",
        "gpu_engine.propagation.relaxed:Charge",
        "gpu_engine.propagation.backward:Backward.lower_bounds",
        "gpu_engine.propagation.schedule:bound",
        "gpu_engine.propagation.schedule:_Run._diagonals",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _charge() + _counts() + _diagonals(),
    controls={
        "the offset is not charged": lambda: _charge(pad=lambda v, z, c, out: v + z + out),
        "the gate v is not charged": lambda: _charge(pad=lambda v, z, c, out: z + c + out),
        "diagonals are charged for one argument": lambda: _diagonals(pad=lambda gamma, v, z: gamma * v),
        "one rounding per unit of a step": lambda: _counts(terms=m + 2 * Q + 4 * r + 4 * n + 4 * S + 64),
        "no inputs": lambda: _counts(terms=2 * m + 2 * Q + 4 * r + 4 * S + 64),
        "chains of affine steps are forgotten": lambda: _counts(terms=2 * m + 4 * r + 4 * n + 4 * S + 64),
        "steps are forgotten": lambda: _counts(terms=2 * m + 2 * Q + 4 * r + 4 * n + 64),
        "one reader per step": lambda: _counts(terms=2 * m + 2 * Q + 4 * n + 4 * S + 64),
    },
)
