"""How many samples and rows fit into a memory budget."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gpu_engine.cells.unroll import unroll
from gpu_engine.model import RecurrentClassifier
from gpu_engine.propagation.backward import default_block_bytes
from gpu_engine.steps import Nonlinear

# Tensors of (batch, units) kept per unit of a step: boxes, constants, sizes; and per unit of a nonlinearity: its box,
# planes and folded constants for every relaxation, and as much again while they are made.
KEPT_PER_UNIT, KEPT_PER_NONLINEARITY = 8, 24
# Numbers for each unit of one product while its planes over octagons are made: points on the edges of both sides.
OCTAGON_PER_UNIT = 1500
# Tensors as large as a block of coefficients that live at the same time in back-substitution, with room to spare.
LIVE_BLOCKS = 16
SMALLEST_BLOCK = 1 << 12


@dataclass(frozen=True)
class Budget:
    """samples: how many to bound at once, None for no limit. block_bytes: memory of one block of coefficients."""

    samples: int | None
    block_bytes: int


def budget(
    model: RecurrentClassifier,
    time: int,
    dtype: torch.dtype,
    device: torch.device,
    memory: int | None,
    relaxations: int = 1,
    octagons: bool = False,
) -> Budget:
    """Half of the memory for blocks of back-substitution, half for what is kept of every sample."""
    usual = default_block_bytes(device)
    if memory is None:
        return Budget(None, usual)
    units = widest = 0
    for step in unroll(model, time).steps:
        units += KEPT_PER_UNIT * step.size
        if isinstance(step, Nonlinear):
            units += KEPT_PER_NONLINEARITY * step.size * len(step.parts) * relaxations
            widest = max(widest, step.size)
    units += OCTAGON_PER_UNIT * widest if octagons else 0
    per_sample = units * torch.finfo(dtype).bits // 8
    blocks = max(SMALLEST_BLOCK, min(usual, memory // 2 // LIVE_BLOCKS))
    return Budget(max(1, memory // 2 // per_sample), blocks)
