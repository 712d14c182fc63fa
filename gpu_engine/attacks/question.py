"""What an attack is up against: a model and specification rows, evaluated at points and differentiable there."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine import forward
from gpu_engine.errors import NumericalError, SpecificationError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.spec import Specification


@dataclass(frozen=True)
class Question:
    """Does C F(x) + d hold? An input breaks it where its margin is not positive (lemma `readings`).

    specification: rows for every sample of the batch; lengths (batch,): how many frames count, None for all. The plain
    forward pass in float64 decides; nothing here is a bound.
    """

    model: RecurrentClassifier
    specification: Specification
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return len(self.specification)

    def rows(self, x: Tensor) -> Tensor:
        """C F(x) + d, x (batch, time, input) -> (batch, spec); differentiable in x."""
        if len(x) != len(self):
            raise SpecificationError(f"there are {len(x)} inputs and rows for {len(self)}; give rows for every input")
        if self.lengths is None:
            outputs = forward.logits(self.model, x)
        else:
            # Answers behind a sequence's end do not exist; no row asks about them.
            outputs = torch.nan_to_num(forward.logits_ragged(self.model, x, self.lengths))
        found = (self.specification.C @ outputs.flatten(1)[:, :, None])[:, :, 0] + self.specification.d
        if not bool(torch.isfinite(found).all()):
            raise NumericalError("the network's outputs overflow at an input that an attack tried; nothing is claimed")
        return found

    def margins(self, x: Tensor) -> Tensor:
        """One margin a sample, (batch,): the specification is broken at x where it is not positive."""
        return self.specification.margins(self.rows(x))

    def plain_margins(self, x: Tensor) -> Tensor:
        """`margins` without a gradient."""
        with torch.no_grad():
            return self.margins(x)

    def gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Margins (batch,) and their gradients (batch, time, input) at x."""
        x = x.detach().requires_grad_(True)
        with torch.enable_grad():
            margins = self.margins(x)
            (slope,) = torch.autograd.grad(margins.sum(), x)
        return margins.detach(), slope

    def select(self, index: Tensor | slice) -> Question:
        """The questions about some of the samples; an index may name one more than once."""
        lengths = None if self.lengths is None else self.lengths[index]
        return Question(self.model, self.specification.select(index), lengths)
