"""Hypothesis strategy for batches of sequences, of one length or of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from torch import Tensor

from gpu_engine.model import RecurrentClassifier
from refcert.strategies.numbers import Span, arrays, sizes
from refcert.strategies.options import at_least_one, checked_clip, finite
from refcert.strategies.sources import Evaluable

REACHES: Final = (1.0, 0.1, 10.0)
"""Half the width of the range that values are drawn from."""


@dataclass(frozen=True, repr=False)
class Sequences(Evaluable):
    """x (batch, time, input) float64; lengths (batch,) int64: frames that count, None for all; others are zero."""

    x: Tensor
    lengths: Tensor | None = None

    def each(self) -> list[Tensor]:
        """Every sequence by itself, (its length, input)."""
        counts = [self.x.shape[1]] * len(self.x) if self.lengths is None else self.lengths.tolist()
        return [sequence[:count] for sequence, count in zip(self.x, counts, strict=True)]


def sequences(
    model: RecurrentClassifier | None = None,
    *,
    size: Span = (1, 5),
    batch: Span = (1, 3),
    time: Span = (1, 4),
    ragged: bool = True,
    clip: tuple[float, float] | None = None,
    reaches: Sequence[float] = REACHES,
) -> SearchStrategy[Sequences]:
    """Sequences for the model, or of `size` values a frame. batch, time, size: a number or (least, largest).

    ragged: may the sequences end at different frames? clip: the range of the data; without one, values lie within one
    of the `reaches` of zero. Shrinks to one sequence of one frame of zeros.
    Raises ValueError for a range or reaches that no data can have.
    """
    within = finite("reach", at_least_one("reaches", reaches), least=0.0)
    ranges = tuple((-reach, reach) for reach in within) if clip is None else (checked_clip(clip),)
    return _sequences(size if model is None else model.input_size, batch, time, ragged, ranges)


@st.composite
def _sequences(
    draw: DrawFn, size: Span, batch: Span, time: Span, ragged: bool, ranges: tuple[tuple[float, float], ...]
) -> Sequences:
    count, frames = draw(sizes(batch)), draw(sizes(time))
    width, (low, high) = draw(sizes(size)), draw(st.sampled_from(ranges))
    x = torch.tensor(draw(arrays((count, frames, width), low, high)))
    if not ragged or frames == 1 or not draw(st.booleans()):
        return Sequences(x)
    lengths = torch.tensor(draw(st.lists(st.integers(1, frames), min_size=count, max_size=count)))
    behind = torch.arange(frames) >= lengths[:, None]
    return Sequences(x.masked_fill(behind[:, :, None], 0.0), lengths)
