"""The values that pass between the engine's parts: boxes and bounding planes.

Shapes are written as in the whole project: `batch` samples, `time` frames, `hidden` units.
All fields of one value have the same shape unless said otherwise. All values are frozen and never
modified in place.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Box:
    """An elementwise interval [lower, upper], shape (...,)."""

    lower: Tensor
    upper: Tensor

    def magnitude(self) -> Tensor:
        """The largest absolute value in the interval, shape (...,). Exact."""
        return torch.maximum(self.lower.abs(), self.upper.abs())

    def intersect(self, other: Box) -> Box:
        """The common part of two boxes that both hold. It may be empty; the caller checks."""
        return Box(
            torch.maximum(self.lower, other.lower),
            torch.minimum(self.upper, other.upper),
        )

    def select(self, samples: Tensor) -> Box:
        """The boxes of some samples, by position; shape (batch, ...)."""
        return Box(self.lower[samples], self.upper[samples])


@dataclass(frozen=True)
class Diagonals:
    """Boxes of v + z and of v - z: with those of v and z they make an octagon, the domain of a product's planes."""

    plus: Box
    minus: Box

    def select(self, samples: Tensor) -> Diagonals:
        """Those of some samples, by position; shape (batch, ...)."""
        return Diagonals(self.plus.select(samples), self.minus.select(samples))


@dataclass(frozen=True)
class Plane:
    """slope_v * v + slope_z * z + offset, each of shape (...,).

    Source: POPQORN (Ko et al. 2019), equations 5 and 6, there written alpha v + beta z + gamma.
    """

    slope_v: Tensor
    slope_z: Tensor
    offset: Tensor


@dataclass(frozen=True)
class PlanePair:
    """A lower and an upper bounding plane of one nonlinearity, both valid on one box or octagon."""

    lower: Plane
    upper: Plane


@dataclass(frozen=True)
class Origin:
    """Where planes were made: the number of the step on the tape, of its part, and of the relaxation in their list."""

    step: int
    part: int
    relaxation: int


@dataclass(frozen=True)
class BoundedProduct:
    """One nonlinearity of the unrolled network with its box and its planes.

    kind: 'sigmoid_times_tanh', 'sigmoid_times_identity', 'sigmoid', 'tanh' or 'relu'; those of one argument have zeros
    in z. name: the role that the cell gives it ('input', 'forget', 'output'; 'reset', 'candidate', 'update';
    'activation'; 'before.0', 'maximum', ...), with ' (backward)' behind it for that direction. A GRU's candidate,
    (1 - sigmoid(u)) tanh(n) = sigmoid(v) tanh(n), has v = -u. origin: None where the planes were made without a tape.
    diagonals: where they are known, the planes hold on the octagon that they cut out of the box.
    """

    kind: str
    name: str
    layer: int
    t: int
    v: Box
    z: Box
    planes: PlanePair
    origin: Origin | None = None
    diagonals: Diagonals | None = None
