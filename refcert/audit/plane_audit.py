"""Audit many planes: every one PROVED, REFUTED with a point, or UNDECIDED, on several processes.

The verdicts come from `refcert.audit.judge`; this module only hands out work and collects.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from refcert.audit.judge import judge
from refcert.audit.plane_table import PlaneTable
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status

# Planes handed to a process at once: large enough to hide the hand-over, small enough for a smooth progress bar.
BLOCK = 2000


@dataclass(frozen=True)
class AuditResult:
    """Verdicts in the order of the planes."""

    verdicts: tuple[Judgement, ...]

    @property
    def summary(self) -> dict[str, int]:
        """How many planes are proved, refuted and undecided."""
        counts = {status.lower(): 0 for status in Status}
        for verdict in self.verdicts:
            counts[verdict.status.lower()] += 1
        return counts

    def to_json(self) -> list[dict[str, object]]:
        """One object per plane, in input order."""
        return [_as_json(verdict) for verdict in self.verdicts]


def _as_json(verdict: Judgement) -> dict[str, object]:
    row: dict[str, object] = {
        "verdict": str(verdict.status),
        "precision": verdict.precision,
        "method": str(verdict.method),
    }
    if verdict.point is not None:
        row["point"] = {"v": verdict.point[0], "z": verdict.point[1]}
        row["violation"] = verdict.violation
        if any(verdict.rest):
            row["rest"] = {"v": list(verdict.rest[0]), "z": list(verdict.rest[1])}
    if verdict.reason:
        row["reason"] = verdict.reason
    return row


class Auditor:
    """A pool of processes that audit planes. Use as a context manager; workers=1 stays in this process."""

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers if workers is not None else os.cpu_count() or 1
        if self.workers < 1:
            raise ValueError(f"workers is {self.workers}; give at least one")
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Auditor:
        if self.workers > 1:
            # spawn: a forked copy of a process that runs torch's threads can hang
            context = multiprocessing.get_context("spawn")
            # Ctrl-C is for the process that collects; workers that print their own tracebacks help nobody.
            self._pool = ProcessPoolExecutor(
                self.workers, context, initializer=signal.signal, initargs=(signal.SIGINT, signal.SIG_IGN)
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def audit(self, planes: PlaneTable, progress: Callable[[int], None] | None = None) -> AuditResult:
        """Audit all planes; progress is called with the number of planes that finished."""
        blocks = [planes.rows(start, start + BLOCK) for start in range(0, len(planes), BLOCK)]
        results = map(_audit_block, blocks) if self._pool is None else self._pool.map(_audit_block, blocks)
        verdicts: list[Judgement] = []
        for block in results:
            verdicts.extend(block)
            if progress is not None:
                progress(len(block))
        return AuditResult(tuple(verdicts))


def _audit_block(columns: list[list[object]]) -> list[Judgement]:
    return [judge(PlaneClaim(*row)) for row in zip(*columns, strict=True)]


def audit_planes(planes: PlaneTable, workers: int = 1, progress: Callable[[int], None] | None = None) -> AuditResult:
    """Audit a table of planes. workers: processes; more than one needs a main module that can be imported."""
    with Auditor(workers) as auditor:
        return auditor.audit(planes, progress)
