"""Points of input sets at which rows are low or high: random ones, corners, and gradient descent, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from gpu_engine.attacks.found import Worst, worst_at
from gpu_engine.attacks.geometry.registry import geometry_of
from gpu_engine.attacks.pgd import PGD
from gpu_engine.attacks.question import Question
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification

SAMPLED: Final = 4
"""Random points, and random corners, of each set."""
ATTACK: Final = PGD(steps=10, restarts=3)


@dataclass(frozen=True)
class Extremes:
    """Where each row was found lowest and highest: x (batch, spec, 2, time, input), value (batch, spec, 2).

    The last but two dimension of x, the last of value: lowest, highest. Values are of the plain forward pass.
    """

    x: Tensor
    value: Tensor


def extremes(model: RecurrentClassifier, inputs: InputSet, rows: Tensor, generator: torch.Generator) -> Extremes:
    """rows (batch, spec, outputs); all randomness comes from the generator."""
    batch, spec, outputs = rows.shape
    signed = torch.stack([rows, -rows], 2).reshape(batch * spec * 2, 1, outputs)
    sets = inputs.select(torch.arange(batch).repeat_interleave(2 * spec))
    question = Question(model, Specification(signed, torch.zeros_like(signed[:, :, 0])))
    geometry, found = geometry_of(sets), worst_at(question, sets.center)
    for _ in range(SAMPLED):
        slope = torch.randn(sets.center.shape, generator=generator, dtype=torch.float64)
        for point in (geometry.random(generator), geometry.corner(slope)):
            found = found.or_better(worst_at(question, point))
    found = found.or_better(_attacked(question, sets, generator))
    sign = torch.tensor([1.0, -1.0], dtype=torch.float64)
    return Extremes(
        found.x.reshape(batch, spec, 2, *sets.center.shape[1:]), found.margin.reshape(batch, spec, 2) * sign
    )


def _attacked(question: Question, sets: InputSet, generator: torch.Generator) -> Worst:
    return ATTACK.worst(question, sets, generator)
