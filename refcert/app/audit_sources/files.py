"""Planes files: `.npz`, `.parquet` and `.csv`, with the same columns; and directories of them."""

from __future__ import annotations

import csv
import io
import math
import re
import zipfile
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from refcert.app.audit_folder import is_audit_folder
from refcert.app.audit_sources.run_folder import open_run_folder
from refcert.app.audit_sources.source import Source, digest_of, parts_of
from refcert.app.errors import InputError
from refcert.audit.plane_table import COLUMNS, DIAGONALS, NUMBERS, PlaneTable, PlaneTableError, read_planes

_WHOLE_TABLES: Final = 2**62  # planes of a part
# An empty field in a column of octagons; nulls in Parquet files become the same.
_NO_DIAGONAL: Final = "nan"
_WHOLE: Final = ("sample", "layer", "t", "unit")


def open_file(path: Path, size: int) -> Source:
    """One planes file as a source. Raises PlaneTableError or InputError naming file, column and row."""
    table = read_table(path)
    if not len(table):
        raise InputError(f"{path} has 0 planes, so there is nothing to prove; give at least one")
    return Source("planes file", str(path), tuple(parts_of(path.name, table, size)), digest_of([path.name], [table]))


def open_directory(path: Path, size: int) -> Source:
    """All planes files below a directory, in the order of their names.

    Every real folder counts once, whatever links there are; links upwards are not followed.
    Of a run in a subfolder the planes of all finished parts count, not its results and verdicts, which are Parquet
    files, too. Folders of audits are left out: their planes are those of what they audited. Raises InputError if there
    are no planes, or if a run among them keeps none or has lost some.
    """
    tables: dict[str, PlaneTable] = {}
    missing, seen = 0, set[Path]()

    def look(folder: Path) -> None:
        nonlocal missing
        real = folder.resolve()
        if real in seen:
            return
        seen.add(real)
        name = "" if folder == path else f"{folder.relative_to(path).as_posix()}/"
        if is_audit_folder(folder):
            return
        if (folder / "request.json").is_file():
            run = open_run_folder(folder, _WHOLE_TABLES)
            missing += run.parts_missing
            tables.update({f"{name}planes/{part.name}.npz": part.load() for part in run.parts})
            return
        # files and folders that are here before those that links lead to
        for child in sorted(folder.iterdir(), key=lambda child: (child.is_dir() and child.is_symlink(), child)):
            if child.is_dir():
                if not path.resolve().is_relative_to(child.resolve()):  # a link upwards
                    look(child)
            elif child.suffix.lower() in READERS:
                tables[f"{name}{child.name}"] = read_table(child)

    look(path)
    if not tables:
        raise InputError(
            f"{path} is not a run folder (no request.json in it) and has no planes files; give the --out of a "
            f"certify run, or a directory with {', '.join(READERS)} files"
        )
    if not any(map(len, tables.values())):
        raise InputError(f"{path}: its {len(tables)} planes files have 0 planes, so there is nothing to prove")
    names = sorted(tables, key=lambda name: name.split("/"))
    parts = [part for name in names for part in parts_of(name, tables[name], size)]
    digest = digest_of(names, [tables[name] for name in names])
    return Source("directory", str(path), tuple(parts), digest, parts_missing=missing)


def read_table(path: Path) -> PlaneTable:
    """A planes file by its ending; what has none of the known ones is read as .npz."""
    if path.is_file() and path.suffix.lower() not in READERS and not zipfile.is_zipfile(path):
        raise PlaneTableError(f"{path}: no planes file, which are {', '.join(READERS)}; write it as one of them")
    return READERS.get(path.suffix.lower(), read_planes)(path)


def _read_parquet(path: Path) -> PlaneTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_there(path)
    try:
        stored = pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = (str(error).splitlines() or [""])[0]
        raise PlaneTableError(f"{path}: not a readable Parquet file ({reason}); write it again") from error
    columns: dict[str, NDArray[Any]] = {}
    for name in stored.column_names:
        column = stored.column(name)
        if column.null_count and name not in DIAGONALS:
            row = column.is_null().to_pylist().index(True)
            raise PlaneTableError(f"{path}: column {name!r}, row {row} is null; every plane needs all its values")
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            columns[name] = np.array(column.to_pylist(), dtype=np.str_)
        else:
            columns[name] = column.to_numpy()
    return _table(path, columns)


