"""The part of an affine step that is no variable, and the sum of the absolute values of all its terms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gpu_engine.bounds import Box
from gpu_engine.propagation.concretize import PreparedInput
from gpu_engine.propagation.weights import Weights
from gpu_engine.rounding import tiny, unit_roundoff
from gpu_engine.steps import Affine, Input, Step, Term


@dataclass
class AffineConstants:
    """constant, size, box: what is known of the steps before, by number; (batch, units) each."""

    steps: Sequence[Step]
    weights: Weights
    inputs: PreparedInput
    constant: Mapping[int, Tensor]
    size: Mapping[int, Tensor]
    box: Mapping[int, Box]

    def of(self, step: Affine) -> tuple[Tensor, Tensor, Tensor]:
        """(own, constant, size), each (batch, step.size).

        own: biases and the frames' centers. constant: that and the constants of the affine steps that are read. size:
        at least the sum of the absolute values of all terms of the step's value.
        """
        batch = self.inputs.center.shape[0]
        own = torch.zeros(batch, step.size, dtype=self.weights.dtype, device=self.weights.device)
        size = torch.full_like(own, self._underflow(step))
        for bias in step.biases:
            rows = slice(bias.row, bias.row + len(bias.value))
            own[:, rows] += self.weights.cast(step.name, bias.value)
            size[:, rows] += self.weights.magnitudes(step.name, bias.value)
        constant = None
        for term in step.terms:
            units, rows = slice(term.source.start, term.source.stop), slice(term.row, term.row + term.rows)
            number = term.source.step
            size[:, rows] += self._absolute(step, term, self._magnitude(number)[:, units])
            fixed = self.constant.get(number)
            if fixed is None:
                continue
            image = self._image(step, term, fixed[:, units])
            if isinstance(self.steps[number], Input):
                own[:, rows] += image
            else:
                constant = torch.zeros_like(own) if constant is None else constant
                constant[:, rows] += image
        return own, own if constant is None else own + constant, size

    def _underflow(self, step: Affine) -> float:
        """A part of `size` that makes its rounding, `unit roundoff * size`, cover every underflow of the step's sums.

        It travels on through |weights| with the size, as what is lost travels through the weights.
        """
        sums = sum(term.source.size + 1 for term in step.terms) + len(step.biases) + 2
        return 2 * sums * tiny(self.weights.dtype) / unit_roundoff(self.weights.dtype)

    def _magnitude(self, number: int) -> Tensor:
        known = self.size.get(number)
        return self.box[number].magnitude() if known is None else known

    def _image(self, step: Affine, term: Term, value: Tensor) -> Tensor:
        if term.weight is None:
            return value / term.divisor
        return value @ self.weights.cast(step.name, term.weight).T

    def _absolute(self, step: Affine, term: Term, value: Tensor) -> Tensor:
        if term.weight is None:
            return value / abs(term.divisor)
        return value @ self.weights.magnitudes(step.name, term.weight).T
