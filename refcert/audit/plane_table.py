"""Planes as plain columns, and the `.npz` file that holds them.

One entry per plane in every column: `kind`, `side` (strings), `lower_v, upper_v, lower_z, upper_z, slope_v, slope_z,
offset` (numbers that float64 holds exactly: the planes of a float32 engine are the exact values that they are, whole
numbers are what they say, and what would be rounded is refused). Columns `lower_plus, upper_plus, lower_minus,
upper_minus` (`DIAGONALS`) may be added for planes of products that hold on an octagon: the part of the box with v + z
and v - z between them. Columns that say where a plane comes from (`ORIGIN`) may be added; they do not matter to the
verdict.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from refcert.audit.exact import InexactError, exact_float64
from refcert.kernel.claims import KINDS, SIDES, PlaneClaim

NUMBERS: Final = ("lower_v", "upper_v", "lower_z", "upper_z", "slope_v", "slope_z", "offset")
COLUMNS: Final = ("kind", "side", *NUMBERS)
# All four or none; NaN in all four: the plane of this row holds on its box.
DIAGONALS: Final = ("lower_plus", "upper_plus", "lower_minus", "upper_minus")
# Where a plane comes from: the sample's index in the data, layer, frame, unit and the product's name.
ORIGIN: Final = ("sample", "layer", "t", "unit", "product")

_OF_Z: Final = ("lower_z", "upper_z", "slope_z")
_PRODUCTS: Final = ("sigmoid_times_tanh", "sigmoid_times_identity")

Column = NDArray[Any]
_ARRAY: Final = b"\x93NUMPY"


# What numpy and zipfile raise on damaged, encrypted or hostile archives.
_UNREADABLE: Final = (
    *(OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError),
)


class PlaneTableError(ValueError):
    """A planes file or table that makes no sense; the message names column and row, `row` is it where there is one."""

    def __init__(self, message: str, row: int | None = None) -> None:
        super().__init__(message)
        self.row = row


@dataclass(frozen=True)
class PlaneTable:
    """Columns of equal length; validated, so every row is a claim. origin: some of `ORIGIN`.

    Numbers are kept as float64 copies of the same values; those of a z that does not matter are 0.0, whatever was
    given. The columns `DIAGONALS` are kept where a plane of a product has them; those of other kinds are NaN, whatever
    was given. Raises PlaneTableError with column and row.
    """

    columns: Mapping[str, Column]
    origin: Mapping[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_form(self.columns, self.origin)
        numbers = {name: _exact(name, self.columns[name]) for name in NUMBERS}
        object.__setattr__(
            self, "origin", {n: c for n, c in (*self.columns.items(), *self.origin.items()) if n in ORIGIN}
        )
        diagonals = {name: _exact(name, self.columns[name]) for name in DIAGONALS if name in self.columns}
        object.__setattr__(self, "columns", {name: self.columns[name] for name in ("kind", "side")} | numbers)
        _check_values(self.columns)
        product = np.isin(self.columns["kind"], _PRODUCTS)
        for name in _OF_Z:
            numbers[name][~product] = 0.0
        if diagonals and not np.isnan(_check_diagonals(diagonals, product)).all():
            object.__setattr__(self, "columns", dict(self.columns) | diagonals)

    def __len__(self) -> int:
        return len(self.columns["offset"])

    @property
    def on_octagons(self) -> NDArray[np.bool_]:
        """Which planes have diagonals, (planes,)."""
        if DIAGONALS[0] not in self.columns:
            return np.zeros(len(self), dtype=bool)
        return ~np.isnan(self.columns[DIAGONALS[0]])

    def claims(self, start: int = 0, stop: int | None = None) -> Iterator[PlaneClaim]:
        """The rows as claims, plain floats and strings."""
        return map(claim_of, zip(*self.rows(start, stop), strict=True))

    def claim(self, row: int) -> PlaneClaim:
        """One row as a claim."""
        return next(self.claims(row, row + 1))

    def rows(self, start: int, stop: int | None) -> list[list[Any]]:
        """Plain columns of some rows, cheap to hand to another process: COLUMNS and, last, diagonals or None."""
        rows = slice(start, stop)
        octagons = self.on_octagons[rows].tolist()
        diagonals: list[Any] = [None] * len(octagons)
        if any(octagons):
            ends = zip(*(self.columns[name][rows].tolist() for name in DIAGONALS), strict=True)
            diagonals = [four if there else None for four, there in zip(ends, octagons, strict=True)]
        return [*(self.columns[name][rows].tolist() for name in COLUMNS), diagonals]

    def part(self, start: int, stop: int) -> PlaneTable:
        """The rows from `start` to `stop` as a table."""
        return PlaneTable(
            *({name: c[start:stop] for name, c in group.items()} for group in (self.columns, self.origin))
        )


def claim_of(row: Sequence[Any]) -> PlaneClaim:
    """One row of `PlaneTable.rows` as a claim."""
    kind, side, low_v, high_v, low_z, high_z, slope_v, slope_z, offset, diagonals = row
    box = low_v, high_v, low_z, high_z
    return PlaneClaim(kind, side, *box, slope_v, slope_z, offset, diagonals=diagonals)


def columns_of(claims: Sequence[PlaneClaim]) -> dict[str, Column]:
    """Claims as the columns of a table, those of `DIAGONALS` where a claim has them."""
    columns = {name: np.array([getattr(claim, name) for claim in claims]) for name in COLUMNS}
    if any(claim.diagonals is not None for claim in claims):
        ends = np.array([claim.diagonals or (np.nan,) * len(DIAGONALS) for claim in claims])
        columns |= dict(zip(DIAGONALS, ends.T, strict=True))
    return columns


def join(tables: Sequence[PlaneTable]) -> PlaneTable:
    """The rows of all tables in order, with the origin columns that all of them have; no tables, no rows."""
    if not tables:
        empty = {name: np.empty(0) for name in NUMBERS}
        return PlaneTable({"kind": np.empty(0, "U1"), "side": np.empty(0, "U1"), **empty})
    shared = [name for name in ORIGIN if all(name in table.origin for table in tables)]
    columns = {name: np.concatenate([table.columns[name] for table in tables]) for name in COLUMNS}
    if any(DIAGONALS[0] in table.columns for table in tables):
        for name in DIAGONALS:
            parts = [table.columns.get(name, np.full(len(table), np.nan)) for table in tables]
            columns[name] = np.concatenate(parts)
    return PlaneTable(columns, {name: np.concatenate([table.origin[name] for table in tables]) for name in shared})


def _check_form(columns: Mapping[str, Column], origin: Mapping[str, Column]) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    if missing:
        raise PlaneTableError(f"missing column {missing[0]!r}; needed: {', '.join(COLUMNS)}")
    there = [name for name in DIAGONALS if name in columns]
    if 0 < len(there) < len(DIAGONALS):
        lacking = next(name for name in DIAGONALS if name not in columns)
        raise PlaneTableError(
            f"missing column {lacking!r}, {there[0]!r} is there; give all of {', '.join(DIAGONALS)}, or none"
        )
    known = (*COLUMNS, *DIAGONALS)
    extra = [name for name in columns if name not in known and name not in ORIGIN]
    extra += [name for name in origin if name not in ORIGIN]
    if extra:
        raise PlaneTableError(
            f"unknown column {extra[0]!r}; known: {', '.join(COLUMNS)}, for octagons {', '.join(DIAGONALS)}, and for "
            f"the origin {', '.join(ORIGIN)}"
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
    for name in ("kind", "side"):
        if columns[name].dtype.kind != "U":
            raise PlaneTableError(f"column {name!r} is {columns[name].dtype}; give strings, .astype(str)")


def _exact(name: str, column: Column) -> NDArray[np.float64]:
    try:
        return exact_float64(column)
    except InexactError as error:
        where = f"column {name!r}" + ("" if error.row is None else f", row {error.row}:")
        raise PlaneTableError(f"{where} {error}", error.row) from None


def _check_values(columns: Mapping[str, Column]) -> None:
    for name, allowed in (("kind", KINDS), ("side", SIDES)):
        _raise_at(~np.isin(columns[name], allowed), name, columns[name], f"known: {', '.join(allowed)}")
    product = np.isin(columns["kind"], _PRODUCTS)
    for name in NUMBERS:
        relevant = product if name.endswith("_z") else np.ones_like(product)
        _raise_at(relevant & ~np.isfinite(columns[name]), name, columns[name], "every number must be finite")
    for axis, relevant in (("v", np.ones_like(product)), ("z", product)):
        low, high = columns[f"lower_{axis}"], columns[f"upper_{axis}"]
        for row in np.flatnonzero(relevant & np.greater(low, high))[:1]:
            raise PlaneTableError(
                f"column 'lower_{axis}', row {row}: {low[row].item()!r}; it is above upper_{axis} = "
                f"{high[row].item()!r}: the box is reversed",
                int(row),
            )


def _check_diagonals(diagonals: dict[str, NDArray[np.float64]], product: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The ends (4, planes), those of one-dimensional kinds made NaN in place; finite and not reversed where given."""
    for column in diagonals.values():
        column[~product] = np.nan
    ends = np.stack([diagonals[name] for name in DIAGONALS])
    given = ~np.isnan(ends).all(axis=0)
    for name, column in diagonals.items():
        remedy = "every end must be finite; for a plane on its whole box give NaN in all four columns"
        _raise_at(given & ~np.isfinite(column), name, column, remedy)
    for lower, upper in (DIAGONALS[:2], DIAGONALS[2:]):
        low, high = diagonals[lower], diagonals[upper]
        for row in np.flatnonzero(given & np.greater(low, high))[:1]:
            raise PlaneTableError(
                f"column {lower!r}, row {row}: {low[row].item()!r}; it is above {upper} = {high[row].item()!r}: the "
                "diagonal is reversed",
                int(row),
            )
    return ends


