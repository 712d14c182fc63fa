"""Audit many planes: every one PROVED, REFUTED with a point, or UNDECIDED, on several processes.

The verdicts come from `refcert.audit.examine`; this module only hands out work and collects. A plane on which a
process dies is UNDECIDED, with that as its reason; everything else that was found stays.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final

from refcert.audit.examine import Answer, Questions, examine
from refcert.audit.plane_table import PlaneTable, claim_of
from refcert.audit.pool import Block, Pool
from refcert.audit.verdicts import Judgement
from refcert.audit.verdicts_html import verdicts_html
from refcert.kernel.claims import PlaneClaim, Status

# Planes handed to a process at once: large enough to hide the hand-over, small enough for a smooth progress bar and a
# budget that is kept. Hunts and volumes take tens of milliseconds each.
BLOCK: Final = 500
_VOLUMES_BLOCK: Final = 100
_HUNT_BLOCK: Final = 10
DIED: Final = "the process that judged it died, twice; judge it by itself, with more memory or --workers 1"


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

    def _repr_html_(self) -> str:
        """For notebooks: the counts, and the first planes that are not proved."""
        return verdicts_html(self.summary, self.verdicts)

    def to_json(self) -> list[dict[str, object]]:
        """One object per plane, in input order."""
        return [judgement_json(verdict) for verdict in self.verdicts]


def judgement_json(verdict: Judgement) -> dict[str, object]:
    """One plane's verdict as JSON values, see docs/json.md."""
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


class Work:
    """The planes of one table on their way. first: the number of its first plane in the whole audit.

    answers, one per plane, None as long as there is none, are filled in place: they are there for whoever stops early.
    """

    def __init__(self, table: PlaneTable, first: int, answers: list[Answer | None] | None = None) -> None:
        self.table, self.first = table, first
        self.answers: list[Answer | None] = [None] * len(table) if answers is None else list(answers)
        if len(self.answers) != len(table):
            raise ValueError(f"{len(self.answers)} answers for {len(table)} planes")
        self.left = self.answers.count(None)

    def put(self, row: int, answers: list[Answer], planes: int) -> None:
        """The answers of so many planes from `row` on, which had none; RuntimeError unless it is one for each."""
        before = self.answers[row : row + planes]
        if len(answers) != planes or before != [None] * planes or None in answers:
            raise RuntimeError(f"{len(answers)} answers for the {planes} planes without answer from row {row} on")
        self.answers[row : row + len(answers)] = answers
        self.left -= len(answers)

    def blocks(self, size: int) -> Iterator[Block]:
        """The planes without answer, in runs of at most `size`."""
        start = 0
        while start < len(self.answers):
            if self.answers[start] is not None:
                start += 1
                continue
            stop = start + 1
            while stop < min(len(self.answers), start + size) and self.answers[stop] is None:
                stop += 1
            rows = list(zip(*self.table.rows(start, stop), strict=True))
            yield Block((self, start), self.first + start, rows)
            start = stop


class Auditor:
    """Processes that audit planes. Use as a context manager; workers=1 stays in this process.

    questions: what is asked of every plane. examiner: who answers, for tests; importable by name.
    """

    def __init__(
        self,
        workers: int | None = None,
        questions: Questions = Questions(),  # noqa: B008 - immutable
        examiner: Callable[[list[PlaneClaim], Questions, int], list[Answer]] = examine,
    ) -> None:
        self.workers = workers if workers is not None else os.cpu_count() or 1
        self._block = _VOLUMES_BLOCK if questions.tightness else BLOCK
        if questions.falsify == "all":
            self._block = _HUNT_BLOCK
        self.pool: Pool[Answer] = Pool(self.workers, partial(_examine, examiner, questions), _given_up)

    def __enter__(self) -> Auditor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.pool.__exit__(kind, error, trace)

    def stream(
        self,
        works: Iterable[Work],
        progress: Callable[[int], None] | None = None,
        *,
        limit: int | None = None,
        out_of_time: Callable[[], bool] = lambda: False,
    ) -> Iterator[Work]:
        """Each work as soon as it is finished. works are taken one by one, as processes become free.

        limit: no more than so many planes; out_of_time: asked before each block is handed out. Works that these stop
        are not handed back; what was found is in them. An exception of `works` is raised after the rest came back.
        """
        for block, answers in self.pool.results(self._blocks(works, limit, out_of_time)):
            work, start = block.owner
            work.put(start, answers, len(block.rows))
            if progress is not None:
                progress(len(answers))
            if not work.left:
                yield work

    def _blocks(self, works: Iterable[Work], limit: int | None, out_of_time: Callable[[], bool]) -> Iterator[Block]:
        left, waiting = limit, iter(works)
        # Asked before the next work is taken, too: that can be a call of somebody's function.
        while left != 0 and not out_of_time() and (work := next(waiting, None)) is not None:
            for block in work.blocks(self._block):
                if left == 0 or out_of_time():
                    return
                rows = block.rows[:left]
                left = None if left is None else left - len(rows)
                yield block._replace(rows=rows)

    def audit(self, planes: PlaneTable, progress: Callable[[int], None] | None = None) -> AuditResult:
        """Audit all planes; progress is called with the number of planes that finished.

        Raises RuntimeError if a plane came back without answer.
        """
        work = Work(planes, 0)
        for _ in self.stream([work], progress):
            pass
        return result_of(work.answers)


def result_of(answers: Iterable[Answer | None]) -> AuditResult:
    """The verdicts of planes that all have one. RuntimeError if one has none: it would vanish from the counts."""
    verdicts: list[Judgement] = []
    for row, answer in enumerate(answers):
        if answer is None:
            raise RuntimeError(f"plane {row} was not audited")
        verdicts.append(answer.judgement)
    return AuditResult(tuple(verdicts))


def _examine(
    examiner: Callable[[list[PlaneClaim], Questions, int], list[Answer]],
    questions: Questions,
    rows: list[tuple[Any, ...]],
    first: int,
) -> list[Answer]:
    return examiner(list(map(claim_of, rows)), questions, first)


def _given_up() -> Answer:
    return Answer(Judgement(Status.UNDECIDED, DIED, 0))


def audit_planes(planes: PlaneTable, workers: int = 1, progress: Callable[[int], None] | None = None) -> AuditResult:
    """Audit a table of planes. workers: processes; more than one needs a main module that can be imported."""
    with Auditor(workers) as auditor:
        return auditor.audit(planes, progress)
