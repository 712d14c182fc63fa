"""Balls that grow with a radius, in plain arrays; sizes of inputs in exact rational arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from refcert.reference.errors import ReferenceInputError
from refcert.reference.input_sets import BoxSet
from refcert.reference.networks import Array
from refcert.reference.rounding import above, below

NORMS: Final = (math.inf, 1.0)
"""The norms whose balls are polyhedra, so that a linear solver is enough."""


@dataclass(frozen=True)
class BallFamily:
    """One ball for every radius r: frame balls of radii r * weight[t], or one ball r around the sequence (`shared`).

    center (time, input) float64; weight (time,) >= 0, None for ones, zero fixes a frame; with `shared` 0 or 1; p: one
    of NORMS; clip = (low, high) cuts every ball. Raises ReferenceInputError.
    """

    center: Array
    weight: Array | None = None
    p: float = math.inf
    clip: tuple[float, float] | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        if self.center.ndim != 2 or not np.isfinite(self.center).all():
            raise ReferenceInputError(f"the center has shape {self.center.shape}; it needs finite values (time, input)")
        if self.p not in NORMS:
            raise ReferenceInputError(f"norm {self.p}: balls of the norms inf and 1 are polyhedra; give one of these")
        weights = self.weights
        if weights.shape != self.center.shape[:1] or not (np.isfinite(weights) & (weights >= 0)).all():
            raise ReferenceInputError(f"the weights are {weights}; give one >= 0 for each of {len(self.center)} frames")
        if self.shared and not np.isin(weights, (0.0, 1.0)).all():
            raise ReferenceInputError(f"the weights are {weights}; one ball around the sequence needs weights 0 and 1")
        if self.clip is not None and not (self.clip[0] <= self.center.min() and self.center.max() <= self.clip[1]):
            raise ReferenceInputError(f"the center leaves the clip range {self.clip}; scale it or widen the range")

    @property
    def weights(self) -> Array:
        """One for every frame, (time,)."""
        return np.ones(len(self.center)) if self.weight is None else self.weight

    def box(self, radius: float) -> BoxSet:
        """A box, rounded outward, that holds the ball of this radius."""
        reach = [Fraction(radius) * Fraction(float(weight)) for weight in self.weights]
        lower = np.array(
            [[below(Fraction(float(x)) - r) for x in row] for row, r in zip(self.center, reach, strict=True)]
        )
        upper = np.array(
            [[above(Fraction(float(x)) + r) for x in row] for row, r in zip(self.center, reach, strict=True)]
        )
        if self.clip is not None:
            lower, upper = lower.clip(min=self.clip[0]), upper.clip(max=self.clip[1])
        return BoxSet(lower, upper)

    def size(self, x: Array) -> float:
        """The radius of the smallest ball that holds x (time, input): exact, rounded up once; inf where none does."""
        if self.clip is not None and not ((x >= self.clip[0]) & (x <= self.clip[1])).all():
            return math.inf
        lengths: list[Fraction] = []
        for moved, center, weight in zip(x, self.center, self.weights, strict=True):
            steps = [abs(Fraction(float(a)) - Fraction(float(b))) for a, b in zip(moved, center, strict=True)]
            length = max(steps) if math.isinf(self.p) else sum(steps, Fraction(0))
            if length and not weight:
                return math.inf
            lengths.append(length / Fraction(float(weight)) if length else Fraction(0))
        together = self.shared and self.p == 1.0
        return above(sum(lengths, Fraction(0)) if together else max(lengths))
