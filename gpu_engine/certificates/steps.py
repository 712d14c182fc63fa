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
from gpu_engine.propagation.usage import only_inputs
from gpu_engine.steps import PRODUCTS, Affine, Input, Tape, sources_of

MAX_SETS: Final = 1024
MAX_UNITS: Final = 2**24

DIAGONALS: Final = "diagonals"
PLANES: Final = "planes"
BOX_INTERVAL: Final = "box.interval"
BOX_INTERSECTION: Final = "box.intersection"

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
