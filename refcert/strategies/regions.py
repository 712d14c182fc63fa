"""Hypothesis strategy for input sets of every kind: every norm, zero radii, clip ranges, frames that stay."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from torch import Tensor

from gpu_engine.inputs import CLIP_BOUNDS, Clip, InputSet
from gpu_engine.model import RecurrentClassifier
from refcert.strategies.numbers import SEEDS, Span, arrays, first_part, sizes
from refcert.strategies.options import at_least_one, checked_clip, finite, some_of
from refcert.strategies.sets import Boxes, FrameBalls, SequenceBall, Substitutions

SET_KINDS: Final = ("frames", "sequence", "boxes", "substitutions")
BALLS: Final = ("frames", "sequence")
NORMS: Final = (math.inf, 2.0, 1.0, 3.0, 1.5)
RADII: Final = (0.0, 1.0, 0.05, 1e-3, 1e-6, 1e-12, 3.0, 100.0)
CLIPS: Final[tuple[Clip | None, ...]] = (None, (0.0, 1.0), (-0.25, 2.0))
REACH: Final = 2.0
"""Centers without a clip range lie within it."""
MOST_CANDIDATES: Final = 4


@dataclass(frozen=True)
class _Choice:
    norms: tuple[float, ...]
    radii: tuple[float, ...]
    clips: tuple[Clip | None, ...]
    clip_bounds: tuple[str, ...]
    fixed_frames: bool


def input_sets(
    model: RecurrentClassifier | None = None,
    *,
    around: Tensor | None = None,
    kinds: Sequence[str] = SET_KINDS,
    norms: Sequence[float] = NORMS,
    radii: Sequence[float] = RADII,
    clips: Sequence[Clip | None] = CLIPS,
    clip_bounds: Sequence[str] = CLIP_BOUNDS,
    fixed_frames: bool = True,
    batch: Span = (1, 2),
    time: Span = (1, 4),
    size: Span = (1, 5),
) -> st.SearchStrategy[InputSet]:
    """Input sets for the model, or of `size` values a frame; around: their centers (batch, time, input), if given.

    What is drawn is one of the engine's input sets, whose repr rebuilds it. kinds: some of SET_KINDS; norms, radii,
    clips, clip_bounds: what may occur, the first the simplest. With `around`, give clip ranges that hold it.
    A ball's radius may differ from frame to frame and be zero for some; a sequence ball may leave frames as they are,
    if there may be fixed_frames; boxes have sides of any ratio, some of them without width; some candidates of
    substitutions are not allowed.
    Shrinks to one frame of one value, zero, with the first of the radii. Raises ValueError for unknown kinds
    and for numbers that no set can have.
    """
    for norm in at_least_one("norms", norms):
        if not norm >= 1.0:
            raise ValueError(f"norm is {norm!r}; give p >= 1 or inf")
    choice = _Choice(
        tuple(norms),
        finite("radius", at_least_one("radii", radii), least=0.0),
        tuple(None if clip is None else checked_clip(clip) for clip in at_least_one("clips", clips)),
        some_of("clip bound", clip_bounds, CLIP_BOUNDS),
        fixed_frames,
    )
    if around is not None and model is not None and around.shape[-1] != model.input_size:
        raise ValueError(f"around has {around.shape[-1]} values a frame; the model reads {model.input_size}")
    width = size if model is None else model.input_size
    return _input_sets(some_of("kind", kinds, SET_KINDS), choice, around, batch, time, width)


@st.composite
def _input_sets(
    draw: DrawFn, kinds: tuple[str, ...], choice: _Choice, around: Tensor | None, batch: Span, time: Span, size: Span
) -> InputSet:
    kind = draw(st.sampled_from(kinds))
    # drawn for all kinds, so that none is simpler by having fewer choices: an example shrinks towards the first kind
    clip = draw(st.sampled_from(choice.clips))
    norm = draw(st.sampled_from(choice.norms))
    how = draw(st.sampled_from(choice.clip_bounds))
    clip = clip if kind in BALLS else None
    if around is None:
        shape = (draw(sizes(batch)), draw(sizes(time)), draw(sizes(size)))
        low, high = (-REACH, REACH) if clip is None else clip
        center = torch.tensor(draw(arrays(shape, low, high)))
    else:
        center = around
    radius = draw(st.sampled_from(choice.radii))
    if kind not in BALLS:
        return draw(_boxes(center, radius) if kind == "boxes" else _substitutions(center, radius))
    if kind == "frames":
        return FrameBalls(center, draw(_radii(center.shape[:2], radius, choice.radii)), norm, clip, how)
    moves = None
    if choice.fixed_frames and draw(st.booleans()):
        rng = np.random.default_rng(draw(SEEDS))
        moves = torch.tensor(first_part(tuple(center.shape[:2]), rng.random) < 0.7)
    return SequenceBall(center, torch.full((len(center),), radius, dtype=torch.float64), norm, clip, moves, how)


@st.composite
def _radii(draw: DrawFn, shape: Sequence[int], radius: float, radii: tuple[float, ...]) -> Tensor:
    """One for all frames, shares of it (also none), or any of the radii for each."""
    how = draw(st.sampled_from(("one", "shares", "any")))
    if how == "one":
        return torch.full(tuple(shape), radius, dtype=torch.float64)
    rng = np.random.default_rng(draw(SEEDS))
    some = [0.0, radius / 2, radius] if how == "shares" else list(radii)
    return torch.tensor(first_part(tuple(shape), lambda whole: rng.choice(some, whole)))


@st.composite
def _boxes(draw: DrawFn, center: Tensor, reach: float) -> InputSet:
    """Both sides up to `reach` wide, in eighths or with all digits; some of no width."""
    plain = draw(st.booleans())
    rng = np.random.default_rng(draw(SEEDS))
    shape = (2, *center.shape)
    share = first_part(shape, rng.random if plain else lambda whole: rng.integers(1, 9, whole) / 8)
    below, above = torch.tensor(reach * share * (first_part(shape, rng.random) < 0.8))
    return Boxes(center - below, center + above)


@st.composite
def _substitutions(draw: DrawFn, center: Tensor, reach: float) -> InputSet:
    """1 to MOST_CANDIDATES candidates a frame, `reach` away, some of them not allowed."""
    count = draw(st.integers(1, MOST_CANDIDATES))
    rng = np.random.default_rng(draw(SEEDS))
    batch, time, size = center.shape
    moves = first_part((batch, time, count, size), lambda whole: rng.normal(0, reach, whole))
    allowed = first_part((batch, time, count), rng.random) < 0.7
    return Substitutions(center, center[:, :, None] + torch.tensor(moves), torch.tensor(allowed))
