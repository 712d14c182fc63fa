"""The label is the only largest output on a set iff every margin row is positive on it.

Let y = F(x) in R^classes and row_j = e_label - e_j, j != label. Then row_j . y = y_label - y_j, and

    all rows positive at x   <=>   y_label > y_j for all j != label   <=>   argmax y = {label}.

So C F(x) + d > 0 with these rows and d = 0 on the whole set says that no input of the set changes the class; the
untargeted property is the conjunction of the targeted ones. A margin of 0 is a tie and is NOT enough.
The rows that the code builds are compared for every label and up to six classes.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp

from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import Expr, equal, identity, positive

gap, rest, label_value = sp.symbols("gap rest label_value", positive=True)
MAX_CLASSES = 6


def code_rows(label: int, classes: int) -> list[list[int]]:
    """The margin rows of gpu_engine.spec.untargeted, as whole numbers."""
    import torch

    from gpu_engine.spec import untargeted

    rows = untargeted(torch.tensor([label]), classes).C[0].tolist()
    if any(value != int(value) for row in rows for value in row):
        raise LemmaError("a margin row holds a number that is not whole")
    return [[int(value) for value in row] for row in rows]


def _derive(rows: Callable[[int, int], list[list[int]]] = code_rows, tie: Expr = gap) -> list[str]:
    proof = Proof()
    # => : y_j = y_label - margin_j with margin_j > 0, so y_label is above every other output.
    other = label_value - tie
    proof.by(
        "a positive margin puts the label above the other",
        positive,
        label_value - other,
        {label_value: (0, sp.oo), gap: (0, sp.oo)},
    )
    # <= and the conjunction: the least margin is the label's value minus the largest other output.
    first, second = sp.symbols("first second", real=True)
    least = sp.Min(label_value - first, label_value - second)
    proof.by(
        "least margin = label - largest other",
        identity,
        (least - (label_value - sp.Max(first, second))).rewrite(sp.Piecewise).simplify(),
    )
    for classes in range(2, MAX_CLASSES + 1):
        y = sp.symbols(f"y:{classes}", real=True)
        for label in range(classes):
            margins = [sum(c * value for c, value in zip(row, y, strict=True)) for row in rows(label, classes)]
            expected = [y[label] - y[j] for j in range(classes) if j != label]
            proof.by(f"rows of the code, label {label} of {classes}", equal, margins, expected)
    return proof.steps


def _short(label: int, classes: int) -> list[list[int]]:
    return code_rows(label, classes)[:-1]


def _negated(label: int, classes: int) -> list[list[int]]:
    return [[-value for value in row] for row in code_rows(label, classes)]


LEMMA = Lemma(
    name="margin_rows",
    statement=__doc__,
    source="theory section 1; POPQORN (Ko et al. 2019)",
    code=("gpu_engine.spec:untargeted", "gpu_engine.spec:targeted"),
    tests=("tests/proofs/test_lemmas.py",),
    check=_derive,
    controls={
        "one class is forgotten": lambda: _derive(rows=_short),
        "rows with the other sign": lambda: _derive(rows=_negated),
        "a margin of zero is enough": lambda: _derive(tie=sp.Integer(0)),
    },
)
