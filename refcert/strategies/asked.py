"""Hypothesis strategy for whole questions, and many points of a question at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor

from gpu_engine.attacks.geometry.registry import geometry_of
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification
from refcert.strategies.networks import classifiers
from refcert.strategies.numbers import SEEDS, Span
from refcert.strategies.regions import CLIPS, NORMS, RADII, SET_KINDS, input_sets
from refcert.strategies.sources import Evaluable


@dataclass(frozen=True, repr=False)
class Question(Evaluable):
    """A network, an input set, rows C F(x) + d for every sample, and a seed for points of the set."""

    model: RecurrentClassifier
    inputs: InputSet
    spec: Specification
    seed: int = 0

    def points(self, many: int = 24, steps: int = 3) -> Tensor:
        """Points of the sets, (points, batch, time, input): centers, random extremes, and the rows' own descent.

        All are inside in exact arithmetic. steps: how often each row's gradient is followed.
        """
        generator = torch.Generator().manual_seed(self.seed)
        shape = self.inputs.center.shape
        directions = torch.randn((many, *shape), generator=generator, dtype=torch.float64)
        random = geometry_of(_repeated(self.inputs, many)).random(generator).view(directions.shape)
        found = [self.inputs.center[None], extremes(self.inputs, directions), random]
        rows = self.spec.C.shape[1]
        x = self.inputs.center.expand(rows, *shape)
        for _ in range(steps):
            x = extremes(self.inputs, self._slopes(x))
            found.append(x)
        return torch.cat(found)

    def _slopes(self, x: Tensor) -> Tensor:
        """The gradient of row r at x[r], like x (spec, batch, time, input); 0 where it is no number."""
        x = x.detach().requires_grad_(True)
        outputs = self.model.logits(x.flatten(0, 1)).reshape(*x.shape[:2], -1)
        (slopes,) = torch.autograd.grad(torch.einsum("rbk,brk->", outputs, self.spec.C), x)
        return torch.nan_to_num(slopes)


def extremes(inputs: InputSet, slopes: Tensor) -> Tensor:
    """Where slopes . x is least on the sets; all (many, batch, time, input). Inside in exact arithmetic."""
    corner = geometry_of(_repeated(inputs, len(slopes))).corner(slopes.flatten(0, 1))
    return corner.view_as(slopes)


def _repeated(inputs: InputSet, many: int) -> InputSet:
    """Every sample `many` times over: all of them, then all again."""
    return inputs.select(torch.arange(len(inputs)).repeat(many))


def questions(
    *,
    sets: Sequence[str] = SET_KINDS,
    norms: Sequence[float] = NORMS,
    radii: Sequence[float] = RADII,
    clips: Sequence[tuple[float, float] | None] = CLIPS,
    batch: Span = (1, 2),
    time: Span = (1, 4),
    **kinds: Any,
) -> SearchStrategy[Question]:
    """A classifier (kinds: the options of `classifiers`), input sets for it (the others: those of `input_sets`), rows.

    The rows are every output with both signs and two random ones, so that bounds of a row show against its value.
    Raises ValueError as they do.
    """
    networks = classifiers(**kinds)
    options: dict[str, Any] = {
        "kinds": sets,
        "norms": norms,
        "radii": radii,
        "clips": clips,
        "batch": batch,
        "time": time,
    }
    input_sets(**options)  # what makes no sense is refused here, not in an example

    @st.composite
    def drawn(draw: DrawFn) -> Question:
        model = draw(networks)
        inputs = draw(input_sets(model, **options))
        seed = draw(SEEDS)
        return Question(model, inputs, both_signs_and_two(model.outputs(inputs.time), len(inputs), seed), seed)

    return drawn()


def both_signs_and_two(outputs: int, batch: int, seed: int) -> Specification:
    """Rows e_k, then -e_k for every output, then two random ones; random constants."""
    rng = np.random.default_rng(seed)
    eye = torch.eye(outputs, dtype=torch.float64)
    rows = torch.cat((eye, -eye, torch.tensor(rng.normal(0, 1, (2, outputs)))))
    return Specification(rows.expand(batch, -1, -1).clone(), torch.tensor(rng.normal(0, 1, (batch, len(rows)))))
