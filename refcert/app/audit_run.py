"""`refcert audit`: planes from a run, from files or from a function in, a verdict on every one of them out."""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from refcert.app.audit_folder import AuditFolder, check_out, open_folder, request_of
from refcert.app.audit_report import AuditedTable, AuditReport, Example, where_of
from refcert.app.audit_sources.opening import FunctionOptions, open_source
from refcert.app.audit_sources.source import Source
from refcert.app.errors import OutputError
from refcert.app.progress import Progress
from refcert.audit.examine import Answer, Questions
from refcert.audit.plane_audit import Auditor, Work, result_of
from refcert.audit.plane_table import PlaneTable, join
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import Status

# Planes whose verdicts are kept together: about a second of work, which is what a kill can lose.
_PART: Final = 20_000
_VOLUMES_PART: Final = 1000
_HUNT_PART: Final = 100
EXAMPLES: Final = 3


@dataclass(frozen=True)
class AuditOptions:
    """What `refcert audit` was asked. function: only for a function; budgets: None for no end.

    out: the audit's own folder; examples: so many counter-examples are minimised.
    """

    questions: Questions = Questions()  # noqa: RUF009 - immutable
    function: FunctionOptions = FunctionOptions()  # noqa: RUF009 - immutable
    workers: int | None = None
    budget_seconds: float | None = None
    budget_planes: int | None = None
    out: Path | None = None
    resume: bool = False
    examples: int = EXAMPLES

    @property
    def part(self) -> int:
        """Planes of a part; the folder's files depend on it."""
        if self.questions.falsify == "all":
            return _HUNT_PART
        return _VOLUMES_PART if self.questions.tightness else _PART


def audit_source(name: str, options: AuditOptions, progress: Progress) -> AuditReport:
    """Audit all planes of a source. A run's verdicts are stored in its folder, too.

    Raises InputError or PlaneTableError on bad input, OutputError if something cannot be kept; what was found before
    is in `options.out`.
    """
    check_out(options.out, options.resume)
    source = open_source(name, options.function, options.part)
    asked = request_of(source, _kept_options(options))
    folder = (
        None if options.out is None else open_folder(options.out, options.resume, asked, source.made_by or source.name)
    )
    job = _Job(source, options, folder)
    with _kept(folder):
        seconds = job.work(progress)
    report = job.report(asked, seconds)
    if folder is not None:
        folder.write_summary(report.summary_json())
    return report


def _kept_options(options: AuditOptions) -> dict[str, Any]:
    """What the results depend on."""
    return {**options.questions._asdict(), "part": options.part}


@contextlib.contextmanager
def _kept(folder: AuditFolder | None) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        if folder is not None:
            folder.discard_if_empty()
            if isinstance(error, OutputError):
                raise OutputError(f"{error}; what was finished is kept, continue with --resume") from error
        raise


