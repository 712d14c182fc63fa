"""What an attack is up against: a model and specification rows, evaluated at points and differentiable there."""

from __future__ import annotations

import math
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
    forward pass in float64 decides; nothing here is a bound. Where it overflows nothing is decided: all rows of that
    sample are infinite, so that the input breaks nothing and the others go on.
    """

    model: RecurrentClassifier
    specification: Specification
    lengths: Tensor | None = None

    def __len__(self) -> int:
        return len(self.specification)

    def rows(self, x: Tensor) -> Tensor:
        """C F(x) + d, x (batch, time, input) -> (batch, spec); differentiable in x.

        Infinity in all rows of a sample where one of its rows, or an output that it reads, is not finite.
        """
        if len(x) != len(self):
            raise SpecificationError(f"there are {len(x)} inputs and rows for {len(self)}; give rows for every input")
        if self.lengths is None:
            outputs = forward.logits(self.model, x)
        else:
            outputs = forward.logits_ragged(self.model, x, self.lengths)
            if self.model.readout == "every":
                # Answers behind a sequence's end do not exist; no row asks about them.
                behind = torch.arange(x.shape[1], device=x.device) >= self.lengths.to(x.device)[:, None]
                outputs = torch.where(behind[:, :, None], 0.0, outputs)
        found = (self.specification.C @ outputs.flatten(1)[:, :, None])[:, :, 0] + self.specification.d
        decided = torch.isfinite(found).all(1, keepdim=True)
        return found if bool(decided.all()) else torch.where(decided, found, math.inf)

    def margins(self, x: Tensor) -> Tensor:
        """One margin a sample, (batch,): the specification is broken at x where it is not positive."""
        return self.specification.margins(self.rows(x))

    def plain_margins(self, x: Tensor) -> Tensor:
        """`margins` without a gradient."""
        with torch.no_grad():
            return self.margins(x)

    def center_margins(self, center: Tensor) -> Tensor:
        """`plain_margins` of the samples themselves. Raises NumericalError with the first sample that overflows."""
        found = self.plain_margins(center)
        lost = torch.isposinf(found).nonzero()[:, 0]
        if len(lost):
            raise NumericalError(
                f"the network's outputs overflow at sample {int(lost[0])} itself; nothing can be asked about it. Scale "
                "its values, or leave it out"
            )
        return found

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
