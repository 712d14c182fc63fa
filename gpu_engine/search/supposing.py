"""Rows proved by contradiction: supposed not to hold, until bounds say that no such input is left.

The rows that are not proved yet are taken one by one, the worst of a sample first, and many samples side by side. Round
after round boxes become narrower (`propagation.supposed`); a row that gains too little is given up, and its sample with
it, because every row has to hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
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
    """A row that was proved by contradiction: its rounds, each with the row's position in that round's batch."""

    row: int
    rounds: tuple[tuple[Round, int], ...]


@dataclass
class _Try:
    """A row of a sample on its way: what it lacked last, and its rounds."""

    sample: int
    row: int
    lacks: float
    rounds: list[tuple[Round, int]] = field(default_factory=list)


def suppose(
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    bounds: Bounds,
    relaxation: Relaxation,
    rounds: int,
    *,
    dtype: torch.dtype,
    block_bytes: int | None,
    keep_products: bool,
    open_: Tensor,
) -> dict[int, tuple[RowProof, ...]]:
    """By sample what was proved of its open rows; only samples all of whose rows are proved.

    bounds: of these samples, with facts; open_ (batch,): the samples to try.
    """
    lower = bounds.lower.cpu()
    waiting = {
        int(k): sorted(((lower[k] <= 0).nonzero()[:, 0]).tolist(), key=lambda row, k=k: float(lower[k, row]))  # type: ignore[misc]
        for k in open_.nonzero()[:, 0]
    }
    proved: dict[int, list[RowProof]] = {k: [] for k in waiting}
    while True:
        tries = [_Try(k, rows[0], float("inf")) for k, rows in waiting.items() if rows]
        if not tries:
            break
        for start in range(0, len(tries), AT_ONCE):
            some = tries[start : start + AT_ONCE]
            done = _wave(
                some, model, inputs, specification, bounds, relaxation, rounds, dtype, block_bytes, keep_products
            )
            for one in some:
                if one in done:
                    proved[one.sample].append(RowProof(one.row, tuple(one.rounds)))
                    waiting[one.sample] = waiting[one.sample][1:]
                else:
                    del waiting[one.sample], proved[one.sample]
    return {k: tuple(rows) for k, rows in proved.items()}


def _wave(
    tries: list[_Try],
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    bounds: Bounds,
    relaxation: Relaxation,
    rounds: int,
    dtype: torch.dtype,
    block_bytes: int | None,
    keep_products: bool,
) -> list[_Try]:
    """The tries that end in a proof."""
    assert bounds.facts is not None
    device = inputs.center.device
    samples = torch.tensor([one.sample for one in tries])
    facts = bounds.facts.select(samples.to(device))
    left, done = list(tries), []
    for _ in range(rounds):
        samples = torch.tensor([one.sample for one in left])
        asked = specification.select(samples)
        which = torch.tensor([one.row for one in left])[:, None]
        row = replace(
            asked,
            C=asked.C.gather(1, which[..., None].expand(-1, 1, asked.C.shape[2])),
            d=asked.d.gather(1, which),
        )
        found = suppose_row(
            model,
            inputs.select(samples.to(device)),
            row,
            THRESHOLD,
            facts,
            relaxation,
            dtype=dtype,
            evaluations=EVALUATIONS,
            block_bytes=block_bytes,
            keep_products=keep_products,
        )
        stay: list[int] = []
        for k, one in enumerate(left):
            one.rounds.append((found, k))
            lacks = THRESHOLD - float(found.lower[k])
            if lacks <= 0 or int(found.contradicted[k]) >= 0:
                done.append(one)
            elif lacks < one.lacks * (1 - LEAST_GAIN) or one.lacks == float("inf"):
                stay.append(k)
            one.lacks = lacks
        left = [left[k] for k in stay]
        if not left:
            break
        facts = found.facts.select(torch.tensor(stay, device=device))
    return done
