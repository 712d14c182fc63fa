"""The steps of a certificate, section 7 of `proofs/spec/certificate_v1.md`: diagonals, planes and boxes, by variable.

What nobody needs is left out: boxes of variables that no nonlinearity reads (they follow by interval arithmetic), and
everything that the outputs do not depend on, such as a backward direction behind the frame that is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor

from gpu_engine.bounds import BoundedProduct, Diagonals
from gpu_engine.certificates.container import CertificateError, same_bits
from gpu_engine.propagation.schedule import Bounds
from gpu_engine.propagation.supposed import Round
from gpu_engine.propagation.usage import only_inputs
from gpu_engine.search.supposing import RowProof
from gpu_engine.steps import PRODUCTS, Affine, Input, Tape, sources_of

MAX_SETS: Final = 1024
MAX_UNITS: Final = 2**24

DIAGONALS: Final = "diagonals"
PLANES: Final = "planes"
BOX_INTERVAL: Final = "box.interval"
BOX_INTERSECTION: Final = "box.intersection"

# Blocks under the supposition that a row is not above the margin.
SUPPOSE_ROW: Final = "suppose.row"
AGAIN: Final = "again"
DIAGONALS_SUPPOSED: Final = "diagonals.supposed"
BOX_SUPPOSED: Final = "box.supposed"
CLOSED_ROW: Final = "closed.row"
CLOSED_EMPTY: Final = "closed.empty"

# Rows of planes over two arguments: lower slope_v, slope_z, offset; upper slope_v, slope_z, offset. Where both planes
# have the same slopes in z, the lower plane's row stands for both.
PRODUCT_ROWS: Final = 6
LOWER_SLOPE_Z: Final = 1
UPPER_SLOPE_Z: Final = 4


@dataclass(frozen=True)
class StepBatch:
    """A step of the certificates of a batch: its keys, and its tensor for every sample, (batch, rows, units)."""

    body: dict[str, Any]
    values: Tensor

    def of(self, sample: int) -> Tensor:
        """The sample's tensor, (rows, units)."""
        values = self.values[sample]
        if len(values) == PRODUCT_ROWS and same_bits(values[LOWER_SLOPE_Z], values[UPPER_SLOPE_Z]):
            return torch.cat((values[:UPPER_SLOPE_Z], values[UPPER_SLOPE_Z + 1 :]))
        return values


def variables_of(tape: Tape, time: int) -> list[int]:
    """The number of every step's variable, section 4: the frames first, then all other steps in their order."""
    numbers, following = [], time
    for step in tape.steps:
        if isinstance(step, Input):
            numbers.append(step.t)
        else:
            numbers.append(following)
            following += 1
    return numbers


def steps_of(tape: Tape, time: int, bounds: Bounds) -> list[StepBatch]:
    """All steps but the last one, `margin`.

    Raises CertificateError where the format's limits are exceeded.
    """
    units = sum(step.size for step in tape.steps)
    several = (bounds.row_sets, *bounds.sets.values(), *bounds.diagonal_sets.values())
    sets = 1 + max(0, *(which for used in several for which in used))
    if sets > MAX_SETS or units > MAX_UNITS:
        raise CertificateError(
            f"{sets} sets of planes over a program of {units} units; a certificate may have {MAX_SETS} sets and "
            f"{MAX_UNITS} units. Use fewer relaxations or frames, or do not optimize"
        )
    variables, needed, planes = variables_of(tape, time), _needed(tape), _planes_by_step(bounds.products)
    found: list[StepBatch] = []
    for number, step in enumerate(tape.steps):
        if number not in needed or isinstance(step, Input):
            continue
        of = variables[number]
        for part, diagonals in _diagonals_of(planes.get(number, {})).items():
            body = {"rule": DIAGONALS, "of": of, "part": part, "sets": list(bounds.diagonal_sets[number])}
            ends = [diagonals.plus.lower, diagonals.plus.upper, diagonals.minus.lower, diagonals.minus.upper]
            found.append(StepBatch(body, _stacked(ends)))
        for part, which in sorted(planes.get(number, ())):
            body = {"rule": PLANES, "of": of, "part": part, "set": which}
            found.append(StepBatch(body, _rows(planes[number][part, which])))
        box = bounds.boxes.get(number)
        if box is not None:
            plain = isinstance(step, Affine) and only_inputs(step, tape.steps)
            rule = {"rule": BOX_INTERVAL} if plain else {"rule": BOX_INTERSECTION, "sets": list(bounds.sets[number])}
            found.append(StepBatch({**rule, "of": of}, _stacked([box.lower, box.upper])))
    return found


