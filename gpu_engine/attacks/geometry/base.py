"""The abstract base of all geometries. Points, gradients and centers are (batch, time, input) float64."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor


class Geometry(ABC):
    """Moves inside one input set for each sample.

    Whatever is returned lies in its set in exact arithmetic, not up to rounding: an attack that left the set by a last
    place would be no attack, and could contradict a bound that is right. What is no number stays where the center is.
    """

    discrete: ClassVar[bool] = False
    """Whether the set is a list of points, between which there is nothing."""

    @abstractmethod
    def inside(self, x: Tensor) -> Tensor:
        """A point of the set near x; x itself where it is clearly inside."""

    @abstractmethod
    def random(self, generator: torch.Generator, alike: bool = False) -> Tensor:
        """A random point of every set; all of the set can be drawn.

        alike: the same random numbers for every sample, so that none depends on how many others there are.
        """

    @abstractmethod
    def corner(self, gradient: Tensor) -> Tensor:
        """The point of the set at which the linear form `gradient` is least."""

    @abstractmethod
    def descend(self, x: Tensor, gradient: Tensor, step: Tensor) -> Tensor:
        """x moved against the gradient, steepest in the set's own norm, and back into the set.

        step (batch,): the length of the move as a share of the set's radius.
        """


def uniform(shape: Sequence[int], generator: torch.Generator, device: torch.device, alike: bool) -> Tensor:
    """Random numbers in [0, 1), (batch, ...) float64; alike: the same for every sample."""
    drawn = (1, *shape[1:]) if alike else tuple(shape)
    numbers = torch.rand(drawn, generator=generator, dtype=torch.float64, device=generator.device)
    return numbers.to(device).expand(tuple(shape))
