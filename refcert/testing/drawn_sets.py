"""Input sets and rows on which somebody's bounds are tried: drawn family by family, the tightest first.

On a point the bound of a sound engine is the network's value up to rounding, so every error that is larger than the
rounding shows there; wide sets are where planes, clips and cells are really used.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_engine.inputs import Boxes, FrameBalls, InputSet, SequenceBall, Substitutions
from gpu_engine.model import RecurrentClassifier

Array = NDArray[np.float64]

SETS: Final = ("boxes", "frames", "sequence", "substitutions")
NORMS: Final = (math.inf, 2.0, 1.0)
CANDIDATES: Final = 2
ROWS: Final = 4
"""Rows of one example at most, where nobody gives any."""

# Half widths by family, in the unit of the data.
WIDTHS: Final[dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]]] = {
    "point": lambda rng, shape: np.zeros(shape),
    "random": lambda rng, shape: 0.1 * rng.random(shape),
    "thin": lambda rng, shape: 1e-9 * rng.random(shape),
    "wide": lambda rng, shape: 1.0 * rng.random(shape),
    "narrow": lambda rng, shape: 1e-3 * rng.random(shape),
    "mixed": lambda rng, shape: rng.choice([0.0, 1e-6, 0.05, 0.5], shape) * rng.random(shape),
    "huge": lambda rng, shape: 10.0 * rng.random(shape),
}


@dataclass(frozen=True)
class Example:
    """One call of the bounds. family: of its widths, or 'given'; rows (batch, spec, outputs) float64."""

    number: int
    family: str
    inputs: InputSet
    rows: Tensor


def drawn_examples(
    model: RecurrentClassifier, sets: Sequence[str], rows: Tensor | None, *, frames: int, batch: int, seed: int
) -> Iterator[Example]:
    """Without end; every example has random numbers of its own, so that it does not depend on those before it."""
    number = 0
    while True:
        for family in WIDTHS:
            rng = np.random.default_rng([seed, number])
            kind = sets[number % len(sets)]
            time = frames if number % 3 else max(1, frames - 1)
            if model.readout == "every" and rows is not None:
                time = frames  # the rows are over so many outputs
            inputs = _drawn(kind, family, (batch, time, model.input_size), rng)
            yield Example(number, family, inputs, _rows(rows, batch, model.outputs(time), rng))
            number += 1


def given_examples(
    model: RecurrentClassifier, given: Sequence[InputSet], rows: Tensor | None, seed: int
) -> Iterator[Example]:
    """Each set as it is, and shrunk to points and to a hundredth."""
    number = 0
    for scale, family in ((0.0, "given, as points"), (1.0, "given"), (0.01, "given, a hundredth of it")):
        for inputs in given:
            rng = np.random.default_rng([seed, number])
            asked = _rows(rows, len(inputs), model.outputs(inputs.time), rng)
            yield Example(number, family, scaled(inputs, scale), asked)
            number += 1


def scaled(inputs: InputSet, scale: float) -> InputSet:
    """The set, 0 <= scale <= 1 times as large around its center, of the same kind, and inside of it up to rounding."""
    if scale == 1.0:
        return inputs
    if isinstance(inputs, Boxes):
        middle = inputs.center
        ends = (middle + scale * (end - middle) for end in (inputs.lower, inputs.upper))
        return Boxes(*(torch.minimum(torch.maximum(end, inputs.lower), inputs.upper) for end in ends))
    if isinstance(inputs, Substitutions):
        allowed = inputs.allowed if scale > 0 else torch.zeros_like(inputs.allowed)
        return replace(inputs, candidates=inputs.candidates, allowed=allowed)
    return replace(inputs, radius=inputs.radius * scale)


def _drawn(kind: str, family: str, shape: tuple[int, int, int], rng: np.random.Generator) -> InputSet:
    center = rng.normal(0, rng.choice([1.0, 0.3, 3.0]), shape)
    center = center * (rng.random(shape) > 0.1)  # some exact zeros
    widths = WIDTHS[family]
    if kind == "boxes":
        below, above = widths(rng, shape), widths(rng, shape)
        return Boxes(torch.tensor(center - below), torch.tensor(center + above))
    p = NORMS[int(rng.integers(len(NORMS)))]
    clip = None
    if rng.random() < 0.5:
        clip = (-1.0, 2.0)
        center = center.clip(*clip)
    if kind == "frames":
        return FrameBalls(torch.tensor(center), torch.tensor(widths(rng, shape[:2])), p, clip)
    if kind == "sequence":
        return SequenceBall(torch.tensor(center), torch.tensor(widths(rng, shape[:1])), p, clip)
    vectors = center[:, :, None] + widths(rng, (*shape[:2], CANDIDATES, shape[2])) * rng.choice([-1.0, 1.0])
    allowed = rng.random((*shape[:2], CANDIDATES)) < 0.7
    return Substitutions(torch.tensor(center), torch.tensor(vectors), torch.tensor(allowed))


def _rows(given: Tensor | None, batch: int, outputs: int, rng: np.random.Generator) -> Tensor:
    """(batch, spec, outputs): the given ones for every sample; else single outputs, differences and random rows."""
    if given is not None:
        return given.expand(batch, -1, -1).clone()
    rows = rng.normal(0, 1, (batch, ROWS, outputs))
    for sample in range(batch):
        first, second = rng.permutation(outputs)[:2] if outputs > 1 else (0, 0)
        rows[sample, :3] = 0.0
        rows[sample, 0, first] = 1.0
        rows[sample, 1, second] = -1.0
        rows[sample, 2, [first, second]] = (1.0, -1.0)
    return torch.tensor(rows)