@dataclass(frozen=True)
class OwnStep:
    """A step of one sample's certificate: its keys and its tensor, (rows, units) or None."""

    body: dict[str, Any]
    values: Tensor | None = None


def supposed_steps(tape: Tape, time: int, proof: RowProof) -> list[OwnStep]:
    """The block that proves a row by contradiction, section 7: its rounds, and what closes it."""
    variables, needed = variables_of(tape, time), _needed(tape)
    found = [OwnStep({"rule": SUPPOSE_ROW, "row": proof.row})]
    for k, (one, sample) in enumerate(proof.rounds):
        if k:
            found.append(OwnStep({"rule": AGAIN}))
        planes, last = _planes_by_step(one.products), int(one.contradicted[sample])
        for number, step in enumerate(tape.steps):
            if number not in needed or isinstance(step, Input):
                continue
            of = variables[number]
            found += _supposed_planes(one, sample, number, of, planes.get(number, {}))
            if number == last:
                body = {"rule": CLOSED_EMPTY, "of": of, "unit": int(one.unit[sample]), "sets": [0]}
                return [*found, OwnStep(body, _exact(one.by[sample])[:, None])]
            box = one.boxes.get(number)
            if box is not None:
                rows = torch.stack([v[sample] for v in (box.box.lower, box.box.upper, box.lower_by, box.upper_by)])
                found.append(OwnStep({"rule": BOX_SUPPOSED, "of": of, "sets": [0]}, _exact(rows)))
    return [*found, OwnStep({"rule": CLOSED_ROW, "sets": [0]})]


def _supposed_planes(
    one: Round, sample: int, number: int, of: int, planes: Mapping[tuple[int, int], BoundedProduct]
) -> list[OwnStep]:
    """The diagonals and planes of one variable in one round."""
    found = []
    for part, _ in sorted(planes):
        sums = one.diagonals.get((number, part))
        if sums is not None:
            body = {"rule": DIAGONALS_SUPPOSED, "of": of, "part": part, "sets": [0]}
            ends = [end for of_sum in sums for end in (of_sum.box.lower, of_sum.box.upper)]
            by = [end for of_sum in sums for end in (of_sum.lower_by, of_sum.upper_by)]
            found.append(OwnStep(body, _exact(torch.stack([value[sample] for value in (*ends, *by)]))))
    for part, _ in sorted(planes):
        rows = StepBatch({}, _rows(planes[part, 0])).of(sample)
        found.append(OwnStep({"rule": PLANES, "of": of, "part": part, "set": 0}, rows))
    return found


def _exact(values: Tensor) -> Tensor:
    return values.to(device="cpu", dtype=torch.float64)


def _needed(tape: Tape) -> set[int]:
    """The steps that the outputs depend on."""
    needed = {view.step for view in tape.outputs}
    for number in range(len(tape.steps) - 1, -1, -1):
        if number in needed:
            needed |= {view.step for view in sources_of(tape.steps[number])}
    return needed


def _diagonals_of(planes: Mapping[tuple[int, int], BoundedProduct]) -> dict[int, Diagonals]:
    """The diagonals of a step's parts, in order; all sets of a part have the same."""
    found = {part: product.diagonals for (part, _), product in sorted(planes.items(), key=lambda item: item[0])}
    return {part: diagonals for part, diagonals in found.items() if diagonals is not None}


def _planes_by_step(products: Sequence[BoundedProduct]) -> dict[int, dict[tuple[int, int], BoundedProduct]]:
    """By step of the tape, then by part and set."""
    by_step: dict[int, dict[tuple[int, int], BoundedProduct]] = {}
    for product in products:
        origin = product.origin
        if origin is not None:
            by_step.setdefault(origin.step, {})[origin.part, origin.relaxation] = product
    return by_step


def _rows(product: BoundedProduct) -> Tensor:
    """Both planes of every unit, (batch, rows, units), on the CPU."""
    rows = []
    for plane in (product.planes.lower, product.planes.upper):
        slopes = (plane.slope_v, plane.slope_z) if product.kind in PRODUCTS else (plane.slope_v,)
        rows += [*slopes, plane.offset]
    return _stacked(rows)


def _stacked(rows: Sequence[Tensor]) -> Tensor:
    return torch.stack(tuple(rows), dim=1).to(device="cpu", dtype=torch.float64)
