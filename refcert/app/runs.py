"""A run folder: what was asked, the finished parts, and a summary. Nothing half-written is ever visible.

    request.json              what was asked, digests of model and data, versions, seed
    results/part-00000.parquet   one row per sample (Apache Parquet, readable by pandas, polars, duckdb)
    planes/part-00000.npz        every bounding plane behind the part's results (see audit.plane_table)
    audit/part-00000.parquet     one verdict per plane, in the same order
    summary.json              written last

Each file is written under a temporary name and renamed. A part counts as finished when its results are there, and
they are written after its planes and verdicts.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from refcert.app.errors import InputError, OutputError
from refcert.app.storage import (
    DAMAGED,
    NO_RUN,
    json_bytes,
    npz_bytes,
    output_errors,
    parquet_bytes,
    read_json,
    read_rows,
    write_file,
)
from refcert.app.verdict_files import read_answers, verdict_bytes
from refcert.audit.plane_audit import AuditResult
from refcert.audit.plane_table import PlaneTable, read_planes
from refcert.kernel.claims import Status

__all__ = [
    "FORMAT",
    "RunFolder",
    "check_free",
    "check_same",
    "create",
    "discard",
    "open_run",
    "output_errors",
    "remove_leftovers",
    "resume",
    "without_absent",
    "write_file",
]

FORMAT = 1

_PART = re.compile(r"part-([0-9]{5,})\.[a-z]+")
_COLUMN_TYPES = {
    **dict.fromkeys(("index", "label", "predicted"), pa.int64()),
    **dict.fromkeys(("correct", "certified"), pa.bool_()),
    **dict.fromkeys(("radius", "radius_failed", "margin", "seconds"), pa.float64()),
}
_PER_FRAME = ("label", "predicted")
_LISTS = ("frame_", "target_", "step_")


def _column_type(name: str, rows: list[dict[str, Any]]) -> pa.DataType:
    plain = _COLUMN_TYPES.get(name, pa.list_(pa.float64()))
    # Models that answer each frame have a list of labels in every row.
    return pa.list_(plain) if name in _PER_FRAME and isinstance(rows[0][name], list) else plain


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Use `create`, `resume` or `open_run`. made: the folders that `create` made, innermost first."""

    path: Path
    made: tuple[Path, ...] = ()

    @property
    def request(self) -> dict[str, Any]:
        return read_json(self.path / "request.json")

    @property
    def summary(self) -> dict[str, Any] | None:
        path = self.path / "summary.json"
        return read_json(path) if path.is_file() else None

    def finished_parts(self) -> list[int]:
        """Numbers of the parts whose results are there."""
        return self._numbers("results", "parquet")

    def parts_missing(self) -> int:
        """How many parts of the whole run are not finished."""
        count, size = self._sizes()
        return -(-count // size) - len(self.finished_parts())

    def write_part(
        self, part: int, rows: list[dict[str, Any]], planes: PlaneTable | None, audit: AuditResult | None
    ) -> None:
        """Write one finished part; its results last."""
        if planes is not None:
            write_file(self._part("planes", part, "npz"), npz_bytes(planes))
        if audit is not None:
            self.write_audit(part, audit)
        names = list(dict.fromkeys(name for row in rows for name in row))  # not every sample has every field
        # Types by name, not by value: a column that is null in one part and not in the next has one type.
        types = [_column_type(name, rows) for name in names]
        table = pa.table(
            [pa.array([row.get(name) for row in rows], kind) for name, kind in zip(names, types, strict=True)], names
        )
        write_file(self._part("results", part, "parquet"), parquet_bytes(table))

    def write_audit(self, part: int, audit: AuditResult) -> None:
        """Write the verdicts of one part's planes."""
        write_file(self._part("audit", part, "parquet"), verdict_bytes(audit.verdicts))

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_file(self.path / "summary.json", json_bytes(summary))

    def samples(self) -> list[dict[str, Any]]:
        """All finished records, in order of the data."""
        rows: list[dict[str, Any]] = []
        count, size = self._sizes()
        for part in self.finished_parts():
            path = self._part("results", part, "parquet")
            found = read_rows(path)
            expected = range(part * size, min(count, (part + 1) * size))
            if [row.get("index") for row in found] != list(expected):
                raise InputError(f"{path} does not hold the samples of that part; {DAMAGED}")
            rows.extend(map(without_absent, found))
        return rows

    def plane_parts(self) -> list[int]:
        """Numbers of the finished parts whose planes are there."""
        return sorted(set(self._numbers("planes", "npz")) & set(self.finished_parts()))

    def planes(self, part: int) -> PlaneTable:
        return read_planes(self._part("planes", part, "npz"))

    def audit(self, part: int) -> AuditResult | None:
        """The stored verdicts of one part, None if it was not audited."""
        path = self._part("audit", part, "parquet")
        if not path.is_file():
            return None
        answers = read_answers(path)
        if None in answers:
            raise InputError(f"{path} holds no verdicts of row {answers.index(None)}; delete it and audit again")
        return AuditResult(tuple(answer.judgement for answer in answers if answer is not None))

    def audit_summary(self) -> dict[str, int] | None:
        """Counts over all finished parts, None if a part that has planes was not audited, or none was."""
        parts = set(self._numbers("audit", "parquet")) & set(self.finished_parts())
        if not parts or (set(self.plane_parts()) | self._parts_to_audit()) - parts:
            return None
        counts = {status.lower(): 0 for status in Status}
        for part in sorted(parts):
            result = self.audit(part)
            for key, number in result.summary.items() if result is not None else ():
                counts[key] += number
        return counts

    def _parts_to_audit(self) -> set[int]:
        """The finished parts that were to be audited: those with a sample that had a question."""
        if not self.request.get("audit"):
            return set()
        _, size = self._sizes()
        return {row["index"] // size for row in self.samples() if row["margin"] is not None}

    def _numbers(self, folder: str, suffix: str) -> list[int]:
        found = (_PART.fullmatch(path.name) for path in (self.path / folder).glob(f"part-*.{suffix}"))
        return sorted(int(match[1]) for match in found if match)

    def _sizes(self) -> tuple[int, int]:
        """Samples in the run, and in a part."""
        request = self.request
        try:
            count, size = request["data"]["shape"][0], request["request"]["batch_size"]
        except (KeyError, TypeError, IndexError):
            count, size = None, None
        if not isinstance(count, int) or not isinstance(size, int) or size < 1:
            raise InputError(f"{self.path / 'request.json'} does not say how many samples a part has; {NO_RUN}")
        return count, size

    def _part(self, folder: str, part: int, suffix: str) -> Path:
        return self.path / folder / f"part-{part:05d}.{suffix}"


def without_absent(row: dict[str, Any]) -> dict[str, Any]:
    """A record without the lists that it does not have; as a column they are null."""
    return {k: v for k, v in row.items() if v is not None or not k.startswith(_LISTS)}


def create(path: Path, request: dict[str, Any], folders: tuple[str, ...] = ("results", "planes", "audit")) -> RunFolder:
    """Make a new folder with a request. Raises InputError if the path exists, OutputError if it cannot be written."""
    check_free(path)
    made: list[Path] = []
    try:
        with output_errors(path):
            for missing in (*[p for p in reversed(path.parents) if not p.exists()], path):
                missing.mkdir()
                made.insert(0, missing)
        for folder in folders:
            with output_errors(path):
                (path / folder).mkdir()
        write_file(path / "request.json", json_bytes({"format": FORMAT, **request}))
    except OutputError:
        discard(RunFolder(path, tuple(made)))
        raise
    return RunFolder(path, tuple(made))


def check_free(path: Path) -> None:
    """Raise InputError if there is anything at the path of a new run."""
    if os.path.lexists(path):
        remedy = ", or continue that run with --resume" if (path / "request.json").is_file() else ""
        raise InputError(f"{path} exists; choose another --out{remedy}")


def discard(run: RunFolder) -> None:
    """Remove the folders that were made for a new run in which nothing was finished; others stay."""
    if run.path in run.made:
        shutil.rmtree(run.path, ignore_errors=True)
    for parent in run.made:
        with contextlib.suppress(OSError):  # somebody else's file is in it
            parent.rmdir()


def resume(path: Path, request: dict[str, Any]) -> RunFolder:
    """Continue the run at `path`. Raises InputError if there is none or if it asked for something else."""
    run = open_run(path)
    check_same(path, run.request, request)
    remove_leftovers(path)
    return run


def check_same(path: Path, stored: dict[str, Any], request: dict[str, Any]) -> None:
    """Raise InputError, naming the first difference, unless both requests ask for the same."""
    before, now = _leaves(stored), _leaves(request)
    # What was typed comes first: it explains the rest.
    for key in sorted({*before, *now}, key=lambda key: (not key.startswith("request."), key)):
        if before.get(key) != now.get(key) and not key.startswith(_MAY_DIFFER):
            raise InputError(
                f"{path} was started with {key} = {json.dumps(before.get(key))}, "
                f"now it is {json.dumps(now.get(key))}; resume with the same request or choose another --out"
            )


# The digests say which model, data and rows these are, wherever the files lie now; results do not depend on memory.
_MAY_DIFFER = (
    *("format", "machine", "started"),
    *("model.source", "data.name", "specification.source", "source.name"),
    *("request.model", "request.data", "request.spec", "request.memory"),
)


def _leaves(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'request.norm': 'inf', ...}: every value under its whole name."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= _leaves(item, f"{prefix}{key}.") if isinstance(item, dict) else {prefix + key: item}
    return flat


def open_run(path: Path) -> RunFolder:
    """An existing run folder. Raises InputError if it is none."""
    if not (path / "request.json").is_file():
        raise InputError(f"{path} is not a run folder (no request.json in it); give the --out of a certify run")
    run = RunFolder(path)
    if run.request.get("format") != FORMAT:
        raise InputError(f"{path} has run format {run.request.get('format')!r}, this version reads format {FORMAT}")
    return run


def remove_leftovers(path: Path) -> None:
    """Remove what was half-written when a run was killed."""
    for leftover in path.rglob("*.partial"):
        with output_errors(leftover):
            leftover.unlink()
