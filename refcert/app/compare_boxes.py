"""All compared relaxations on the same boxes: gaps of every nonlinearity, heights of a sample of planes.

The boxes are those of `best` at one radius, whatever is compared: they hold (every relaxation is sound), they favour
none of the compared ones, do not depend on which others are asked for, and are what the engine itself reaches there.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gpu_engine.bounds import BoundedProduct, Box, Plane
from gpu_engine.inputs import InputSet
from gpu_engine.model import RecurrentClassifier
from gpu_engine.relaxations.registry import BEST, RELAXATIONS, Relaxation
from gpu_engine.search.certify import Options, certify
from gpu_engine.spec import Specification
from refcert.kernel.claims import SIDES

BOXES_OF: Final = "best"
OVERALL: Final = "overall"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class DrawnPlanes:
    """Places of the sample: kind and side (planes,), box (planes, 4) as lower_v, upper_v, lower_z, upper_z.

    heights: for every relaxation its planes' heights at the centres of these boxes, (planes,).
    """

    kind: NDArray[np.str_]
    side: NDArray[np.str_]
    box: Floats
    heights: Mapping[str, Floats]


@dataclass(frozen=True)
class Measured:
    """mean_gap: by relaxation and kind, with `overall`; counts: nonlinearities by kind; drawn: the planes' sample."""

    mean_gap: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]
    drawn: DrawnPlanes


def relaxations_of(name: str) -> tuple[Relaxation, ...]:
    """The relaxation of this name; all its starts for 'best'."""
    return tuple(RELAXATIONS[member] for member in (BEST if name == "best" else (name,)))


def measure(
    names: Sequence[str],
    model: RecurrentClassifier,
    inputs: InputSet,
    specification: Specification,
    options: Options,
    *,
    lengths: Tensor | None,
    planes: int,
    seed: int,
    progress: Callable[[int], None],
) -> Measured:
    """Gaps of all relaxations on the boxes of `best` over the input set, and a sample of at most `planes` planes.

    lengths (batch,): how many frames of each sequence count, or None. The sample is uniform over all planes
    (nonlinearity and side) and depends on the seed only, not on chunks.
    """
    sums: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in names}
    counts: Counter[str] = Counter()
    pool = _Pool(planes, seed)

    def sink(index: Tensor, products: tuple[BoundedProduct, ...]) -> None:
        places = list(_without_repeats(products))
        heights = {name: [_heights(name, place) for place in places] for name in names}
        for number, place in enumerate(places):
            counts[place.kind] += place.v.lower.numel()
            for name in names:
                low, high = heights[name][number]
                sums[name][place.kind].append(float((high - low).sum()))
        pool.add(index, places, heights)
        progress(len(index))

    certify(model, inputs, specification, replace(options, relaxation=BOXES_OF), sink, lengths)
    total = sum(counts.values())
    gaps = {
        name: {OVERALL: math.fsum(math.fsum(part) for part in by_kind.values()) / total}
        | {kind: math.fsum(by_kind[kind]) / counts[kind] for kind in sorted(by_kind)}
        for name, by_kind in sums.items()
        if total
    }
    return Measured(gaps, dict(sorted(counts.items())), pool.drawn(names))


def _without_repeats(products: Sequence[BoundedProduct]) -> Iterator[BoundedProduct]:
    """Every nonlinearity once: `best` lists it once for each of its starts, with the same box."""
    seen: dict[tuple[str, str, int, int], list[BoundedProduct]] = defaultdict(list)
    for product in products:
        known = seen[product.kind, product.name, product.layer, product.t]
        if not any(_same(product.v, other.v) and _same(product.z, other.z) for other in known):
            known.append(product)
            yield product


def _same(one: Box, other: Box) -> bool:
    return torch.equal(one.lower, other.lower) and torch.equal(one.upper, other.upper)


def _heights(name: str, place: BoundedProduct) -> tuple[Floats, Floats]:
    """Heights of the lower and the upper plane at the centres of the boxes, (batch, units).

    `best` follows all its starts and every row takes the better bound: counted is the better of their planes.
    """
    centre = [_double(box.lower) / 2 + _double(box.upper) / 2 for box in (place.v, place.z)]
    lows, highs = [], []
    for relaxation in relaxations_of(name):
        pair = relaxation.planes(place.kind, place.v, place.z)
        lows.append(_at(pair.lower, centre))
        highs.append(_at(pair.upper, centre))
    return np.maximum.reduce(lows), np.minimum.reduce(highs)


def _at(plane: Plane, centre: Sequence[Floats]) -> Floats:
    v, z = centre
    return _double(plane.slope_v) * v + _double(plane.slope_z) * z + _double(plane.offset)


def _double(value: Tensor) -> Floats:
    return value.detach().to(device="cpu", dtype=torch.float64).numpy()


@dataclass
class _Pool:
    """A uniform sample without replacement: every plane gets a random key of its own, the least keys stay.

    Keys come from the seed and the position of the input set, so that they do not depend on the chunks.
    """

    size: int
    seed: int
    keys: Floats = field(default_factory=lambda: np.zeros(0))
    columns: dict[str, list[NDArray[np.generic]]] = field(default_factory=lambda: defaultdict(list))

    def add(
        self, index: Tensor, places: Sequence[BoundedProduct], heights: Mapping[str, Sequence[tuple[Floats, Floats]]]
    ) -> None:
        widths = [place.v.lower.shape[1] for place in places]
        units = sum(widths)
        if not units or not self.size:
            return
        keys = np.stack([np.random.default_rng([self.seed, number]).random((2, units)) for number in index.tolist()])
        least = np.argsort(keys, axis=None, kind="stable")[: self.size]
        row, side, unit = np.unravel_index(least, keys.shape)
        kinds = np.repeat([place.kind for place in places], widths)
        ends = [
            np.concatenate([_double(end) for end in column], axis=1)
            for column in zip(
                *((place.v.lower, place.v.upper, place.z.lower, place.z.upper) for place in places), strict=True
            )
        ]
        piece: dict[str, NDArray[np.generic]] = {
            "kind": kinds[unit],
            "side": np.array(SIDES)[side],
            "box": np.stack([end[row, unit] for end in ends], axis=1),
        }
        for name, pairs in heights.items():
            both = np.stack([np.concatenate([pair[k] for pair in pairs], axis=1) for k in range(len(SIDES))])
            piece[name] = both[side, row, unit]
        self._keep(keys[row, side, unit], piece)

    def _keep(self, keys: Floats, piece: Mapping[str, NDArray[np.generic]]) -> None:
        self.keys = np.concatenate((self.keys, keys))
        order = np.argsort(self.keys, kind="stable")[: self.size]
        self.keys = self.keys[order]
        for name, values in piece.items():
            self.columns[name] = [np.concatenate((*self.columns[name], values))[order]]

    def drawn(self, names: Sequence[str]) -> DrawnPlanes:
        def column(name: str, empty: NDArray[np.generic]) -> NDArray[np.generic]:
            return self.columns[name][0] if self.columns[name] else empty

        none, words = np.zeros(0), np.zeros(0, dtype=np.str_)
        return DrawnPlanes(
            column("kind", words).astype(np.str_),
            column("side", words).astype(np.str_),
            column("box", np.zeros((0, 4))).astype(np.float64),
            {name: column(name, none).astype(np.float64) for name in names},
        )
