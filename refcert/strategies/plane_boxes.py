"""Hypothesis strategy for boxes of nonlinearities, one or many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from numpy.typing import NDArray

from refcert.audit.families.boxes import draw_boxes
from refcert.kernel.claims import KINDS
from refcert.reference.intervals import Interval
from refcert.strategies.interval_families import INTERVAL_FAMILIES, intervals
from refcert.strategies.numbers import SEEDS, Span, sizes
from refcert.strategies.options import some_of
from refcert.strategies.sources import Evaluable

if TYPE_CHECKING:
    from gpu_engine.bounds import Box

Floats = NDArray[np.float64]
PRODUCTS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")


@dataclass(frozen=True, repr=False)
class PlaneBoxes(Evaluable):
    """Boxes that planes of one kind are asked for: an interval of v and one of z for each, z zero in one dimension.

    kind: one of `refcert.kernel.claims.KINDS`.
    """

    kind: str
    v: tuple[tuple[float, float], ...]
    z: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is {self.kind!r}; known kinds: {', '.join(KINDS)}")
        if len(self.v) != len(self.z) or not all(low <= high for low, high in (*self.v, *self.z)):
            raise ValueError(f"{self!r}: give as many intervals of z as of v, the lower end first")

    def __len__(self) -> int:
        return len(self.v)

    def columns(self) -> tuple[Floats, Floats, Floats, Floats]:
        """lower_v, upper_v, lower_z, upper_z, (boxes,) each: what a planes function is called with."""
        ends = np.array([(*v, *z) for v, z in zip(self.v, self.z, strict=True)], dtype=np.float64).reshape(-1, 4)
        return ends[:, 0].copy(), ends[:, 1].copy(), ends[:, 2].copy(), ends[:, 3].copy()

    def engine(self) -> tuple[Box, Box]:
        """The boxes of v and z in the engine's type, float64 (boxes,)."""
        import torch

        from gpu_engine.bounds import Box

        low_v, high_v, low_z, high_z = map(torch.tensor, self.columns())
        return Box(low_v, high_v), Box(low_z, high_z)


def boxes(
    kinds: Sequence[str] = KINDS,
    *,
    families: Sequence[str] = INTERVAL_FAMILIES,
    count: Span = (1, 3),
    bulk: int = 0,
) -> SearchStrategy[PlaneBoxes]:
    """Boxes for planes of one of the kinds, each axis of one of the families of `intervals`.

    count: how many are drawn one by one, so that they shrink; bulk: so many more from one seed, over all families of
    the audit, for functions that are cheap on many boxes at once. Shrinks to one box, a point at zero.
    Raises ValueError for unknown names and a negative bulk.
    """
    if bulk < 0:
        raise ValueError(f"bulk is {bulk}; give 0 or more")
    return _boxes(some_of("kind", kinds, KINDS), intervals(families), count, bulk)


@st.composite
def _boxes(draw: DrawFn, kinds: tuple[str, ...], axis: SearchStrategy[Interval], count: Span, bulk: int) -> PlaneBoxes:
    kind = draw(st.sampled_from(kinds))
    drawn = [(draw(axis), draw(axis) if kind in PRODUCTS else (0.0, 0.0)) for _ in range(draw(sizes(count)))]
    rows = [(*v, *z) for v, z in drawn]
    if bulk:
        rows += draw_boxes("mixed", kind, bulk, np.random.default_rng(draw(SEEDS))).tolist()
    return PlaneBoxes(kind, tuple((row[0], row[1]) for row in rows), tuple((row[2], row[3]) for row in rows))
