"""The two kinds of attack. One algorithm is one file with one final class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from gpu_engine.attacks.family import BallFamily
from gpu_engine.attacks.found import Smallest, Worst
from gpu_engine.attacks.question import Question
from gpu_engine.inputs import InputSet


class SetAttack(ABC):
    """Searches the least margin on given input sets."""

    name: ClassVar[str]

    @abstractmethod
    def worst(
        self, question: Question, inputs: InputSet, generator: torch.Generator, start: Tensor | None = None
    ) -> Worst:
        """The inputs with the least margins found, one a set; samples do not interact.

        start (batch, time, input): points to begin from, where the attack can use them. All randomness comes from the
        generator.
        """

    def until_success(self) -> SetAttack:
        """The same attack, which may leave a sample as soon as it is broken: not the least margin is asked for."""
        return self


class RadiusAttack(ABC):
    """Searches the smallest ball of a family that holds an input which breaks the specification."""

    name: ClassVar[str]

    @abstractmethod
    def smallest(self, question: Question, family: BallFamily, generator: torch.Generator) -> Smallest:
        """The smallest perturbations found; samples do not interact. All randomness comes from the generator."""
