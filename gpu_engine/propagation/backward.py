"""Back-substitution of linear forms through the steps of the network, down to the input set.

Method card
    Claim      `Backward.lower_bounds(forms, ...)` <= the forms' values on every input of the set.
    Source     POPQORN (Ko et al. 2019), theorems A.2, A.3, A.6; CROWN and DeepPoly call it the backward pass.
    Idea       only lower bounds are implemented: the upper bound of a form is minus the lower bound of minus it.
    Variables  a step's variable is its value less its constant part (see `schedule`): x_t - center_t for the input, the
               sum of the terms without what is fixed for an affine step, the value itself for a nonlinear step.
    Sound?     yes in exact arithmetic with sound planes (lemma `back_substitution`). Rounding: a coefficient that is
               computed as A + d instead of A changes the form by at most |d| times the magnitude of its variable. Where
               the variable is an argument of nonlinearities, all such errors are bounded per unit and folded into the
               planes' constants (`relaxed.relax`); where it enters other sums, they are charged to the row itself
               (`Backward.charge`). Lemma `charged_rounding`.
    Shapes     coefficients (batch or 1, spec, units), bounds (batch, spec).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from gpu_engine.propagation.concretize import PreparedInput
from gpu_engine.propagation.relaxed import RelaxedStep, choose
from gpu_engine.propagation.weights import Ranges, Weights
from gpu_engine.rounding import tiny
from gpu_engine.steps import Affine, Input, Nonlinear, Step, Term, View, sources_of

# Samples are substituted in blocks whose coefficients take about this much memory: on a CPU so little that they stay
# in its caches (a quarter faster, measured), elsewhere enough to fill the device. Results do not depend on it.
BLOCK_BYTES = {"cpu": 2 << 20}
BLOCK_BYTES_ELSEWHERE = 1 << 30


def default_block_bytes(device: torch.device) -> int:
    """Memory for a block of coefficients where the user sets none."""
    return BLOCK_BYTES.get(device.type, BLOCK_BYTES_ELSEWHERE)


@dataclass
class Forms:
    """Rows of linear forms over the steps' variables, plus a constant (batch, spec or 1).

    pieces: per step, coefficients by the range of units that they belong to.
    """

    constant: Tensor
    pieces: dict[int, dict[tuple[int, int], Tensor]] = field(default_factory=dict)

    def add(self, view: View, rows: Tensor) -> None:
        """Add coefficients (batch or 1, spec, view.size) on a view."""
        pieces = self.pieces.setdefault(view.step, {})
        key = view.start, view.stop
        known = pieces.get(key)
        pieces[key] = rows if known is None else known + rows

    def select(self, samples: slice, rows: slice) -> Forms:
        """Some samples and rows; coefficients that all samples share stay shared."""
        constant = self.constant[samples]
        return Forms(
            constant if constant.shape[1] == 1 else constant[:, rows],
            {
                step: {key: (c if c.shape[0] == 1 else c[samples])[:, rows] for key, c in pieces.items()}
                for step, pieces in self.pieces.items()
            },
        )

    def rows(self) -> int:
        """How many forms there are per sample."""
        return max(c.shape[1] for pieces in self.pieces.values() for c in pieces.values())


def joined(pieces: dict[tuple[int, int], Tensor]) -> tuple[Tensor, Ranges]:
    """All coefficients on a step side by side, and the units that they belong to; overlapping ranges are added."""
    ranges = sorted(pieces)
    if len(ranges) == 1:
        return pieces[ranges[0]], (ranges[0],)
    if all(a[1] <= b[0] for a, b in pairwise(ranges)):
        tensors = [pieces[key] for key in ranges]
        batch = max(tensor.shape[0] for tensor in tensors)
        if any(tensor.shape[0] != batch for tensor in tensors):
            tensors = [tensor.expand(batch, -1, -1) for tensor in tensors]
        return torch.cat(tensors, dim=-1), _merged(ranges)
    start, stop = ranges[0][0], max(key[1] for key in ranges)
    batch = max(tensor.shape[0] for tensor in pieces.values())
    some = pieces[ranges[0]]
    total = some.new_zeros(batch, some.shape[1], stop - start)
    for low, high in ranges:
        total[..., low - start : high - start] += pieces[low, high]
    return total, ((start, stop),)


def _merged(ranges: Sequence[tuple[int, int]]) -> Ranges:
    merged = [ranges[0]]
    for start, stop in ranges[1:]:
        if merged[-1][1] == start:
            merged[-1] = merged[-1][0], stop
        else:
            merged.append((start, stop))
    return tuple(merged)


@dataclass
class Backward:
    """The network as far as it is relaxed: what each step turns a coefficient into.

    relaxed: nonlinear steps by number, one dictionary per set of planes. charge: for affine steps that
    enter other sums, the rounding of their substitution per unit and size of a coefficient, (batch, units, 1).
    """

    steps: Sequence[Step]
    weights: Weights
    inputs: PreparedInput
    relaxed: list[dict[int, RelaxedStep]]
    block_bytes: int
    charge: dict[int, Tensor] = field(default_factory=dict)
    magnitude: float = 1.0
    _operations: list[int] = field(default_factory=list)
    _widest: int = 1

    def __post_init__(self) -> None:
        total = 0
        for step in self.steps:
            read = 0 if not isinstance(step, Affine) else sum(term.source.size for term in step.terms)
            total += 8 * step.size * (read + 8)
            self._operations.append(total)
            self._widest = max(self._widest, step.size)

    def reached(self, forms: Forms, last: int) -> list[int]:
        """The nonlinear steps that forms over steps up to `last` are substituted through, the latest first."""
        open_ = set(forms.pieces)
        found = []
        for number in range(last, -1, -1):
            if number in open_:
                step = self.steps[number]
                open_ |= {view.step for view in sources_of(step)}
                if isinstance(step, Nonlinear):
                    found.append(number)
        return found

    def lower_bounds(self, forms: Forms, last: int, which: int | Mapping[int, RelaxedStep] = 0) -> Tensor:
        """Lower bounds (batch, spec) of the forms, which hold no step later than `last`.

        which: a set of planes by its number, or the relaxed steps themselves.
        """
        relaxed = self.relaxed[which] if isinstance(which, int) else which
        batch, rows = forms.constant.shape[0], forms.rows()
        row_size = self._widest * self.inputs.center.element_size()
        rows_at_once = min(rows, max(1, self.block_bytes // row_size))
        size = max(1, self.block_bytes // (row_size * rows_at_once))
        blocks = []
        for start in range(0, batch, size):
            samples = slice(start, start + size)
            parts = [
                self._block(forms.select(samples, slice(first, first + rows_at_once)), samples, last, relaxed)
                for first in range(0, rows, rows_at_once)
            ]
            blocks.append(torch.cat(parts, dim=1) if len(parts) > 1 else parts[0])
        return torch.cat(blocks) if len(blocks) > 1 else blocks[0]

    def underflow(self, last: int) -> float:
        """What all underflows of one pass can add up to: the number of operations times `tiny` times a magnitude."""
        return tiny(self.inputs.center.dtype) * self._operations[last] * (1 + self.magnitude)

    def _block(self, forms: Forms, samples: slice, last: int, relaxed: Mapping[int, RelaxedStep]) -> Tensor:
        inputs = self.inputs.part(samples)
        frames: dict[int, Tensor] = {}
        for number in range(last, -1, -1):
            pieces = forms.pieces.pop(number, None)
            if pieces is None:
                continue
            step = self.steps[number]
            coefficients, ranges = joined(pieces)
            if isinstance(step, Affine):
                self._affine(forms, number, step, coefficients, ranges, samples)
            elif isinstance(step, Input):
                rows = _whole(coefficients, ranges, step.size)
                if inputs.per_frame:
                    forms.constant = forms.constant + inputs.concretize(rows, step.t)
                else:
                    frames[step.t] = rows
            else:
                rows = _whole(coefficients, ranges, step.size)
                _nonlinear(forms, relaxed[number].select(samples), rows)
        if frames:
            forms.constant = forms.constant + inputs.concretize_all(frames)
        return forms.constant - self.underflow(last)

    def _affine(
        self, forms: Forms, number: int, step: Affine, coefficients: Tensor, ranges: Ranges, samples: slice
    ) -> None:
        charge = self.charge.get(number)
        if charge is not None:
            size = _whole(coefficients, ranges, step.size).abs()
            forms.constant = forms.constant - (size @ charge[samples])[..., 0]
        for term in step.terms:
            self._through(forms, step, term, coefficients, ranges)

    def _through(self, forms: Forms, step: Affine, term: Term, coefficients: Tensor, ranges: Ranges) -> None:
        """Add what the coefficients on an affine step put on the source of one of its terms."""
        columns, rows = _overlap(term, ranges)
        if not rows:
            return
        part = coefficients if columns == slice(0, coefficients.shape[-1]) else coefficients[..., columns]
        if term.weight is not None:
            forms.add(term.source, part @ self.weights.rows(step.name, term.weight, rows))
            return
        if term.divisor != 1:
            part = part / term.divisor
        offset = 0
        for start, stop in rows:
            forms.add(term.source.part(start, stop - start), part[..., offset : offset + stop - start])
            offset += stop - start


def _overlap(term: Term, ranges: Ranges) -> tuple[slice, Ranges]:
    """Which of the coefficients (those of `ranges`, side by side) meet the term, and which of its rows."""
    first, last, offset = None, 0, 0
    rows = []
    for start, stop in ranges:
        low, high = max(start, term.row), min(stop, term.row + term.rows)
        if low < high:
            if first is None:
                first = offset + low - start
            last = offset + high - start
            rows.append((low - term.row, high - term.row))
        offset += stop - start
    return slice(first or 0, last), tuple(rows)


def _whole(coefficients: Tensor, ranges: Ranges, size: int) -> Tensor:
    """The coefficients of all units of a step, zero where there are none."""
    if ranges == ((0, size),):
        return coefficients
    total = coefficients.new_zeros(*coefficients.shape[:-1], size)
    offset = 0
    for start, stop in ranges:
        total[..., start:stop] = coefficients[..., offset : offset + stop - start]
        offset += stop - start
    return total


def _nonlinear(forms: Forms, step: RelaxedStep, coefficients: Tensor) -> None:
    positive = coefficients >= 0
    for part in step.parts:
        forms.add(part.v, choose(positive, coefficients, part.v_lower, part.v_upper))
        if part.z is not None and part.z_lower is not None and part.z_upper is not None:
            forms.add(part.z, choose(positive, coefficients, part.z_lower, part.z_upper))
    above, below = coefficients.clamp(min=0), coefficients.clamp(max=0)
    forms.constant = forms.constant + (above @ step.const_lower + below @ step.const_upper)[..., 0]
