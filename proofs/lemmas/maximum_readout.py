"""The maximum over time, by pairs with max(a, b) = a + relu(b - a), is the largest of the frames.

(i)   max(a, b) = a + relu(b - a): for b >= a it is b, else a.
(ii)  The code's steps for T views, in the order in which it pairs them, give the largest value for EVERY order of the
      T values, T = 1 ... 4, by cases; for more views: a level's values are largest values of disjoint groups of frames
      that make up all of them, and so are the next level's, which are half as many.
(iii) Where the ranges tell which is larger, relu is straight on its interval and its lines are exact: the step costs
      nothing there.
Shapes: views (units,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import permutations

import sympy as sp

from gpu_engine.cells.unroll import _maximum
from gpu_engine.steps import Place, Tape, View
from proofs.lemma import Lemma, LemmaError, Proof
from proofs.tactics import Expr, equal, identity, nonnegative
from proofs.tapes import RELU, Codes, read_view

MAX_TIME = 4
LONGEST = 9
Readout = Callable[[Tape, Sequence[View], Place], View]


def _resolved(expr: Expr) -> Expr:
    """relu of sums of positive symbols with one sign, from the inside out."""

    def rule(argument: Expr) -> Expr:
        argument = sp.expand(argument)
        coefficients = [term.as_coeff_Mul()[0] for term in sp.Add.make_args(argument)]
        if all(c >= 0 for c in coefficients):
            return argument
        if all(c <= 0 for c in coefficients):
            return sp.Integer(0)
        raise LemmaError(f"the sign of {argument} is not known")

    return sp.expand(expr.replace(RELU, rule))


def _derive(readout: Readout = _maximum, times: Sequence[int] = range(1, MAX_TIME + 1)) -> list[str]:
    """All orders: the values are base, base + g1, base + g1 + g2, ... with gaps g > 0 (a tie is their limit)."""
    proof = Proof()
    base = sp.Symbol("base", real=True)
    for time in times:
        gaps = sp.symbols(f"gap:{time}", positive=True)
        heights = [base + sum(gaps[:k]) for k in range(time)]
        wrong = 0
        for order in permutations(range(time)):
            tape = Tape(1)
            view = readout(tape, [tape.frame(t) for t in range(time)], Place())
            found = Codes().values(tape, {t: [heights[order[t]]] for t in range(time)})
            wrong += _resolved(read_view(view, found)[0]) != sp.expand(heights[-1])
        proof.by(f"all orders of {time} frames: the largest", equal, wrong, 0)
    return proof.steps


def _groups(halves: Callable[[int], int] = lambda count: count - count // 2) -> list[str]:
    """(ii), induction: a level of n groups is followed by one of ceil(n / 2), fewer while n > 1."""
    proof = Proof()
    for count in range(2, LONGEST + 1):
        tape = Tape(1)
        view = _maximum(tape, [tape.frame(t) for t in range(count)], Place())
        pairs = sum(1 for step in tape.steps if getattr(step, "name", "") == "maximum")
        levels, left = 0, count
        while left > 1:
            levels, left = levels + left // 2, halves(left)
        proof.by(f"{count} frames: as many pairs as the levels have", equal, pairs, levels)
        proof.by(
            f"{count} frames: {count - 1} pairs join them into one group", equal, (pairs, view.size), (count - 1, 1)
        )
    return proof.steps


def _straight(slope: int = 1) -> list[str]:
    """(i) and (iii)."""
    proof = Proof()
    a, more, width = sp.symbols("a more width", positive=True)
    for name, first, second in (("b above a", a, a + more), ("a above b", a + more, a)):
        rise = sp.Max(second - first, 0)
        proof.by(f"max = a + relu(b - a), {name}", identity, first + slope * rise, sp.Max(second, first))
    ranges = {more: (0, sp.oo), width: (0, sp.oo)}
    proof.by("0 <= l: relu(v) = v on [l, l + w]", nonnegative, more + slope * width, ranges)
    return proof.steps


LEMMA = Lemma(
    name="maximum_readout",
    statement=__doc__,
    source="ours; max(a, b) = a + relu(b - a)",
    code=("gpu_engine.cells.unroll:unroll", "gpu_engine.relaxations.relu:maximum"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _derive() + _groups() + _straight(),
    controls={
        "max = a - relu(b - a)": lambda: _straight(slope=-1),
        "the last frame is not compared": lambda: _derive(
            lambda tape, views, place: _maximum(tape, views[:-1] or views, place)
        ),
        "only neighbours are compared": lambda: _derive(
            lambda tape, views, place: _maximum(tape, [_maximum(tape, views[:2], place)], place)
        ),
        "a level of one group fewer": lambda: _groups(halves=lambda count: count // 2),
    },
    covers=("readout max",),
)
