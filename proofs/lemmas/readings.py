"""How lower bounds of rows answer a question: k-th least row, label against others, rows of every step.

(i)   Rows e_label - e_j, j != label, with lower bounds of which at most k - 1 are not positive, that is, whose k-th
      least is positive: at every point at most k - 1 other outputs reach the label's: it is among the k largest.
(ii)  Rows e_label and -e_j with lower bounds L and B_j: y_label - y_j >= L + B_j >= L + min_j B_j for all j. The sum of
      two floats has the sign of the exact sum: sums of floats do not underflow, and rounding is monotone with 0 -> 0.
(iii) Rows of a step t of an answer per frame, y of shape (time, classes) flattened frame after frame: entry
      t * classes + j is y_tj, and all steps hold iff the least of all rows is positive.
(iv)  Rows that must all be positive, any rows C y + d as they were given: the margin is the least lower bound, positive
      iff all are. A frame that is not asked about repeats the rows of frame 0, which changes no least value.
The code's own rows are compared, and (i) is tried for all orders of up to four classes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import sympy as sp
import torch

from gpu_engine.spec import AllRows, Reading, Steps, matrix, per_class, top_k, untargeted_steps
from proofs.arrays import array
from proofs.lemma import Lemma, Proof
from proofs.tactics import Expr, equal, nonnegative, positive_by_assumptions

MAX_CLASSES = 4
MAX_STEPS = 3
OO = sp.oo


def _top_k(shift: int = 0) -> list[str]:
    """shift 1 claims the property for k when the (k+1)-th least row is positive."""
    proof = Proof()
    for classes in range(2, MAX_CLASSES + 1):
        for k in range(1, classes):
            wrong = 0
            for values in product(range(classes), repeat=classes):
                y = torch.tensor([values], dtype=torch.float64)
                for label in range(classes):
                    question = top_k(torch.tensor([label]), min(k + shift, classes - 1), classes)
                    lower = (question.C @ y[:, :, None])[..., 0]
                    reached = sum(1 for j in range(classes) if j != label and values[j] >= values[label])
                    proved = bool(question.margins(lower)[0] > 0)
                    wrong += proved != (reached <= k - 1)
            proof.by(f"k = {k} of {classes}: at most k - 1 others reach the label", equal, wrong, 0)
    # Lower bounds instead of values: a positive lower bound of a row makes the row positive.
    low, above = sp.symbols("low above", positive=True)
    proof.by("a row is at least its lower bound", nonnegative, (low + above) - low, {low: (0, OO), above: (0, OO)})
    return proof.steps


def _per_class(combine: Callable[[Expr, Expr], Expr] = sp.Min) -> list[str]:
    proof = Proof()
    slack, over, more = sp.symbols("slack over more", positive=True)
    # y_label = L + slack; -y_j = B_j + over; two classes with B_j = 0 and B_j = more: a shift of all B_j, or of L,
    # moves both sides alike.
    for own in (sp.Integer(0), more):
        gap = (slack + over + own) - combine(sp.Integer(0), more)
        step = f"y_label - y_j >= L + min_j B_j, B_j = {own}"
        proof.by(step, nonnegative, gap, {slack: (0, OO), over: (0, OO), more: (0, OO)})
    for classes in range(2, MAX_CLASSES + 1):
        for label in range(classes):
            expected = [[int(j == label) for j in range(classes)]]
            expected += [[-int(j == other) for j in range(classes)] for other in range(classes) if other != label]
            rows = per_class(torch.tensor([label]), classes).C[0].tolist()
            proof.by(f"rows of the code, label {label} of {classes}", equal, rows, expected)
    lower = torch.tensor([[1.0, -0.5, -2.0], [2.0, -0.5, -1.0]], dtype=torch.float64)
    read = per_class(torch.tensor([0, 0]), 3).margins(lower)
    proof.by("the code adds row 0 and the least of the others", equal, read.tolist(), [-1.0, 1.0])
    return proof.steps


def _steps(index: Callable[[int, int, int, int], int] = lambda t, j, time, classes: t * classes + j) -> list[str]:
    """index: where output j of step t of (time, classes) is found."""
    proof = Proof()
    for classes in range(2, MAX_CLASSES):
        for time in range(2, MAX_STEPS + 1):
            labels = torch.arange(time)[None] % classes
            found = untargeted_steps(labels, classes).C[0].tolist()
            expected = []
            for t in range(time):
                label = t % classes
                for other in (j for j in range(classes) if j != label):
                    row = [0] * (time * classes)
                    row[index(t, label, time, classes)] = 1
                    row[index(t, other, time, classes)] = -1
                    expected.append(row)
            proof.by(f"rows of the code, {time} steps of {classes} classes", equal, found, expected)
    return proof.steps


def _all(readings: tuple[Reading, ...] = (AllRows(), Steps(2)), least: Callable[..., Expr] = sp.Min) -> list[str]:
    """(iv). readings: those whose margin is the least row."""
    proof = Proof()
    rows = sp.symbols("row:4", real=True)
    for reading in readings:
        found = reading.margins(array([rows]))  # type: ignore[arg-type]
        proof.by(f"{type(reading).__name__}: the least row", equal, found.tolist(), [least(*rows)])
    first, second = sp.symbols("first second", positive=True)
    proof.by("all rows positive: so is the least", positive_by_assumptions, least(first, second))
    gap = sp.Symbol("gap", positive=True)
    for name, others in (("the first", (first, first + gap)), ("the second", (first + gap, first))):
        rest = [row - least(*others) for row in others]
        proof.by(f"{name} is the least: all are at least it", nonnegative, sum(rest), {first: (0, OO), gap: (0, OO)})
    steps = Steps(2).step_margins(torch.tensor([[4.0, 1.0, 3.0, 2.0]], dtype=torch.float64))
    proof.by("the least row of every step", equal, steps.tolist(), [[1.0, 2.0]])
    ragged = untargeted_steps(torch.tensor([[1, 0, 0]]), 3, torch.tensor([1])).C[0].reshape(3, 2, 9)
    for step in (1, 2):
        proof.by(f"padding: frame {step} repeats frame 0", equal, ragged[step].tolist(), ragged[0].tolist())
    C, d = torch.arange(12, dtype=torch.float64).reshape(3, 4), torch.arange(3, dtype=torch.float64)
    given = matrix(C, d, batch=2)
    for sample in range(2):
        proof.by(f"rows as given, sample {sample}", equal, given.C[sample].tolist(), C.tolist())
        proof.by(f"constants as given, sample {sample}", equal, given.d[sample].tolist(), d.tolist())
    return proof.steps


LEMMA = Lemma(
    name="readings",
    statement=__doc__,
    source="POPQORN (Ko et al. 2019), from output bounds to certified bounds; lemma `margin_rows`",
    code=(
        "gpu_engine.spec:top_k",
        "gpu_engine.spec:KthLeast.margins",
        "gpu_engine.spec:per_class",
        "gpu_engine.spec:LabelAgainstOthers.margins",
        "gpu_engine.spec:untargeted_steps",
        "gpu_engine.spec:Steps.margins",
        "gpu_engine.spec:AllRows.margins",
        "gpu_engine.spec:matrix",
    ),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_spec.py"),
    check=lambda: _top_k() + _per_class() + _steps() + _all(),
    controls={
        "the (k+1)-th least row": lambda: _top_k(shift=1),
        "the largest of the others' bounds": lambda: _per_class(combine=sp.Max),
        "the largest row": lambda: _all(least=sp.Max),
        "outputs class after class": lambda: _steps(index=lambda t, j, time, classes: j * time + t),
    },
)
