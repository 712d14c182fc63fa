"""FGSM: one step to the point of the set that the gradient at the center points to.

Method card
    Source     Goodfellow et al. (2015), "Explaining and harnessing adversarial examples".
    Departure  on every input set, not l_inf alone: the step ends where the gradient's linear form is least on the set.
    Sound?     the input returned is a point of the set; that nothing was found proves nothing.
    Shapes     inputs and results (batch, time, input).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gpu_engine.attacks.base import SetAttack
from gpu_engine.attacks.found import Worst, worst_at
from gpu_engine.attacks.geometry.registry import geometry_of
from gpu_engine.attacks.question import Question
from gpu_engine.inputs import InputSet


class FGSM(SetAttack):
    """One evaluation of the gradient; nothing is random."""

    name: ClassVar[str] = "fgsm"

    def worst(
        self, question: Question, inputs: InputSet, generator: torch.Generator, start: Tensor | None = None
    ) -> Worst:
        """`generator` and `start` are not used."""
        center = inputs.center
        margins = question.center_margins(center)
        _, slope = question.gradient(center)
        moved = worst_at(question, geometry_of(inputs).corner(slope))
        return Worst(center, margins).or_better(moved)
