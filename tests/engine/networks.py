"""The public strategies for networks under the names by which tests of attacks and training import them."""

from __future__ import annotations

from hypothesis.strategies import SearchStrategy
from torch import Tensor

from gpu_engine.model import RecurrentClassifier
from refcert.strategies import classifiers as networks
from refcert.strategies import sequences

__all__ = ["frames_of", "networks"]


def frames_of(model: RecurrentClassifier, max_batch: int = 3, max_time: int = 4) -> SearchStrategy[Tensor]:
    """Sequences of one length for the model, (batch, time, input)."""
    return sequences(model, batch=(1, max_batch), time=(1, max_time), ragged=False).map(lambda drawn: drawn.x)
