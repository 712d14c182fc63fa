"""Planes as plain columns, and the `.npz` file that holds them.

One entry per plane in every column: `kind`, `side` (strings), `lower_v, upper_v, lower_z, upper_z, slope_v, slope_z,
offset` (float64). Columns that say where a plane comes from (`ORIGIN`) may be added; they do not
matter to the verdict.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.kernel.claims import KINDS, SIDES, PlaneClaim

NUMBERS: Final = ("lower_v", "upper_v", "lower_z", "upper_z", "slope_v", "slope_z", "offset")
COLUMNS: Final = ("kind", "side", *NUMBERS)
# Where a plane comes from: the sample's index in the data, layer, frame, unit and the product's name.
ORIGIN: Final = ("sample", "layer", "t", "unit", "product")

_PRODUCTS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")

Column = NDArray[Any]


# What numpy and zipfile raise on damaged, encrypted or hostile archives.
_UNREADABLE: Final = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


class PlaneTableError(ValueError):
    """A planes file or table that makes no sense; the message names column and row."""


@dataclass(frozen=True)
class PlaneTable:
    """Columns of equal length; validated, so every row is a claim. origin: some of `ORIGIN`."""

    columns: Mapping[str, Column]
    origin: Mapping[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _validate(self.columns, self.origin)

    def __len__(self) -> int:
        return len(self.columns["offset"])

    def claims(self, start: int = 0, stop: int | None = None) -> Iterator[PlaneClaim]:
        """The rows as claims, plain floats and strings."""
        rows = slice(start, stop)
        return map(PlaneClaim, *(self.columns[name][rows].tolist() for name in COLUMNS))

    def rows(self, start: int, stop: int) -> list[list[object]]:
        """Plain columns of some rows, cheap to hand to another process."""
        return [self.columns[name][start:stop].tolist() for name in COLUMNS]


def _validate(columns: Mapping[str, Column], origin: Mapping[str, Column]) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise PlaneTableError(f"missing column {missing[0]!r}; needed: {', '.join(COLUMNS)}")
    extra = [name for name in (*columns, *origin) if name not in COLUMNS and name not in ORIGIN]
    if extra:
        raise PlaneTableError(
            f"unknown column {extra[0]!r}; known: {', '.join(COLUMNS)}, and for the origin {', '.join(ORIGIN)}"
        )
    length = None
    for name, column in (*columns.items(), *origin.items()):
        if column.ndim != 1:
            raise PlaneTableError(f"column {name!r} has shape {column.shape}; give one entry per plane")
        length = len(column) if length is None else length
        if len(column) != length:
            raise PlaneTableError(
                f"column {name!r} has {len(column)} rows, column 'kind' has {length}; all need the same number"
            )
    for name in NUMBERS:
        if columns[name].dtype != np.float64:
            raise PlaneTableError(f"column {name!r} is {columns[name].dtype}; give float64")
    for name, allowed in (("kind", KINDS), ("side", SIDES)):
        if columns[name].dtype.kind != "U":
            raise PlaneTableError(f"column {name!r} is {columns[name].dtype}; give strings (numpy dtype 'U')")
        _raise_at(~np.isin(columns[name], allowed), name, columns[name], f"known: {', '.join(allowed)}")
    product = np.isin(columns["kind"], _PRODUCTS)
    for name in NUMBERS:
        relevant = product if name.endswith("_z") else np.ones_like(product)
        _raise_at(relevant & ~np.isfinite(columns[name]), name, columns[name], "every number must be finite")
    for axis, relevant in (("v", np.ones_like(product)), ("z", product)):
        low, high = columns[f"lower_{axis}"], columns[f"upper_{axis}"]
        _raise_at(
            relevant & np.greater(low, high), f"lower_{axis}", low, f"it is above upper_{axis}: the box is reversed"
        )


def _raise_at(bad: NDArray[np.bool_], name: str, column: Column, remedy: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PlaneTableError(f"column {name!r}, row {row}: {column[row]!r}; {remedy}")


def read_planes(path: Path) -> PlaneTable:
    """Read a planes file. Raises PlaneTableError naming file, column and row; pickled objects are refused."""
    if not path.is_file():
        raise PlaneTableError(f"{path}: no such file; give an .npz file with columns {', '.join(COLUMNS)}")
    try:
        with path.open("rb") as file:  # numpy leaves its own file open on damaged archives
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise PlaneTableError(f"{path}: a single array; give an .npz file with named columns")
            columns = {name: archive[name] for name in archive.files}
    except _UNREADABLE as error:
        if isinstance(error, PlaneTableError):
            raise
        raise PlaneTableError(
            f"{path}: not a readable .npz file ({error}); write it with numpy.savez and plain arrays"
        ) from error
    origin: dict[str, Column] = {name: columns.pop(name) for name in ORIGIN if name in columns}
    try:
        return PlaneTable(columns, origin)
    except PlaneTableError as error:
        raise PlaneTableError(f"{path}: {error}") from error
