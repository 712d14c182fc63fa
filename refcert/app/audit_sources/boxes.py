"""Boxes for which a function is asked for planes: drawn family by family, or those of a run."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.errors import InputError
from refcert.audit.families.boxes import BOX_FAMILIES, draw_boxes
from refcert.audit.families.octagons import draw_octagons
from refcert.audit.plane_table import NUMBERS, PlaneTable
from refcert.kernel.claims import KINDS

SIDES_OF_BOX: Final = NUMBERS[:4]
"""lower_v, upper_v, lower_z, upper_z: the columns of an array of boxes."""

DTYPES: Final = ("float64", "float32")
FROM_RUN: Final = "given"
"""The family of boxes that come from a run or a planes file."""

MOST: Final = 1_000_000
"""Boxes of one family and kind, which are drawn at once: 32 MB."""

Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Draw:
    """What is drawn: so many boxes of each family and kind; with `given`, as many at most of a run's own boxes."""

    families: tuple[str, ...]
    kinds: tuple[str, ...]
    count: int
    seed: int
    dtype: str = "float64"

    def __post_init__(self) -> None:
        for value, known, option in (
            *((family, BOX_FAMILIES, "--boxes") for family in self.families),
            *((kind, KINDS, "--kinds") for kind in self.kinds),
            (self.dtype, DTYPES, "--dtype"),
        ):
            if value not in known:
                raise InputError(f"{option} {value!r} is not known; choose from {', '.join(known)}")
        if self.count < 1:
            raise InputError(f"--count is {self.count}; give at least 1")
        if self.count > MOST:
            raise InputError(
                f"--count is {self.count:,}; give at most {MOST:,} boxes of each family and kind, and another --seed "
                "for more"
            )
        if self.seed < 0:
            raise InputError(f"--seed is {self.seed}; give a whole number from 0 up")

    def boxes(self, family: str, kind: str) -> Boxes:
        """(count, 4), the same whatever else is drawn."""
        drawn = draw_boxes(family, kind, self.count, self._rng(family, kind))
        return self._stored(drawn)

    def diagonals(self, family: str, kind: str, boxes: Boxes) -> Boxes:
        """Ends of v + z and v - z, (count, 4), for these boxes; stored as they are, which can empty an octagon."""
        rng = np.random.default_rng([self.seed, *(zlib.crc32(word.encode()) for word in (family, kind, "octagon"))])
        return self._stored(draw_octagons(boxes, rng))

    def sample(self, boxes: Boxes, kind: str) -> Boxes:
        """At most `count` of the boxes, in their order."""
        if len(boxes) > self.count:
            boxes = boxes[np.sort(self._rng(FROM_RUN, kind).choice(len(boxes), self.count, replace=False))]
        return self._stored(boxes)

    def _rng(self, family: str, kind: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, *(zlib.crc32(word.encode()) for word in (family, kind))])

    def _stored(self, boxes: Boxes) -> Boxes:
        """The nearest boxes in the dtype; rounding keeps lower <= upper."""
        return boxes.astype(self.dtype).astype(np.float64)


def boxes_of(tables: Sequence[PlaneTable], kind: str) -> Boxes:
    """The different boxes of one kind in some planes, sorted; (count, 4), z is zero for the one-dimensional kinds."""
    found = [
        np.stack([table.columns[name] for name in SIDES_OF_BOX], 1)[table.columns["kind"] == kind] for table in tables
    ]
    boxes = np.concatenate(found) if found else np.empty((0, 4))
    if not kind.startswith("sigmoid_times_"):
        boxes[:, 2:] = 0.0
    return np.unique(boxes, axis=0)


def given_boxes(path: Path, tables: Sequence[PlaneTable], draw: Draw) -> dict[str, Boxes]:
    """The boxes of a run by kind. Raises InputError if it has none of the kinds that are asked for."""
    found = {kind: draw.sample(boxes_of(tables, kind), kind) for kind in draw.kinds}
    if not any(map(len, found.values())):
        there = sorted({str(kind) for table in tables for kind in np.unique(table.columns["kind"])})
        raise InputError(
            f"--boxes-from {path} has no boxes of {', '.join(draw.kinds)}, only of {', '.join(there) or 'nothing'}; "
            "choose other --kinds"
        )
    return {kind: boxes for kind, boxes in found.items() if len(boxes)}
