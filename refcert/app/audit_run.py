"""`refcert audit`: a run folder or a planes file in, verdicts out."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refcert.app import runs
from refcert.app.errors import InputError
from refcert.app.progress import Progress
from refcert.audit.plane_audit import Auditor, AuditResult
from refcert.audit.plane_table import PlaneTable, read_planes


@dataclass(frozen=True)
class AuditReport:
    """The planes as they came in (one table per part of a run) and their verdicts."""

    source: str
    tables: tuple[PlaneTable, ...]
    results: tuple[AuditResult, ...]
    seconds: float
    workers: int
    parts_missing: int = 0

    @property
    def summary(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for result in self.results:
            for key, number in result.summary.items():
                total[key] = total.get(key, 0) + number
        return total

    def to_json(self) -> dict[str, Any]:
        """summary, and planes in input order."""
        planes = [row for result in self.results for row in result.to_json()]
        return {
            "source": self.source,
            "summary": self.summary,
            "seconds": round(self.seconds, 6),
            "workers": self.workers,
            "parts_missing": self.parts_missing,
            "planes": planes,
        }


def audit_source(source: Path, workers: int | None, progress: Progress) -> AuditReport:
    """Audit a planes file, or all planes of a run; a run's verdicts are stored in its folder."""
    if source.is_dir():
        run = runs.open_run(source)
        if not run.finished_parts():
            raise InputError(f"{source} has no finished part yet; continue the run with --resume")
        parts, missing = run.plane_parts(), run.parts_missing()
        if not parts:
            raise InputError(f"{source} keeps no planes; certify again without --no-planes")
        tables = [run.planes(part) for part in parts]
        _check_complete(run, tables)
    else:
        run, parts, tables, missing = None, [], [read_planes(source)], 0
        if not len(tables[0]):
            raise InputError(f"{source} has 0 planes, so there is nothing to prove; give at least one")
    results: list[AuditResult] = []
    began = time.perf_counter()
    with Auditor(workers) as auditor:
        with progress.task("auditing planes", sum(map(len, tables)), unit="planes") as tick:
            for table in tables:
                results.append(auditor.audit(table, tick))
        seconds = time.perf_counter() - began
    if run is not None:
        for part, result in zip(parts, results, strict=True):
            run.write_audit(part, result)
    return AuditReport(str(source), tuple(tables), tuple(results), seconds, auditor.workers, missing)


def _check_complete(run: runs.RunFolder, tables: list[PlaneTable]) -> None:
    """Raise InputError if a finished part's planes are gone: an audit of the rest would say PROVED of too much."""
    covered = {index for table in tables for index in np.unique(table.origin.get("sample", ())).tolist()}
    for row in run.samples():
        if row["margin"] is not None and row["index"] not in covered:
            raise InputError(f"{run.path} has no planes of sample {row['index']}; certify again into another --out")