def _read_csv(path: Path) -> PlaneTable:
    """A header, then one plane a line. Numbers are hexadecimal (float.hex) or decimals that name a float64 value."""
    _check_there(path)
    numbered = _csv_lines(path)
    if not numbered:
        raise PlaneTableError(f"{path}: empty; give a header with columns {', '.join(COLUMNS)} and one plane a line")
    lines, (header, *rows) = [line for line, _ in numbered], [values for _, values in numbered]
    try:
        return _csv_table(path, header, rows, lines)
    except PlaneTableError as error:
        line = lines[0 if error.row is None else error.row + 1]
        raise PlaneTableError(f"{error} (line {line})", error.row) from error


def _csv_lines(path: Path) -> list[tuple[int, list[str]]]:
    """Every row with its values and the number of the line on which it ends."""
    line = 1
    try:
        data = path.read_bytes()
        try:
            text = data.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError as error:
            line = data[: error.start].count(b"\n") + 1
            raise
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        found = []
        for values in reader:
            found.append((reader.line_num, values))
            line = reader.line_num + 1
        return found
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise PlaneTableError(
            f"{path}: not a readable CSV file (line {line}: {error}); write it as UTF-8 with commas"
        ) from error


def _csv_table(path: Path, header: list[str], rows: list[list[str]], lines: list[int]) -> PlaneTable:
    other = [mark for mark in (";", "\t") if len(header) == 1 and mark in header[0]]
    if other:
        raise PlaneTableError(f"{path}: columns are separated by {other[0]!r}; write commas, and decimal points")
    twice = [name for name in header if header.count(name) > 1]
    if twice:
        raise PlaneTableError(f"{path}: column {twice[0]!r} is there twice; give each once")
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise PlaneTableError(
                f"{path}: row {number} has {len(row)} values, the header has {len(header)} columns", number
            )
    columns: dict[str, NDArray[Any]] = {}
    for position, name in enumerate(header):
        texts = [row[position].strip() for row in rows]
        if name in (*NUMBERS, *DIAGONALS):
            given = (_NO_DIAGONAL if name in DIAGONALS and not text else text for text in texts)
            columns[name] = np.array([_exact(path, name, row, text) for row, text in enumerate(given)], dtype=float)
        elif name in _WHOLE and all(text.removeprefix("-").isdecimal() for text in texts):
            columns[name] = np.array(list(map(int, texts)), dtype=np.int64)
        else:
            columns[name] = np.array(texts, dtype=np.str_)
    return _table(path, columns)


def _exact(path: Path, name: str, row: int, text: str) -> float:
    """The float64 value that the text names: hexadecimal, exact, or written with as few or with 17 digits."""
    where = f"{path}: column {name!r}, row {row}: {text!r}"
    try:
        value, exact = _hexadecimal(text) if "0x" in text.lower() else _decimal(text)
    except (ValueError, OverflowError, InvalidOperation):
        raise PlaneTableError(f"{where} is not a number; give one such as 0.5 or 0x1p-1", row) from None
    if not exact:
        raise PlaneTableError(
            f"{where} is no float64 value, it would be rounded to {value!r}; write that, or its float.hex()", row
        )
    return value


def _hexadecimal(text: str) -> tuple[float, bool]:
    """The nearest float, and whether it is exactly what is written."""
    value = float.fromhex(text)
    match = _HEX.fullmatch(text.lower())
    if match is None:
        raise ValueError(text)
    sign, whole, fraction, exponent = match.groups(default="")
    digits, power = int(sign + whole + fraction, 16), int(exponent or 0) - 4 * len(fraction)
    if digits == 0 or abs(power) > _LARGEST_POWER:
        return value, digits == 0
    return value, digits * Fraction(2) ** power == Fraction(value)


def _decimal(text: str) -> tuple[float, bool]:
    value = float(text)
    if not math.isfinite(value):
        return value, Decimal(text).is_nan() or Decimal(text).is_infinite()  # refused with its row, as in every file
    names = (Decimal(value), Decimal(repr(value)), Decimal(format(value, ".17g")))
    return value, Decimal(text) in names


# A whole hexadecimal number, and a bound on powers of two that no float64 value needs.
_HEX: Final = re.compile(r"([+-]?)0x([0-9a-f]*)\.?([0-9a-f]*)(?:p([+-]?[0-9]+))?")
_LARGEST_POWER: Final = 5000


def _table(path: Path, columns: dict[str, NDArray[Any]]) -> PlaneTable:
    try:
        return PlaneTable(columns)
    except PlaneTableError as error:
        raise PlaneTableError(f"{path}: {error}", error.row) from error


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise PlaneTableError(f"{path}: no such file; give a planes file with columns {', '.join(COLUMNS)}")


READERS: Final = {".npz": read_planes, ".parquet": _read_parquet, ".csv": _read_csv}
