"""Where planes stand: what a nonlinear step reads, and who gives a bound a set of planes of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from gpu_engine.bounds import Box, Diagonals, PlanePair
from gpu_engine.propagation.relaxed import Argument, RelaxedStep, relax


@dataclass(frozen=True)
class Part:
    """One nonlinearity of a step: its kind, the boxes that its planes are over (batch, units), and what it reads.

    negate: the planes are over -v, which box and diagonals have taken into account. z, z_read: None for one argument.
    diagonals: where they are known, the planes are over the octagon.
    """

    kind: str
    v: Box
    z: Box | None
    v_read: Argument
    z_read: Argument | None
    negate: bool
    diagonals: Diagonals | None = None


@dataclass(frozen=True)
class Site:
    """A nonlinear step. out: the magnitude of its value (batch, units); start: the first relaxation's planes."""

    parts: tuple[Part, ...]
    out: Tensor
    gamma: float
    underflow: float
    start: tuple[PlanePair, ...] = ()

    def relaxed(self, planes: Sequence[PlanePair]) -> RelaxedStep:
        """The step with these planes, one pair a part."""
        pairs = [(pair, part.v_read, part.z_read, part.negate) for part, pair in zip(self.parts, planes, strict=True)]
        return relax(pairs, self.out, self.gamma, self.underflow)


class Trainer(Protocol):
    """Gives a bound a set of planes of its own."""

    def train(
        self,
        sites: Mapping[int, Site],
        lower: Callable[[Mapping[int, RelaxedStep]], Tensor],
        known: Tensor,
        *,
        rows: bool,
    ) -> Mapping[int, Sequence[PlanePair]]:
        """Sound planes for every site, by its number: such that `lower` of them is large.

        lower: of the relaxed sites, the lower bounds (batch, rows) that are asked for; gradients pass through it.
        known: what the relaxations give. rows: whether these are the rows of the specification, or ends of boxes.
        """
        ...
