"""Rows proved by contradiction: supposed not to hold, until bounds say that no such input is left.

The rows that are not proved yet are taken one by one, the worst of a sample first, and many samples side by side. Round
after round boxes become narrower (`propagation.supposed`); a row that gains too little is given up, and its sample with
it, because every row has to hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.propagation.schedule import Bounds
from gpu_engine.propagation.supposed import Round, suppose_row
from gpu_engine.relaxations.registry import Relaxation
from gpu_engine.spec import Specification

# What a row is supposed to be at most, and so the margin that a contradiction proves. Any positive number would do.
THRESHOLD: Final = 2.0**-16

# A row goes on as long as a round makes up for this share of what it lacks.
LEAST_GAIN: Final = 0.01

# Back-substitutions for the multipliers of one step.
EVALUATIONS: Final = 7

AT_ONCE: Final = 16


@dataclass(frozen=True)
class RowProof:
    """A row that was proved by contradiction, in so many rounds.

    alike: all rows of the sample that say the same, `row` is the first. rounds: with the row's position in each round's
    batch; empty where nobody asked for products.
    """

    row: int
    alike: tuple[int, ...]
    count: int
    rounds: tuple[tuple[Round, int], ...]


@dataclass(eq=False)
class _Try:
    """A row of a sample on its way: what it lacked last, and its rounds."""

    sample: int
    row: int
    lacks: float = math.inf
    count: int = 0
    rounds: list[tuple[Round, int]] = field(default_factory=list)

    @property
    def place(self) -> tuple[int, int]:
        return self.sample, self.row


@dataclass(frozen=True)
class Engine:
    """What every round is computed with."""

    model: RecurrentClassifier
    relaxation: Relaxation
    dtype: torch.dtype
    block_bytes: int | None
    keep_products: bool


def suppose(
    engine: Engine, inputs: InputSet, specification: Specification, bounds: Bounds, rounds: int
) -> dict[int, tuple[RowProof, ...]]:
    """By sample the proofs of all rows that `bounds`, which has facts, leaves open; samples with a row left are not in.

    All rows have to be positive. Raises NumericalError on overflow.
    """
    lower = bounds.lower.cpu()
    waiting: dict[int, list[int]] = {}
    for sample in range(len(lower)):
        rows = (lower[sample] <= 0).nonzero()[:, 0]
        if len(rows):
            sorted_ = rows[lower[sample, rows].argsort()].tolist()
            # Rows that say the same are proved once: a short sequence's question repeats rows behind its end.
            waiting[sample] = list(dict.fromkeys(_alike(specification, sample, row)[0] for row in sorted_))
    proved: dict[int, list[RowProof]] = {k: [] for k in waiting}
    while True:
        tries = [_Try(k, rows[0]) for k, rows in waiting.items() if rows]
        if not tries:
            break
        for start in range(0, len(tries), AT_ONCE):
            some = tries[start : start + AT_ONCE]
            done = _wave(engine, some, inputs, specification, bounds, rounds)
            for one in some:
                if one in done:
                    proved[one.sample].append(
                        RowProof(one.row, _alike(specification, *one.place), one.count, tuple(one.rounds))
                    )
                    waiting[one.sample] = waiting[one.sample][1:]
                else:
                    del waiting[one.sample], proved[one.sample]
    return {k: tuple(rows) for k, rows in proved.items()}


def with_proofs(lower: Tensor, proofs: Mapping[int, tuple[RowProof, ...]]) -> Tensor:
    """lower (batch, spec), with the threshold for the rows that were proved by contradiction."""
    raised = lower.clone()
    for sample, rows in proofs.items():
        for proof in rows:
            for row in proof.alike:
                raised[sample, row] = THRESHOLD
    return raised


def _alike(specification: Specification, sample: int, row: int) -> tuple[int, ...]:
    """The rows of the sample that say the same as this one, the first one first."""
    C, d = specification.C[sample], specification.d[sample]
    same = (C[row] == C).all(1) & (d == d[row])
    return tuple(same.nonzero()[:, 0].tolist())


def _wave(
    engine: Engine,
    tries: list[_Try],
    inputs: InputSet,
    specification: Specification,
    bounds: Bounds,
    rounds: int,
) -> list[_Try]:
    """The tries that end in a proof."""
    assert bounds.facts is not None
    device = inputs.center.device
    samples = torch.tensor([one.sample for one in tries])
    facts = bounds.facts.select(samples.to(device))
    left, done = list(tries), []
    for _ in range(rounds):
        samples = torch.tensor([one.sample for one in left])
        rows = torch.tensor([one.row for one in left])
        row = Specification(specification.C[samples, rows][:, None], specification.d[samples, rows][:, None])
        found, facts = suppose_row(
            engine.model,
            inputs.select(samples.to(device)),
            row,
            THRESHOLD,
            facts,
            engine.relaxation,
            dtype=engine.dtype,
            evaluations=EVALUATIONS,
            block_bytes=engine.block_bytes,
            keep_products=engine.keep_products,
        )
        stay: list[int] = []
        for k, one in enumerate(left):
            one.count += 1
            if engine.keep_products:
                one.rounds.append((found, k))
            lacks = THRESHOLD - float(found.lower[k])
            if lacks <= 0 or int(found.contradicted[k]) >= 0:
                done.append(one)
            elif one.count == 1 or lacks < one.lacks * (1 - LEAST_GAIN):
                stay.append(k)
            one.lacks = lacks
        left = [left[k] for k in stay]
        if not left:
            break
        facts = facts.select(torch.tensor(stay, device=device))
    return done
