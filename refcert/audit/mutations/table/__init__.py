"""All planted faults, one file a room, and the changes that no check can see."""

from __future__ import annotations

from typing import Final

from refcert.audit.mutations.mutation import Equivalent, Mutation
from refcert.audit.mutations.table import (
    audit,
    cells,
    equivalent,
    inputs,
    kernel,
    loading,
    octagon_engine,
    octagons,
    propagation,
    reference,
    relaxations,
    rounding,
    search,
)

MUTATIONS: Final[tuple[Mutation, ...]] = (
    *cells.FAULTS,
    *relaxations.FAULTS,
    *propagation.FAULTS,
    *rounding.FAULTS,
    *inputs.FAULTS,
    *search.FAULTS,
    *loading.FAULTS,
    *kernel.FAULTS,
    *reference.FAULTS,
    *audit.FAULTS,
    *octagons.FAULTS,
    *octagon_engine.FAULTS,
)

EQUIVALENT: Final[tuple[Equivalent, ...]] = equivalent.EQUIVALENT
