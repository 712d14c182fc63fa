"""The exact network at many points, in ball arithmetic: the table that benchmarks hold float inference against."""

from __future__ import annotations

import torch
from flint import arb

from gpu_engine.model import RecurrentClassifier
from refcert.app.sandwich.exact_network import exact_outputs, program_of
from refcert.kernel.ball import precision

BITS = 128

Rows = list[list[arb]]
"""Values of a variable at several inputs, (units, inputs)."""


def exact_logits(model: RecurrentClassifier, x: torch.Tensor) -> Rows:
    """Balls that contain the exact network's logits, (classes, inputs). x (inputs, time, input), taken as exact.

    For networks with one answer for the whole sequence.
    """
    program = program_of(model, x.shape[1])
    with precision(BITS):
        found = [exact_outputs(program, sample) for sample in x.to(torch.float64).tolist()]
    return [list(unit) for unit in zip(*found, strict=True)]
