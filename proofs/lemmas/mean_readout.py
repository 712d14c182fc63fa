"""The mean over time is the affine step sum_t y_t / T, and dividing an interval by a whole number encloses it.

(i)   The code's step for T views has T terms with the divisor T: (y_1 + ... + y_T) / T, unit by unit.
(ii)  l <= y <= u: y / d lies between l / d and u / d for d > 0, between u / d and l / d for d < 0.
Shapes: views (units,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import sympy as sp

from gpu_engine.cells.unroll import _mean
from gpu_engine.steps import Place, Tape, View
from proofs.lemma import Lemma, Proof
from proofs.tactics import nonnegative
from proofs.tapes import Codes, Vector, inputs, plus, read_view, same

MAX_TIME = 5
UNITS = 2
Readout = Callable[[Tape, Sequence[View], Place], View]


def _derive(readout: Readout = _mean, count: Callable[[int], int] = lambda time: time) -> list[str]:
    """count: what the sum is divided by, true for the number of frames."""
    proof = Proof()
    for time in range(1, MAX_TIME + 1):
        tape = Tape(UNITS)
        frames = inputs(time, UNITS)
        view = readout(tape, [tape.frame(t) for t in range(time)], Place())
        found = read_view(view, Codes().values(tape, frames))
        expected: Vector = [value / sp.Integer(count(time)) for value in plus(*frames.values())]
        proof.by(f"the mean of {time} frames", same, found, expected)
    return proof.steps


def _divided(exchanged: bool = True) -> list[str]:
    """(ii). exchanged: the ends change places for a negative divisor."""
    proof = Proof()
    low = sp.Symbol("low", real=True)
    up, down, divisor = sp.symbols("up down divisor", positive=True)
    ranges = {up: (0, sp.oo), down: (0, sp.oo), divisor: (0, sp.oo)}
    y, high = low + up, low + up + down
    for sign in (1, -1):
        first, last = (low, high) if sign > 0 or not exchanged else (high, low)
        d = sign * divisor
        proof.by(f"divisor {'> 0' if sign > 0 else '< 0'}: lower end", nonnegative, sp.expand((y - first) / d), ranges)
        proof.by(f"divisor {'> 0' if sign > 0 else '< 0'}: upper end", nonnegative, sp.expand((last - y) / d), ranges)
    return proof.steps


LEMMA = Lemma(
    name="mean_readout",
    statement=__doc__,
    source="ours; the readouts are those of `gpu_engine.model`",
    code=("gpu_engine.cells.unroll:unroll", "gpu_engine.steps:Term", "gpu_engine.propagation.schedule:bound"),
    tests=("tests/proofs/test_lemmas.py", "tests/engine/test_bounds_law.py"),
    check=lambda: _derive() + _divided(),
    controls={
        "the sum instead of the mean": lambda: _derive(count=lambda time: 1),
        "one frame is forgotten": lambda: _derive(lambda tape, views, place: _mean(tape, views[:-1] or views, place)),
        "the ends keep their places": lambda: _divided(exchanged=False),
    },
    covers=("readout mean",),
)
