"""Verdicts as Apache Parquet: one row per plane, in the planes' order; without a verdict where it was not audited.

The file says in its metadata of which planes; it is read only together with these.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from refcert.app.errors import InputError
from refcert.app.plane_marks import PlanesMark, mark_in
from refcert.app.storage import parquet_bytes, read_metadata, read_rows
from refcert.audit.examine import Answer
from refcert.audit.verdicts import Judgement, Method
from refcert.kernel.claims import Status

_SCHEMA: Final = pa.schema(
    [
        ("verdict", pa.string()),
        ("precision", pa.int32()),
        ("point_v", pa.float64()),
        ("point_z", pa.float64()),
        ("violation", pa.float64()),
        ("reason", pa.string()),
        ("method", pa.string()),
        ("rest_v", pa.list_(pa.float64())),
        ("rest_z", pa.list_(pa.float64())),
        ("ratio", pa.float64()),
    ]
)


def answer_bytes(answers: Sequence[Answer | None], planes: PlanesMark) -> bytes:
    """A file of verdicts and volume ratios, one for each of these planes."""
    if len(answers) != planes.planes:
        raise ValueError(f"{len(answers)} answers for {planes.planes} planes")
    rows = [_row(answer) for answer in answers]
    return parquet_bytes(pa.Table.from_pylist(rows, schema=_SCHEMA.with_metadata(planes.metadata())))


def verdict_bytes(verdicts: Sequence[Judgement], planes: PlanesMark) -> bytes:
    """A file of verdicts, one for each of these planes."""
    return answer_bytes(list(map(Answer, verdicts)), planes)


def read_answers(path: Path, planes: PlanesMark, remedy: str) -> list[Answer | None]:
    """The file's rows, one for each of these planes.

    Raises InputError, with the remedy, if it is damaged, holds something else, or has verdicts of other planes.
    """
    rows = read_rows(path, _SCHEMA)
    try:
        found = [_answer(row) for row in rows]
    except ValueError as error:
        raise InputError(f"{path} holds no verdicts ({error}); {remedy}") from error
    if len(found) != planes.planes:
        raise InputError(f"{path} has {len(found)} verdicts of {planes.planes} planes; {remedy}")
    if mark_in(read_metadata(path)) != planes:
        raise InputError(f"{path} does not have the verdicts of these planes, but of others; {remedy}")
    return found


def _row(answer: Answer | None) -> dict[str, Any]:
    if answer is None:
        return {}
    judgement = answer.judgement
    v, z = judgement.point or (None, None)
    return {
        "verdict": str(judgement.status),
        "precision": judgement.precision,
        "point_v": v,
        "point_z": z,
        "violation": judgement.violation,
        "reason": judgement.reason or None,
        "method": str(judgement.method),
        "rest_v": list(judgement.rest[0]) or None,
        "rest_z": list(judgement.rest[1]) or None,
        "ratio": answer.ratio,
    }


def _answer(row: dict[str, Any]) -> Answer | None:
    if row["verdict"] is None and row["precision"] is None and row["method"] is None:
        return None
    point = None if row["point_v"] is None else (row["point_v"], row["point_z"])
    status = Status(row["verdict"])
    known = [row[name] is not None for name in ("point_v", "point_z", "violation")]
    if known != [status is Status.REFUTED] * len(known) or row["precision"] is None:
        raise ValueError(f"{status} with precision {row['precision']}, point {point}, violation {row['violation']}")
    judgement = Judgement(
        status,
        row["reason"] or "",
        row["precision"],
        point,
        row["violation"],
        Method(row["method"] or Method.CANDIDATES),
        (tuple(row["rest_v"] or ()), tuple(row["rest_z"] or ())),
    )
    return Answer(judgement, row["ratio"])
