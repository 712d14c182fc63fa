"""Does an input in a certified ball break the specification? Decided in ball arithmetic, not by the forward pass.

Method card
    Claim      CONTRADICTED: the input lies in the ball that was certified, and there the exact network's margin is
               below every positive float64, so below the margin that was certified. Excused: one of the two is not
               so; what made the attack seem to reach into the ball was rounding.
    Idea       outputs, rows and norms as balls (`exact_network`), with more bits until both questions are decided.
    Undecided  with the most bits: counts as contradicted, and the verdict says so; an exact margin so close to the
               smallest float64 has no place under a certified one either.
    Shapes     one question: x, center (time, input).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from flint import arb
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.question import Question
from gpu_engine.inputs import FrameBalls, SequenceBall
from gpu_engine.spec import KthLeast, LabelAgainstOthers
from refcert.app.sandwich.exact_network import exact_outputs, program_of
from refcert.kernel.ball import (
    ZERO,
    exact,
    float_above,
    float_below,
    larger,
    power,
    precision,
    smaller,
    sum_of,
    surely_less,
    surely_not_positive,
    surely_positive,
)

BITS: Final = (128, 512, 2048, 8192)
"""One after the other, until the question is decided; the third resolves differences of any two float64 numbers."""

_LEAST_MARGIN: Final = math.ulp(0.0)
"""No certified margin is smaller: it is a positive float64."""


class Verdict(StrEnum):
    """CONTRADICTED stops a run, and so does UNDECIDED."""

    CONTRADICTED = "contradicted"
    UNDECIDED = "undecided"
    INSIDE_HOLDS = "the exact network holds at the input; the forward pass was rounded"
    OUTSIDE = "the input lies outside the certified ball; its size was rounded"


@dataclass(frozen=True)
class Judgement:
    """verdict, and between which floats the exact margin at the input lies; bits: the precision that decided."""

    verdict: Verdict
    margin_low: float
    margin_high: float
    bits: int

    @property
    def excused(self) -> bool:
        """Whether rounding explains it."""
        return self.verdict in (Verdict.INSIDE_HOLDS, Verdict.OUTSIDE)


def judge(question: Question, family: BallFamily, certified: Tensor, x: Tensor) -> Judgement:
    """One question, its family, the radius certified for it, (1,), and the adversarial input, (1, time, input)."""
    ball, frames = family.at(certified), _frames(question, x)
    program = program_of(question.model, frames)
    point = x[0, :frames].tolist()
    for bits in BITS:
        with precision(bits):
            rows = _rows(question, exact_outputs(program, point))
            needed, terms = _breaking(question, rows)
            inside = _inside(ball, family, x)
            margin = _nth_least(terms, needed)
            found = float_below(margin), float_above(margin)
            if inside is False:
                return Judgement(Verdict.OUTSIDE, *found, bits)
            least = exact(_LEAST_MARGIN)
            if sum(surely_positive(term - least) for term in terms) > len(terms) - needed:
                return Judgement(Verdict.INSIDE_HOLDS, *found, bits)
            if inside and sum(surely_less(term, least) for term in terms) >= needed:
                return Judgement(Verdict.CONTRADICTED, *found, bits)
    return Judgement(Verdict.UNDECIDED, *found, bits)


def _frames(question: Question, x: Tensor) -> int:
    return x.shape[1] if question.lengths is None else int(question.lengths[0])


def _rows(question: Question, outputs: list[arb]) -> list[arb]:
    """C F(x) + d; no row asks about outputs behind a sequence's end."""
    rows = []
    for coefficients, constant in zip(
        question.specification.C[0].tolist(), question.specification.d[0].tolist(), strict=True
    ):
        used = [exact(c) * value for c, value in zip(coefficients, outputs, strict=False) if c]
        rows.append(sum_of(used) + exact(constant))
    return rows


def _breaking(question: Question, rows: list[arb]) -> tuple[int, list[arb]]:
    """(k, terms): the specification is broken where at least k terms are not positive; the k-th least is the margin."""
    reading = question.specification.reading
    if isinstance(reading, LabelAgainstOthers):
        return 1, [rows[0] + other for other in rows[1:]]
    return (reading.k if isinstance(reading, KthLeast) else 1), rows


def _nth_least(terms: list[arb], n: int) -> arb:
    """The n-th least of the terms, as a ball: each end is the n-th least end."""
    if n == 1:
        least = terms[0]
        for term in terms[1:]:
            least = smaller(least, term)
        return least
    lows = sorted(float_below(term) for term in terms)
    highs = sorted(float_above(term) for term in terms)
    return exact(lows[n - 1]).union(exact(highs[n - 1]))


def _inside(ball: FrameBalls | SequenceBall, family: BallFamily, x: Tensor) -> bool | None:
    """Whether x lies in the ball; None where the precision does not tell."""
    if bool(((family.weight[0] == 0) & (x[0] != family.center[0]).any(-1)).any()):
        return False
    if family.clip is not None and bool(((x[0] < family.clip[0]) | (x[0] > family.clip[1])).any()):
        return False
    pairs = zip(x[0].tolist(), family.center[0].tolist(), strict=True)
    offsets = [[abs(exact(a) - exact(b)) for a, b in zip(*pair, strict=True)] for pair in pairs]
    if isinstance(ball, FrameBalls):
        answers = [_within(o, r, family.p) for o, r in zip(offsets, ball.radius[0].tolist(), strict=True)]
    else:
        answers = [_within([value for o in offsets for value in o], float(ball.radius[0]), family.p)]
    if False in answers:
        return False
    return None if None in answers else True


def _within(sizes: list[arb], radius: float, p: float) -> bool | None:
    if math.isinf(p):
        largest = ZERO
        for value in sizes:
            largest = larger(largest, value)
        excess = largest - exact(radius)
    else:
        exponent = exact(p)
        if p == 1:
            excess = sum_of(sizes) - exact(radius)
        else:
            excess = sum_of(power(value, exponent) for value in sizes) - power(exact(radius), exponent)
    if surely_not_positive(excess):
        return True
    return False if surely_positive(excess) else None
