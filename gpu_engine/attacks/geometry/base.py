"""The abstract base of all geometries. Points, gradients and centers are (batch, time, input) float64."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Geometry(ABC):
    """Moves inside one input set for each sample.

    Whatever is returned lies in its set in exact arithmetic, not up to rounding: an attack that left the set by a last
    place would be no attack, and could contradict a bound that is right.
    """

    @abstractmethod
    def inside(self, x: Tensor) -> Tensor:
        """A point of the set near x; x itself where it is clearly inside."""

    @abstractmethod
    def random(self, generator: torch.Generator) -> Tensor:
        """A random point of every set; all of the set can be drawn."""

    @abstractmethod
    def corner(self, gradient: Tensor) -> Tensor:
        """The point of the set at which the linear form `gradient` is least."""

    @abstractmethod
    def descend(self, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
        """x moved against the gradient, steepest in the set's own norm, and back into the set.

        step (batch,): the length of the move as a share of the set's radius.
        """
