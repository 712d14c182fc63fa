"""A run folder: what was asked, the finished parts, and a summary. Nothing half-written is ever visible.

    request.json              what was asked, digests of model and data, versions, seed
    results/part-00000.parquet   one row per sample (Apache Parquet, readable by pandas, polars, duckdb)
    planes/part-00000.npz        every bounding plane behind the part's results (see audit.plane_table)
    audit/part-00000.parquet     one verdict per plane, in the same order
    certificates/                if asked: one file for each proved question, the network, verdicts.json
    summary.json              written last

Each file is written under a temporary name and renamed. A part counts as finished when its results are there, and
they are written after its planes and verdicts. Verdicts and results say of which planes they are (app.plane_marks);
verdicts of other planes than the part has are refused.
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
from refcert.app.plane_marks import PlanesMark, mark_in, mark_of
from refcert.app.storage import (
    DAMAGED,
    NO_RUN,
    json_bytes,
    npz_bytes,
    output_errors,
    parquet_bytes,
    read_json,
    read_metadata,
    read_rows,
    write_file,
)
from refcert.app.verdict_files import read_answers, verdict_bytes
from refcert.audit.plane_audit import AuditResult
from refcert.audit.plane_table import PlaneTable, PlaneTableError, read_planes
from refcert.kernel.claims import Status

__all__ = [
    "FORMAT",
    "RunFolder",
    "check_free",
    "check_same",
    "create",
    "discard",
    "leaves",
    "open_run",
    "output_errors",
    "remove_leftovers",
    "resume",
    "without_absent",
    "write_file",
]

FORMAT = 1

FOLDERS = ("results", "planes", "audit")

_PART = re.compile(r"part-([0-9]{5,})\.[a-z]+")
_COLUMN_TYPES = {
    **dict.fromkeys(("index", "label", "predicted"), pa.int64()),
    **dict.fromkeys(("correct", "certified"), pa.bool_()),
    **dict.fromkeys(("radius", "radius_failed", "margin", "seconds"), pa.float64()),
    "claims": pa.list_(pa.string()),
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
        return len(set(range(-(-count // size))) - set(self.finished_parts()))

    def write_part(
        self,
        part: int,
        rows: list[dict[str, Any]],
        planes: PlaneTable | None,
        audit: AuditResult | None,
        *,
        keep_planes: bool = True,
    ) -> None:
        """Write one finished part; its results last. planes: those behind the results, kept or not; None: none.

        Raises ValueError if the verdicts are not those of the planes.
        """
        if audit is not None and planes is None:
            raise ValueError("verdicts of no planes")
        if planes is not None and keep_planes:
            write_file(self._part("planes", part, "npz"), npz_bytes(planes))
        if planes is not None and audit is not None:
            self.write_audit(part, planes, audit)
        else:  # of the part as it was before, should there be some
            with output_errors(self._part("audit", part, "parquet")):
                self._part("audit", part, "parquet").unlink(missing_ok=True)
        names = list(dict.fromkeys(name for row in rows for name in row))  # not every sample has every field
        # Types by name, not by value: a column that is null in one part and not in the next has one type.
        types = [_column_type(name, rows) for name in names]
        table = pa.table(
            [pa.array([row.get(name) for row in rows], kind) for name, kind in zip(names, types, strict=True)],
            names,
            metadata=None if planes is None else mark_of(planes).metadata(),
        )
        write_file(self._part("results", part, "parquet"), parquet_bytes(table))

    def write_audit(self, part: int, planes: PlaneTable, audit: AuditResult) -> None:
        """Write the verdicts of one part's planes; a file that has them already stays as it is."""
        path, content = self._part("audit", part, "parquet"), verdict_bytes(audit.verdicts, mark_of(planes))
        with output_errors(path):
            same = path.is_file() and path.read_bytes() == content
        if not same:
            write_file(path, content)

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
        """The planes that a part keeps. Raises InputError if they are damaged or not as many as there were."""
        path, results = self._part("planes", part, "npz"), self._part("results", part, "parquet")
        remedy = f"delete {results} and certify that part again with --resume"
        try:
            found = read_planes(path)
        except PlaneTableError as error:
            raise InputError(f"{error}; or {remedy}") from error
        used = mark_in(read_metadata(results))
        if used is not None and used.planes != len(found):
            raise InputError(f"{path} has {len(found)} planes, its results rest on {used.planes}; {remedy}")
        return found

    def audit(self, part: int) -> AuditResult | None:
        """The stored verdicts of one part, None if it was not audited.

        Raises InputError unless there is a verdict for every plane of the part, and these planes.
        """
        path = self._part("audit", part, "parquet")
        if not path.is_file():
            return None
        remedy = "delete it and audit the run again, or certify with --resume"
        planes = self._mark(part)
        if planes is None:
            raise InputError(f"{path} has verdicts, but nothing says which planes part {part} had; {remedy}")
        answers = read_answers(path, planes, remedy)
        if None in answers:
            raise InputError(f"{path} holds no verdicts of row {answers.index(None)}; {remedy}")
        return AuditResult(tuple(answer.judgement for answer in answers if answer is not None))

    def unaudited(self) -> list[int]:
        """Numbers of the finished parts that have planes, kept or not, but no verdicts; raises as `audit`."""
        _, size = self._sizes()
        asked = {row["index"] // size for row in self.samples() if row["margin"] is not None}
        return [
            part
            for part in self.finished_parts()
            if self.audit(part) is None and (part in asked or self._mark(part) is not None)
        ]

    def audit_summary(self) -> dict[str, int] | None:
        """Counts over all finished parts, with `not_audited` if there are such planes.

        None: the run was not asked for an audit, and none of its own has been made of all parts. Raises InputError as
        `audit`, and where a run that was to be audited has neither verdicts nor a number of planes.
        """
        left = self.unaudited()
        audited = set(self._numbers("audit", "parquet")) & set(self.finished_parts())
        if not self.request.get("audit") and (left or not audited):
            return None
        counts = {status.lower(): 0 for status in Status}
        for part in sorted(audited):
            result = self.audit(part)
            for key, number in result.summary.items() if result is not None else ():
                counts[key] += number
        if left:
            counts["not_audited"] = sum(map(self._unaudited_planes, left))
        return counts

    def _unaudited_planes(self, part: int) -> int:
        planes = self._mark(part)
        if planes is None:
            path = self._part("results", part, "parquet")
            raise InputError(f"{path} does not say on which planes it rests, which were not audited; {DAMAGED}")
        return planes.planes

    def _mark(self, part: int) -> PlanesMark | None:
        """Of the planes in the part's file; where they are not kept, of those that its results rest on."""
        if self._part("planes", part, "npz").is_file():
            return mark_of(self.planes(part))
        return mark_in(read_metadata(self._part("results", part, "parquet")))

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


def create(path: Path, request: dict[str, Any], folders: tuple[str, ...] = FOLDERS) -> RunFolder:
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
    before, now = leaves(stored), leaves(request)
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


def leaves(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """{'request.norm': 'inf', ...}: every value under its whole name."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        flat |= leaves(item, f"{prefix}{key}.") if isinstance(item, dict) else {prefix + key: item}
    return flat


def open_run(path: Path) -> RunFolder:
    """An existing run folder. Raises InputError if it is none."""
    if not (path / "request.json").is_file():
        raise InputError(f"{path} is not a run folder (no request.json in it); give the --out of a run")
    run = RunFolder(path)
    if run.request.get("format") != FORMAT:
        raise InputError(f"{path} has run format {run.request.get('format')!r}, this version reads format {FORMAT}")
    return run


def remove_leftovers(path: Path) -> None:
    """Remove what was half-written when a run was killed."""
    for leftover in path.rglob("*.partial"):
        with output_errors(leftover):
            leftover.unlink()
