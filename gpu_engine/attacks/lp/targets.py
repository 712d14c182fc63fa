"""What has to break: sets of rows such that a specification is broken where all rows of one set are not positive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from gpu_engine.attacks.lp.region import Array
from gpu_engine.errors import SpecificationError
from gpu_engine.spec import KthLeast, LabelAgainstOthers, Specification

SECOND: Final = "second"
ALL: Final = "all"
TARGETS: Final = (SECOND, ALL)
"""Bastani et al.: the second most likely label (in general: the rows nearest to breaking), or all."""

MOST_SETS: Final = 1000


@dataclass(frozen=True)
class Target:
    """rows (targets, outputs) @ outputs + offset (targets,): broken where none is positive."""

    rows: Array
    offset: Array


def targets_of(specification: Specification, outputs: Array, which: str) -> list[Target]:
    """One sample's targets, the nearest to breaking at these outputs (outputs,) first; for `second` only that one.

    The k-th least row breaks where k rows do: one target is a set of k. Raises SpecificationError.
    """
    if len(specification) != 1 or which not in TARGETS:
        raise SpecificationError(
            f"targets {which!r} of {len(specification)} samples; known: {', '.join(TARGETS)}, of 1"
        )
    rows, offset = specification.C[0].cpu().numpy(), specification.d[0].cpu().numpy()
    if rows.shape[1] < len(outputs):
        raise SpecificationError(f"rows over {rows.shape[1]} outputs for a network with {len(outputs)}; give its own")
    rows = rows[:, : len(outputs)]  # answers behind the sequence's end do not exist; no row asks about them
    reading = specification.reading
    if isinstance(reading, LabelAgainstOthers):
        rows, offset = rows[:1] + rows[1:], offset[:1] + offset[1:]
    together = reading.k if isinstance(reading, KthLeast) else 1
    at = rows @ outputs + offset
    if which == SECOND:
        sets = [tuple(np.argsort(at, kind="stable")[:together].tolist())]
    else:
        if math.comb(len(rows), together) > MOST_SETS:
            raise SpecificationError(
                f"{math.comb(len(rows), together)} sets of {together} rows are more than {MOST_SETS}, the most tried; "
                f"give targets={SECOND!r}"
            )
        sets = sorted(combinations(range(len(rows)), together), key=lambda chosen: float(at[list(chosen)].max()))
    return [Target(rows[list(chosen)], offset[list(chosen)]) for chosen in sets]
