"""The steps of a GRU cell, the reset gate after or before the matrix product, are its equations as sums of products.

With r, z = sigmoid(W x + b + U h' + c), blocks of rows in the order r, z, n,

    n = tanh(W_n x + b_n + r (U_n h' + c_n))   (PyTorch),   or   n = tanh(W_n x + b_n + U_n (r h') + c_n)   (ONNX),
    h = (1 - z) n + z h'.

(i)   1 - sigmoid(w) = sigmoid(-w), so h = sigmoid(-w) tanh(.) + sigmoid(w) h': two products that have planes, the first
      over -w; r (U_n h' + c_n) = sigmoid(.) times an affine form, r h' likewise.
(ii)  The code's own steps, read back as expressions, are these equations for every weight, state and input; without a
      state before they are the equations for zeros.
(iii) A plane over -v becomes one over v by changing the sign of slope_v (the code's own function).
(iv)  As n + z (h' - n) the update is one product of two factors that share n, which costs: where z and n are known to
      intervals only, the two products' ranges add up to the update's range if h' = 0, while n + z (h' - n) loses.
Shapes: two units, two inputs from two sources; sizes enter the code as lengths of blocks only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp

from gpu_engine.bounds import Plane
from gpu_engine.cells.gru import gru, gru_reset_before
from gpu_engine.propagation.relaxed import _mirrored
from proofs import cell_equations
from proofs.lemma import Lemma, Proof
from proofs.lemmas.cell_steps import code_frame, direction, parameters
from proofs.tactics import Expr, identity, positive
from proofs.tapes import Codes, Vector, complement, read_view, same

CELLS = {"gru": gru, "gru_reset_before": gru_reset_before}


def _steps(equations: Callable[..., Vector] = cell_equations.gru, **changed: Any) -> list[str]:
    """changed: arguments of the equations that make them false."""
    proof = Proof()
    proof.by("1 - sigmoid(w) = sigmoid(-w)", complement)
    for name, cell in CELLS.items():
        for started in (False, True):
            codes = Codes()
            weights = direction(codes, name, 2, 2)
            state, found, x, h, _ = code_frame(cell, codes, weights, started)
            options = {"reset_before": name == "gru_reset_before"} | changed
            expected = equations(parameters(codes, weights), x, h, **options)
            assert state.hidden is not None
            step = f"{name}{'' if started else ' from zeros'}: the hidden state"
            proof.by(step, same, read_view(state.hidden, found), expected)
    return proof.steps


def _over_minus_v(mirror: Callable[[Plane], Plane] = _mirrored) -> list[str]:
    """(iii)."""
    proof = Proof()
    v, w, z, a, b, c = sp.symbols("v w z a b c", real=True)
    plane = mirror(Plane(a, b, c))
    over_v = plane.slope_v * v + plane.slope_z * z + plane.offset
    proof.by("a plane over -v, as one over v", identity, over_v, (a * w + b * z + c).subs(w, -v))
    return proof.steps


def _ranges(lost: int = 1) -> list[str]:
    """(iv) for h' = 0, z in [s, s + d], n in [-m, m]: (1 - z) n against n - z n. lost -1 claims the opposite."""
    proof = Proof()
    s, d, m, rest = sp.symbols("s d m rest", positive=True)
    # The sigmoid's range [s, s + d] ends below 1: 1 - s - d = rest.
    product: Expr = (rest + d) * m  # largest (1 - z) |n|
    apart: Expr = m + (s + d) * m  # largest |n| and largest z |n|, added
    ranges = dict.fromkeys((s, d, m, rest), (0, sp.oo))
    gap = lost * (apart - product).subs(rest, 1 - s - d)
    proof.by("n + z (h' - n) loses against (1 - z) n + z h'", positive, sp.expand(gap), ranges)
    return proof.steps


LEMMA = Lemma(
    name="gru_update",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), theorem A.6; PyTorch's nn.GRU; ONNX's operator GRU, linear_before_reset",
    code=(
        "gpu_engine.cells.gru:gru",
        "gpu_engine.cells.gru:gru_reset_before",
        "gpu_engine.propagation.relaxed:relax",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_forward.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _steps() + _over_minus_v() + _ranges(),
    controls={
        "gates in the order z, r, n": lambda: _steps(order=("z", "r", "n")),
        "z n + (1 - z) h'": lambda: _steps(keep="1 - z"),
        "both resets before the product": lambda: _steps(reset_before=True),
        "both resets after the product": lambda: _steps(reset_before=False),
        "a plane over -v is left as it is": lambda: _over_minus_v(lambda plane: plane),
        "n + z (h' - n) gains": lambda: _ranges(lost=-1),
    },
)
