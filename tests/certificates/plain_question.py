"""One small LSTM and one question about it, the same in every run."""

from __future__ import annotations

import torch

from gpu_engine.inputs import FrameBalls
from gpu_engine.model import Dense, Direction, RecurrentClassifier
from gpu_engine.spec import untargeted
from refcert.strategies import Question


def plain_question() -> Question:
    """Two frames of three values, four hidden units, three classes, a ball of the maximum norm."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    direction = Direction("lstm", drawn(16, 3), drawn(16, 4), drawn(16), drawn(16))
    model = RecurrentClassifier(((direction,),), (Dense(drawn(3, 4), drawn(3)),))
    inputs = FrameBalls(drawn(1, 2, 3), torch.full((1, 2), 0.1, dtype=torch.float64))
    return Question(model, inputs, untargeted(torch.tensor([1]), 3), 0)
