"""Bounds under the supposition that a row is not above a threshold: one round of narrower boxes and tighter planes.

Method card
    Claim      for every input at which row <= threshold: the facts of a round hold, and row >= `Round.lower`. So where
               lower reaches the threshold, or ends of a box contradict each other, row >= threshold for every input.
    Source     Kotha et al. (2023), "Provably bounding neural network preimages" (INVPROP): constraints on the output
               with multipliers in the bounds of intermediate variables.
    Idea       v >= v + mu (row - threshold) for mu >= 0: the supposition enters the form, and its coefficients go back
               through the whole network, through planes of this round up to v and of the round before behind it.
    Sound?     yes for any mu >= 0: lemma `supposed_bounds`. Rounding as for every form, with one reader more.
    Shapes     batch first: one row a sample; boxes and multipliers (batch, units).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct, Box, Diagonals
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.propagation.backward import Forms
from gpu_engine.propagation.multipliers import best_multipliers
from gpu_engine.propagation.precision import full_precision_products
from gpu_engine.propagation.schedule import Facts, _name, _pick, _require_finite, _Run
from gpu_engine.propagation.sites import Part, Site
from gpu_engine.propagation.weights import Ranges
from gpu_engine.relaxations.registry import Relaxation
from gpu_engine.spec import Specification
from gpu_engine.steps import Affine, Input, Nonlinear, View

# The first multiplier in units of (width of the box) / (what the row lacks).
FIRST_SHARE: Final = 0.25


@dataclass(frozen=True)
class Narrowed:
    """A box under the supposition, and the multipliers of its lower and upper ends; 0 where an end is as before."""

    box: Box
    lower_by: Tensor
    upper_by: Tensor


@dataclass(frozen=True)
class Round:
    """What one round found, of every sample.

    lower: of the row, (batch,). contradicted: number of the step whose box is
    empty, -1 for none, with the unit and the multipliers of its two ends, (batch,) each. boxes: by step; diagonals: by
    step and part, v + z and v - z. products: with the planes.
    """

    lower: Tensor
    contradicted: Tensor
    unit: Tensor
    by: Tensor
    boxes: Mapping[int, Narrowed]
    diagonals: Mapping[tuple[int, int], tuple[Narrowed, Narrowed]]
    products: tuple[BoundedProduct, ...]


def suppose_row(
    model: RecurrentClassifier,
    inputs: InputSet,
    row: Specification,
    threshold: float,
    facts: Facts,
    relaxation: Relaxation,
    *,
    dtype: torch.dtype,
    evaluations: int,
    block_bytes: int | None = None,
    keep_products: bool = True,
) -> tuple[Round, Facts]:
    """One round for one row a sample, which is supposed to be at most `threshold`; and what the next one begins with.

    row: C (batch, 1, outputs). facts: those of `bound` with keep_facts, or of the round before.
    """
    with torch.no_grad(), full_precision_products(inputs.center.device):
        run = _Supposed(model, inputs, relaxation, dtype, block_bytes, keep_products, facts)
        return run.round(row, threshold, evaluations)


class _Supposed(_Run):
    def __init__(
        self,
        model: RecurrentClassifier,
        inputs: InputSet,
        relaxation: Relaxation,
        dtype: torch.dtype,
        block_bytes: int | None,
        keep_products: bool,
        facts: Facts,
    ) -> None:
        super().__init__(model, inputs, (relaxation,), dtype, block_bytes, keep_products, None, True)
        self.state.box |= facts.boxes
        self.diagonals |= facts.diagonals
        self.net.relaxed[0] |= facts.relaxed
        self.narrowed: dict[int, Narrowed] = {}
        self.narrowed_sums: dict[tuple[int, int], tuple[Narrowed, Narrowed]] = {}
        zero = torch.zeros(self.batch, dtype=dtype, device=self.device)
        self.contradicted = torch.full((self.batch,), -1, device=self.device)
        self.unit = torch.zeros_like(self.contradicted)
        self.by = torch.stack((zero, zero), 1)

    def round(self, row: Specification, threshold: float, evaluations: int) -> tuple[Round, Facts]:
        self.evaluations = evaluations
        for number, step in enumerate(self.tape.steps):
            if isinstance(step, Input):
                self._input(number, step)
            elif isinstance(step, Affine):
                constant, size = self.constants.of(step)[1:]
                self.state.constant[number], self.state.size[number] = constant, size
                self.net.magnitude = max(self.net.magnitude, float(size.max()))
                if number in self.usage.entered:
                    self.net.charge[number] = (self.gamma * size)[..., None]
            else:
                self.net.magnitude = max(self.net.magnitude, float(self.state.box[number].magnitude().max()))
        self._begin(row, threshold)
        for number, step in enumerate(self.tape.steps):
            if isinstance(step, Nonlinear):
                self._planes(number, step)
            used = self.usage.arguments.get(number)
            if used is not None and not isinstance(step, Input):
                self._narrow(number, used)
        lower = self.row_constant[:, 0] + self._lower_of_row()
        _require_finite("the bound of the supposed row", lower)
        found = Round(
            lower + threshold,
            self.contradicted,
            self.unit,
            self.by,
            self.narrowed,
            self.narrowed_sums,
            tuple(self.products),
        )
        return found, self._facts()

    def _begin(self, row: Specification, threshold: float) -> None:
        """The row less the threshold as a form over the outputs."""
        rows = row.C.to(device=self.device, dtype=self.dtype)
        given = row.d.to(device=self.device, dtype=self.dtype)
        constant = given - threshold - self.gamma * (given.abs() + abs(threshold))
        self.row: list[tuple[View, Tensor]] = []
        first = 0
        for view in self.tape.outputs:
            part = rows[..., first : first + view.size]
            constant = constant + (part @ self.state.constant[view.step][:, view.start : view.stop, None])[..., 0]
            self.row.append((view, part))
            first += view.size
        self.row_constant = constant
        # What the row lacks; where it lacks nothing the round proves it without multipliers.
        self.lacks = (-(constant[:, 0] + self._lower_of_row())).clamp(min=1e-3 * max(abs(threshold), 1e-3))

    def _lower_of_row(self) -> Tensor:
        forms = Forms(torch.zeros_like(self.row_constant))
        for view, part in self.row:
            forms.add(view, part)
        return self.net.lower_bounds(forms, len(self.tape.steps) - 1, 0)[:, 0]

    # planes

    def _planes(self, number: int, step: Nonlinear) -> None:
        parts = tuple(self._part(part) for part in step.parts)
        products = [k for k, part in enumerate(parts) if (number, k) in self.diagonals]
        if products:
            self._narrow_sums(number, step, products, [parts[k] for k in products])
            parts = tuple(replace(part, diagonals=self.diagonals.get((number, k))) for k, part in enumerate(parts))
        site = Site(parts, self.state.box[number].magnitude(), self.gamma, self.lost)
        relaxation = self.relaxations[0]
        planes = [relaxation.planes(part.kind, part.v, part.z, part.diagonals) for part in parts]
        self._use(number, site, planes, 0)

    def _narrow_sums(self, number: int, step: Nonlinear, which: Sequence[int], parts: Sequence[Part]) -> None:
        start, fixed, pads, plain = self._sums(step, parts)
        known = []
        for j, box in enumerate(plain):
            before = self.diagonals[number, which[j // 2]]
            known.append(box.intersect((before.plus, before.minus)[j % 2]))
        last = max(view.step for part in step.parts for view in (part.v, part.z) if view is not None)
        constants = torch.cat([end for f, p in zip(fixed, pads, strict=True) for end in (f - p, -f - p)], 1)
        ends = torch.cat([end for box in known for end in (box.lower, -box.upper)], 1)
        found, by = self._best(start, last, constants, ends, _widths(known))
        _require_finite(f"the diagonals of {_name(step)} under a supposition", found)
        found, by = (x.reshape(self.batch, 2 * len(parts), 2, step.size) for x in (found, by))
        narrowed = []
        for j in range(len(known)):
            box, _ = _sorted(Box(found[:, j, 0], -found[:, j, 1]))
            narrowed.append(Narrowed(box, by[:, j, 0], by[:, j, 1]))
        for j, k in enumerate(which):
            plus, minus = narrowed[2 * j : 2 * j + 2]
            self.diagonals[number, k] = Diagonals(plus.box, minus.box)
            self.narrowed_sums[number, k] = plus, minus

    # boxes

    def _narrow(self, number: int, used: Ranges) -> None:
        step, box = self.tape.steps[number], self.state.box[number]
        rows = torch.eye(step.size, dtype=self.dtype, device=self.device)
        start = Forms(torch.zeros(self.batch, 1, dtype=self.dtype, device=self.device))
        if used != ((0, step.size),):
            rows = torch.cat([rows[first:last] for first, last in used])
        start.add(View(number, 0, step.size), torch.cat((rows, -rows))[None])
        read = self._argument(View(number, 0, step.size))
        pad = _pick(self._pad_of(read), used)
        fixed = torch.zeros_like(pad) if read.constant is None else _pick(read.constant, used)
        known = Box(_pick(box.lower, used), _pick(box.upper, used))
        ends = torch.cat((known.lower, -known.upper), 1)
        found, by = self._best(start, number, torch.cat((fixed - pad, -fixed - pad), 1), ends, _widths([known]))
        _require_finite(f"the box of {_name(step)} under a supposition", found)
        count = rows.shape[0]
        part, crossed = _sorted(Box(found[:, :count], -found[:, count:]))
        self._note(number, used, crossed, by)
        lower, upper = box.lower.clone(), box.upper.clone()
        lower_by, upper_by = torch.zeros_like(lower), torch.zeros_like(upper)
        first = 0
        for start_, stop in used:
            units = slice(first, first + stop - start_)
            lower[:, start_:stop], upper[:, start_:stop] = part.lower[:, units], part.upper[:, units]
            lower_by[:, start_:stop], upper_by[:, start_:stop] = by[:, :count][:, units], by[:, count:][:, units]
            first = units.stop
        self.state.box[number] = Box(lower, upper)
        self.narrowed[number] = Narrowed(Box(lower, upper), lower_by, upper_by)

    def _note(self, number: int, used: Ranges, crossed: Tensor, by: Tensor) -> None:
        """Remember a sample's first contradiction."""
        new = crossed.any(1) & (self.contradicted < 0)
        if not bool(new.any()):
            return
        units = torch.cat([torch.arange(first, last, device=self.device) for first, last in used])
        at = crossed.to(torch.int64).argmax(1)
        here = torch.stack((by[:, : len(units)].gather(1, at[:, None]), by[:, len(units) :].gather(1, at[:, None])), 1)
        self.contradicted = torch.where(new, number, self.contradicted)
        self.unit = torch.where(new, units[at], self.unit)
        self.by = torch.where(new[:, None], here[..., 0], self.by)

    def _best(self, start: Forms, last: int, constants: Tensor, known: Tensor, widths: Tensor) -> tuple[Tensor, Tensor]:
        """The best lower bounds of rows under the supposition, (batch, rows), not below `known`; their multipliers."""
        end = len(self.tape.steps) - 1

        def value(multipliers: Tensor) -> Tensor:
            forms = Forms(start.constant, {number: dict(pieces) for number, pieces in start.pieces.items()})
            for view, part in self.row:
                forms.add(view, multipliers[..., None] * part)
            found = self.net.lower_bounds(forms, end, 0)
            return constants + found + multipliers * self.row_constant

        first = (FIRST_SHARE * widths / self.lacks[:, None]).clamp(min=1e-12)
        return best_multipliers(value, first, known, self.evaluations)


def _widths(boxes: Sequence[Box]) -> Tensor:
    """Widths of boxes for both ends of each, one box behind the other."""
    return torch.cat([box.upper - box.lower for box in boxes for _ in range(2)], 1)


def _sorted(box: Box) -> tuple[Box, Tensor]:
    """A box whose ends may have crossed, with those exchanged: that holds, too. And where they had."""
    crossed = box.lower > box.upper
    return Box(torch.minimum(box.lower, box.upper), torch.maximum(box.lower, box.upper)), crossed