def _raise_at(bad: NDArray[np.bool_], name: str, column: Column, remedy: str) -> None:
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise PlaneTableError(f"column {name!r}, row {row}: {column[row].item()!r}; {remedy}", row)


def _is_array(file: BinaryIO) -> bool:
    """Whether a file begins as one array does."""
    file.seek(0)
    return file.read(len(_ARRAY)) == _ARRAY


def _member(path: Path, archive: np.lib.npyio.NpzFile, name: str) -> Column:
    """One column. Python objects, which numpy tells from everything else only by its message, are refused by name."""
    try:
        found: Column = archive[name]
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
        kind = "float" if name in (*NUMBERS, *DIAGONALS) else "str"
        raise PlaneTableError(
            f"{path}: not a readable .npz file (column {name!r} holds Python objects, reading which could run code); "
            f"save it with .astype({kind})"
        ) from None
    return found


def read_planes(path: Path) -> PlaneTable:
    """Read a planes file. Raises PlaneTableError naming file, column and row; pickled objects are refused."""
    if not path.is_file():
        raise PlaneTableError(f"{path}: no such file; give an .npz file with columns {', '.join(COLUMNS)}")
    try:
        with path.open("rb") as file:  # numpy leaves its own file open on damaged archives
            if not zipfile.is_zipfile(file) and not _is_array(file):
                raise ValueError("no zip archive, or cut short")
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise PlaneTableError(f"{path}: a single array; give an .npz file with named columns")
            twice = [name for name, number in Counter(archive.files).items() if number > 1]
            if twice:
                raise PlaneTableError(f"{path}: column {twice[0]!r} is there twice; give each once")
            columns = {name: _member(path, archive, name) for name in archive.files}
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
