"""A small problem: two classes told apart by the sign of every frame's first value; the second is noise."""

from __future__ import annotations

import torch

from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.training.losses import Labelled


def toy_network(seed: int = 0, inputs: int = 2) -> RecurrentClassifier:
    """A GRU of four units with random weights."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return 0.5 * torch.randn(shape, generator=generator, dtype=torch.float64)

    direction = Direction("gru", normal(12, inputs), normal(12, 4), normal(12), normal(12))
    return RecurrentClassifier(layers=((direction,),), after=(Dense(normal(2, 4), normal(2)),))


def toy_data(count: int = 48, seed: int = 1) -> Labelled:
    """Three frames around +-0.5 in the first value; the second value has the class's sign, but is tiny."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    sign = (2.0 * labels - 1)[:, None, None].double()
    noise = torch.randn(count, 3, 2, generator=generator, dtype=torch.float64)
    x = sign * torch.tensor([0.5, 0.05], dtype=torch.float64) + noise * torch.tensor([0.1, 0.01], dtype=torch.float64)
    return Labelled(x, labels)
