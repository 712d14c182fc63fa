"""Replacing variables by their planes, the lower one where the coefficient is >= 0, gives a lower bound.

Let y satisfy L(x) <= y <= U(x) for all values considered, L and U affine in earlier variables x.
(i)   For A >= 0: A y >= A L(x); for A < 0: A y >= A U(x). So a linear form with y replaced in this way is at most the
      form with y, for every value: one step.
(ii)  A chain of such steps ends in a form over the inputs only, and form_0 >= form_1 >= ... >= its minimum.
(iii) The upper bound of a row is minus the lower bound of minus that row.
(iv)  If two boxes contain a variable, so does their intersection.
(v)   An LSTM frame is three such products: c = sigmoid(f) c' + sigmoid(i) tanh(g), h = sigmoid(o) tanh(c);
      substituting h and then c, whose coefficient is the sum of its own and of what h passes on, is such a chain.
(vi)  1 - sigmoid(z) = sigmoid(-z), so a GRU's update (1 - sigmoid(z)) tanh(n) + sigmoid(z) h' is a sum of two such
      products; a plane a v + b z + c over v = -w is the plane -a w + b z + c over w.
(vii) max(a, b) = a + relu(b - a).
Shapes: elementwise; sums over units follow term by term.
"""

from __future__ import annotations

from itertools import product

import sympy as sp

from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, equal, identity, nonnegative

OO = sp.oo
Slopes = tuple[Expr, Expr, Expr]


def _take(coefficient: Expr, sign: int, lower: Expr, upper: Expr, swapped: bool) -> Expr:
    """The code's choice: lower where the coefficient is positive, upper where it is not."""
    return coefficient * (lower if (sign > 0) != swapped else upper)


def _step(swapped: bool = False) -> list[str]:
    proof = Proof()
    size, above, below = sp.symbols("size above below", positive=True)
    L, U, y = sp.symbols("L U y", real=True)
    ranges = {size: (0, OO), above: (0, OO), below: (0, OO)}
    for sign, name in ((1, "A >= 0"), (-1, "A < 0")):
        A = sign * size
        loss = A * y - _take(A, sign, L, U, swapped)
        # y = L + above when compared with its lower plane, U - below with its upper plane.
        loss = sp.expand(loss.subs(y, L + above) if sign > 0 else loss.subs(y, U - below))
        if loss.free_symbols & {L, U}:
            loss = sp.expand(loss.subs(U, L + above + below))
        proof.by(f"{name}: the form does not increase", nonnegative, loss, ranges)
    return proof.steps


def _lstm(swapped: bool = False, sum_coefficients: bool = True) -> list[str]:
    """(v) for one unit, all signs of the coefficient of h and of the summed coefficient of c."""
    proof = Proof()
    P, Q = sp.symbols("P Q", positive=True)  # |coefficient of h|, |summed coefficient of c|
    o, c, f, i, g, before = sp.symbols("o c f i g before", real=True)
    ranges = {P: (0, OO), Q: (0, OO)}
    planes: dict[str, tuple[Expr, Expr]] = {}
    gap: dict[str, Expr] = {}
    for name, first, second in (("o", o, c), ("f", f, before), ("i", i, g)):
        lower, upper = (
            sp.Symbol(f"{name}{side}v", real=True) * first
            + sp.Symbol(f"{name}{side}z", real=True) * second
            + sp.Symbol(f"{name}{side}", real=True)
            for side in ("L", "U")
        )
        planes[name] = lower, upper
    for sign_h, sign_c in product((1, -1), repeat=2):
        values: dict[str, Expr] = {}
        for name, sign in (("o", sign_h), ("f", sign_c), ("i", sign_c)):
            gap[name] = sp.Symbol(f"gap_{name}", positive=True)
            ranges[gap[name]] = (0, OO)
            # The product's true value, measured from the plane on its side.
            values[name] = planes[name][0] + gap[name] if sign > 0 else planes[name][1] - gap[name]
        A = sign_h * P
        through = (planes["o"][0] if sign_h > 0 else planes["o"][1]).coeff(c) * A
        own = sign_c * Q - through  # the form's own coefficient of c: all values of `own` occur
        on_cell = own + through if sum_coefficients else own
        form = A * values["o"] + own * c
        after_h = _take(A, sign_h, *planes["o"], swapped) + own * c
        cell = values["f"] + values["i"]
        rest = sp.expand(after_h - (own + through) * c)
        after_c = rest + sum(_take(on_cell, sign_c, *planes[name], swapped) for name in ("f", "i"))
        # c stands for its update everywhere.
        loss = sp.expand((form - after_c).subs(c, cell))
        signs = f"coefficients {'+' if sign_h > 0 else '-'} {'+' if sign_c > 0 else '-'}"
        proof.by(f"LSTM frame, {signs}: the form does not increase", nonnegative, loss, ranges)
    return proof.steps


