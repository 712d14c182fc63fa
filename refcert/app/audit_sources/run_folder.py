"""The planes of a run, part by part; the run keeps the verdicts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from refcert.app import runs
from refcert.app.audit_sources.source import Part, Source, digest_of, parts_of
from refcert.app.errors import InputError
from refcert.audit.plane_table import PlaneTable


def open_run_folder(path: Path, size: int) -> Source:
    """All planes of a run's finished parts. Raises InputError if there are none, or if some are gone."""
    run = runs.open_run(path)
    if not run.finished_parts():
        raise InputError(f"{path} has no finished part yet; continue the run with --resume")
    numbers, missing = run.plane_parts(), run.parts_missing()
    if not numbers:
        raise InputError(f"{path} keeps no planes; certify again without --no-planes")
    tables = [run.planes(number) for number in numbers]
    _check_complete(run, tables)
    names = [f"part-{number:05d}" for number in numbers]
    parts: list[Part] = []
    for name, table in zip(names, tables, strict=True):
        parts += parts_of(name, table, size)
    digest = digest_of(names, tables)
    return Source("run", str(path), tuple(parts), digest, run=run, run_parts=tuple(numbers), parts_missing=missing)


def _check_complete(run: runs.RunFolder, tables: list[PlaneTable]) -> None:
    """Raise InputError if a finished part's planes are gone: an audit of the rest would say PROVED of too much."""
    covered = {index for table in tables for index in np.unique(table.origin.get("sample", ())).tolist()}
    for row in run.samples():
        if row["margin"] is not None and row["index"] not in covered:
            raise InputError(f"{run.path} has no planes of sample {row['index']}; certify again into another --out")
