"""OFFSET_UNITS units of slack cover all roundings of every candidate for the offset of a line.

Let B be the real number that a candidate of a curve's `maximum` stands for (lemmas `curve_lines`, `s_curve_maximum`)
and B' the float that the code computes. As in `offset_rounding`, the counts come from running the code itself on
symbols, and with the slack S' as the code computes it, fl(B' + S') >= B, because monomial by monomial
    sum_i |m_i| gamma_(k_i + 1) + underflows <= S (1-u)^(k_S + 1)

for sigmoid, tanh and relu, upper and lower lines, float64 and float32. The monomials are g = max |phi| on the
interval (for the sigmoid 1), its width, its largest magnitude and |slope|.
"""

from __future__ import annotations

from types import ModuleType
from unittest import mock

import sympy as sp
import torch

from gpu_engine.bounds import Box
from gpu_engine.relaxations import offsets, relu, sigmoid, tanh
from gpu_engine.rounding import OFFSET_UNITS
from proofs import rounding_choices  # noqa: F401  (makes where, maximum and minimum known)
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.lemmas.offset_rounding import covered, loss_and_slack
from proofs.roundings import Expr, Interval, Traced, constant, leaf, point

A, g, M, width = sp.symbols("A g M width", positive=True)
CURVES = {"sigmoid": sigmoid, "tanh": tanh, "relu": relu}
SIGNS = {"above": 1.0, "below": -1.0}
DTYPES = (torch.float64, torch.float32)


def traced(module: ModuleType, sign: float, dtype: torch.dtype) -> tuple[Traced, Traced]:
    """The largest candidate before the slack, and the slack, as the code computes them on symbols."""
    along = Interval(M, width, sp.nan, g)  # no point of these candidates may lie outside: an overshoot would be NaN
    box = Box(*(point(along, dtype) for _ in range(2)))  # type: ignore[arg-type]
    slack: list[Traced] = []

    def keep(*arguments: object, **named: object) -> Traced:
        slack.append(offsets.curve_slack(*arguments, **named))  # type: ignore[arg-type]
        return constant(0)

    with mock.patch.object(module, "curve_slack", keep):
        best = module.maximum(sign, box, leaf(A))
    if not best.value.known:
        raise LemmaError("a candidate is not known")
    return best.value, slack[0]


def _derive(scale: Expr = 1, curves: tuple[str, ...] = tuple(CURVES)) -> list[str]:
    proof = Proof()
    for name in curves:
        for side, sign in SIGNS.items():
            for dtype in DTYPES:
                amounts = loss_and_slack(*traced(CURVES[name], sign, dtype), dtype, scale)
                proof.by(f"{name} {side}, {dtype}: every monomial is covered", covered, *amounts, dtype)
    return proof.steps


def units(name: str, dtype: torch.dtype = torch.float64) -> Expr:
    """The constant that would just do for one curve: OFFSET_UNITS times the largest quotient of loss and slack."""
    quotients = []
    for sign in SIGNS.values():
        loss, given = loss_and_slack(*traced(CURVES[name], sign, dtype), dtype)
        quotients += [amount / given[m] for m, amount in loss.items() if m in given]
    return sp.Max(*quotients) * OFFSET_UNITS


LEMMA = Lemma(
    name="curve_rounding",
    statement=__doc__,
    source="Higham (2002), section 3.1; the counts are ours",
    code=(
        "gpu_engine.rounding:OFFSET_UNITS",
        "gpu_engine.relaxations.offsets:curve_slack",
        "gpu_engine.relaxations.sigmoid:maximum",
        "gpu_engine.relaxations.tanh:maximum",
        "gpu_engine.relaxations.relu:maximum",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/proofs/test_roundings.py", "tests/engine/test_lines.py"),
    check=_derive,
    controls={
        "half of the slack for tanh": lambda: _derive(sp.Rational(1, 2), ("tanh",)),
        "a quarter of the slack for the sigmoid": lambda: _derive(sp.Rational(1, 4), ("sigmoid",)),
        "a sixteenth of the slack for relu": lambda: _derive(sp.Rational(1, 16), ("relu",)),
    },
)