def _rest(upper_from: int = -1) -> list[str]:
    proof = Proof()
    y, lower, gap1, gap2 = sp.symbols("y lower gap1 gap2", positive=True)
    chain = (y + gap1 + gap2) - y
    proof.by(
        "induction: form_0 - form_2 = (form_0 - form_1) + (form_1 - form_2)",
        nonnegative,
        chain,
        {gap1: (0, OO), gap2: (0, OO), y: (0, OO)},
    )
    # -y >= lower implies y <= -lower.
    slack = upper_from * lower - y
    proof.by("upper bound: minus the lower bound of minus the row", identity, slack, -y - lower)
    first, second = sp.symbols("first second", real=True)
    proof.by(
        "intersection: the larger lower end is one of the two",
        equal,
        sp.Max(first, second).args and set(sp.Max(first, second).args),
        {first, second},
    )
    f, i, g, o, c0 = sp.symbols("f i g o c0", real=True)
    cell = sp.Function("s")(f) * c0 + sp.Function("s")(i) * sp.tanh(g)
    hidden = sp.Function("s")(o) * sp.tanh(cell)
    proof.by("the cell is a sum of two products", equal, len(sp.Add.make_args(cell)), 2)
    proof.by("the hidden state is one product of the cell", equal, hidden.has(sp.tanh(cell)), True)
    return proof.steps


def _gru(mirror: int = -1, larger: int = 1) -> list[str]:
    """(vi) and (vii)."""
    proof = Proof()
    w, z, a, b, c = sp.symbols("w z a b c", real=True)
    proof.by("1 - sigmoid(w) = sigmoid(-w)", identity, 1 - 1 / (1 + sp.exp(-w)), 1 / (1 + sp.exp(-(mirror * w))))
    v = sp.Symbol("v", real=True)
    mirrored = _mirrored_plane(a, b, c)
    proof.by(
        "the code's plane over -v",
        identity,
        (a * v + b * z + c).subs(v, mirror * w),
        mirrored[0] * w + mirrored[1] * z + mirrored[2],
    )
    low, more = sp.symbols("low more", positive=True)
    for name, first, second in (("b above a", low, low + more), ("a above b", low + more, low)):
        rise = second - first if name == "b above a" else sp.Integer(0)
        largest = second if name == "b above a" else first
        proof.by(f"max = a + relu(b - a), {name}", identity, first + larger * rise, largest)
    return proof.steps


def _mirrored_plane(a: Expr, b: Expr, c: Expr) -> Slopes:
    from gpu_engine.bounds import Plane
    from gpu_engine.propagation.relaxed import _mirrored

    plane = _mirrored(Plane(a, b, c))
    return plane.slope_v, plane.slope_z, plane.offset


LEMMA = Lemma(
    name="back_substitution",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), theorem A.3; DeepPoly (Singh et al. 2019), CROWN (Zhang et al. 2018)",
    code=(
        "gpu_engine.propagation.backward:Backward.lower_bounds",
        "gpu_engine.propagation.relaxed:choose",
        "gpu_engine.propagation.relaxed:relax",
        "gpu_engine.cells.gru:gru",
        "gpu_engine.cells.unroll:unroll",
        "gpu_engine.bounds:Box.intersect",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _step() + _lstm() + _gru() + _rest(),
    controls={
        "the upper plane for a positive coefficient": lambda: _step(swapped=True),
        "the same in an LSTM frame": lambda: _lstm(swapped=True),
        "the coefficient that h passes to c is forgotten": lambda: _lstm(sum_coefficients=False),
        "the plane over -v is not mirrored": lambda: _gru(mirror=1),
        "max(a, b) = a - relu(b - a)": lambda: _gru(larger=-1),
        "upper bound = lower bound of minus the row": lambda: _rest(upper_from=1),
    },
)
