"""A network, its rows and its input sets at one point, in exact or ball arithmetic: what a counter-example counts by.

Balls contain the exact values, so what is said of them is true whatever rounding did to the search that found the
point; where a ball does not decide at the most bits, nothing is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from flint import arb
from torch import Tensor

from gpu_engine.inputs import Boxes, InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import KthLeast, LabelAgainstOthers, Specification
from refcert.app.sandwich.exact_network import exact_outputs, program_of
from refcert.kernel.ball import (
    exact,
    float_above,
    float_below,
    precision,
    smaller,
    sum_of,
    surely_not_positive,
    surely_positive,
)
from refcert.kernel.program import Program
from refcert.strategies.membership import exactly, holds

BITS: Final = (128, 512, 2048)
"""One after the other, until the question is decided; the last resolves differences of any two float64 numbers."""


@dataclass
class ExactNetwork:
    """A model whose outputs are computed in ball arithmetic; its programs are kept by their number of frames."""

    model: RecurrentClassifier
    _programs: dict[int, Program] = field(default_factory=dict)

    def rows(self, specification: Specification, x: Tensor) -> list[arb]:
        """C F(x) + d of the only sample of a specification, at x (frames, input), in the precision around the call."""
        frames = x.shape[0]
        if frames not in self._programs:
            self._programs[frames] = program_of(self.model, frames)
        outputs = exact_outputs(self._programs[frames], x.tolist())
        found = []
        for coefficients, constant in zip(specification.C[0].tolist(), specification.d[0].tolist(), strict=True):
            used = [exact(c) * value for c, value in zip(coefficients, outputs, strict=False) if c]
            found.append(sum_of(used) + exact(constant))
        return found

    def broken(self, specification: Specification, x: Tensor) -> tuple[float, float] | None:
        """Floats around the margin at x (frames, input) where it is certainly not positive; else None."""
        for bits in BITS:
            with precision(bits):
                margin = margin_of(specification, self.rows(specification, x))
                if surely_not_positive(margin):
                    return float_below(margin), float_above(margin)
                if surely_positive(margin):
                    return None
        return None

    def beyond(self, specification: Specification, x: Tensor, claimed: float, side: str) -> float | None:
        """By how much at least the only row at x is below (above) a claimed lower (upper) bound; None if it is not."""
        sign = exact(1.0 if side == "lower" else -1.0)
        for bits in BITS:
            with precision(bits):
                (row,) = self.rows(specification, x)
                if not math.isfinite(claimed):
                    return math.inf if (claimed > 0) == (side == "lower") else None
                excess = sign * (exact(claimed) - row)
                if surely_positive(excess):
                    return max(float_below(excess), math.ulp(0.0))
                if surely_not_positive(excess):
                    return None
        return None


def margin_of(specification: Specification, rows: list[arb]) -> arb:
    """One margin out of the rows, as the specification is read."""
    reading = specification.reading
    if isinstance(reading, LabelAgainstOthers):
        return rows[0] + _least(rows[1:])
    if isinstance(reading, KthLeast):
        lows, highs = sorted(map(float_below, rows)), sorted(map(float_above, rows))
        return exact(lows[reading.k - 1]).union(exact(highs[reading.k - 1]))
    return _least(rows)


def _least(values: list[arb]) -> arb:
    least = values[0]
    for value in values[1:]:
        least = smaller(least, value)
    return least


def contains(inputs: InputSet, sample: int, x: Tensor) -> bool:
    """Whether x (time, input) is certainly in the set of the sample, in exact arithmetic."""
    if x.shape != inputs.center.shape[1:] or bool((~x.isfinite()).any()):
        return False
    if isinstance(inputs, Boxes):  # comparing floats is exact
        return bool(((inputs.lower[sample] <= x) & (x <= inputs.upper[sample])).all())
    return holds(inputs, sample, exactly(x.numpy()))