class _Job:
    def __init__(self, source: Source, options: AuditOptions, folder: AuditFolder | None) -> None:
        self.source, self.options, self.folder = source, options, folder
        self.works: dict[int, Work] = {}
        self.dirty: set[int] = set()  # parts that have planes or answers which are not in the folder yet
        self.auditor = Auditor(options.workers, options.questions)
        self.judged = 0
        self.numbers: dict[str, list[int]] = {}  # of the parts, by their table's name
        for number, part in enumerate(source.parts):
            self.numbers.setdefault(part.name, []).append(number)
        # Tables by their first part: how many of their parts are not finished, and the part of the run that they are.
        self.open = {mine[0]: len(mine) for mine in self.numbers.values()}
        self.run_parts = dict(zip(self.open, source.run_parts, strict=True)) if source.run is not None else {}

    def work(self, progress: Progress) -> float:
        """Audit; returns the wall time."""
        if self.folder is not None:
            self._look_at_kept()
        began = time.perf_counter()
        limit = self.options.budget_seconds
        numbers = {id(work): number for number, work in self.works.items()}
        known = sum(len(work.table) - work.left for work in self.works.values())
        try:
            with self.auditor, progress.task("auditing planes", self.source.planes, unit="planes") as tick:
                tick(known)

                def count(planes: int) -> None:
                    self.judged += planes
                    tick(planes)

                for work in self.auditor.stream(
                    self._waiting(numbers),
                    count,
                    limit=self.options.budget_planes,
                    out_of_time=lambda: limit is not None and time.perf_counter() - began >= limit,
                ):
                    self._finished(numbers[id(work)])
        finally:
            for number in sorted(self.dirty):
                self._keep(number)
        return time.perf_counter() - began

    def _look_at_kept(self) -> None:
        """What an earlier call left: a damaged file shows now, not after hours of work."""
        assert self.folder is not None
        first = 0
        for number, part in enumerate(self.source.parts):
            if self.source.live:
                table = self.folder.planes(number, part)
            else:
                table = part.load() if self.folder.has_answers(number) else None
            if table is not None:
                self.works[number] = Work(table, first, self.folder.answers(number, table))
            first += part.planes

    def _waiting(self, numbers: dict[int, int]) -> Iterator[Work]:
        first = 0
        for number, part in enumerate(self.source.parts):
            work = self.works.get(number)
            if work is None:
                work = Work(part.load(), first)
                self.works[number] = work
                numbers[id(work)] = number
            first += part.planes
            if work.left:
                self.dirty.add(number)
                yield work
            else:
                self._finished(number)

    def _finished(self, number: int) -> None:
        """Keep a finished part; and the verdicts of a run's part in the run, once all of them are there."""
        if number in self.dirty:
            self._keep(number)
            self.dirty.discard(number)
        run = self.source.run
        if run is None:
            return
        mine = self.numbers[self.source.parts[number].name]
        self.open[mine[0]] -= 1
        if not self.open[mine[0]]:
            works = [self.works[k] for k in mine]
            verdicts = result_of(answer for work in works for answer in work.answers)
            run.write_audit(self.run_parts[mine[0]], join([work.table for work in works]), verdicts)

    def _keep(self, number: int) -> None:
        work = self.works[number]
        if self.folder is not None and (self.source.live or work.left < len(work.table)):
            self.folder.write(number, work.table, work.answers, keep_planes=self.source.live)

    def report(self, asked: dict[str, Any], seconds: float) -> AuditReport:
        tables = self._tables()
        return AuditReport(
            source=self.source.name,
            source_kind=self.source.kind,
            tables=tables,
            examples=_examples(tables, self.options.examples),
            seconds=seconds,
            workers=self.auditor.workers,
            judged_now=self.judged,
            parts_missing=self.source.parts_missing,
            digest=self.source.digest,
            request={
                **asked["request"],
                "budget_seconds": self.options.budget_seconds,
                "budget_planes": self.options.budget_planes,
            },
            versions=asked["versions"],
            machine=asked["machine"],
            started=asked["started"],
        )

    def _tables(self) -> tuple[AuditedTable, ...]:
        """The parts of one name together, in the order of the source."""
        by_name: dict[str, tuple[list[PlaneTable], list[Answer | None], int]] = {}
        for number, part in enumerate(self.source.parts):
            tables, answers, unasked = by_name.get(part.name, ([], [], 0))
            work = self.works.get(number)
            if work is not None:
                tables.append(work.table)
                answers.extend(work.answers)
            elif not self.source.live:
                tables.append(part.load())
                answers.extend([None] * part.planes)
            else:
                unasked += part.planes
            by_name[part.name] = (tables, answers, unasked)
        return tuple(self._table(name, *found) for name, found in by_name.items())

    def _table(self, name: str, tables: list[PlaneTable], answers: list[Answer | None], unasked: int) -> AuditedTable:
        ratios = None
        if self.options.questions.tightness:
            known = (None if answer is None else answer.ratio for answer in answers)
            ratios = np.array([np.nan if ratio is None else ratio for ratio in known], dtype=np.float64)
        judgements = tuple(None if answer is None else answer.judgement for answer in answers)
        return AuditedTable(name, join(tables), judgements, ratios, unasked)


def _examples(tables: tuple[AuditedTable, ...], most: int) -> tuple[Example, ...]:
    """The refuted planes with the largest violations, each with a simple point and a snippet, the worst first."""
    found = []
    offset = 0
    for audited in tables:
        for row, judgement in enumerate(audited.judgements):
            if judgement is not None and judgement.status is Status.REFUTED:
                found.append((-(judgement.violation or 0.0), offset + row, audited, row, judgement))
        offset += len(audited.judgements)
    worst = heapq.nsmallest(most, found, key=lambda entry: entry[:2])
    return tuple(_example(number, audited, row, judgement) for _, number, audited, row, judgement in worst)


def _example(number: int, audited: AuditedTable, row: int, judgement: Judgement) -> Example:
    from refcert.audit.counterexample import minimise, snippet

    claim = audited.table.claim(row)
    simple = minimise(claim, judgement)
    return Example(number, audited.name, row, where_of(audited.table, row), claim, simple, snippet(claim, simple))
