"""`refcert certify`: from a request to records, planes, verdicts and a summary, part by part."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_engine.errors import EngineError
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import Options
from refcert.app import runs
from refcert.app.certificates.files import FOLDER as CERTIFICATES
from refcert.app.certificates.writing import PartCertificates, RunCertificates
from refcert.app.errors import InputError, OutputError
from refcert.app.input_sets import fixed_radius, largest_radius
from refcert.app.opening import (
    check_asked,
    check_clip,
    check_device,
    first_line,
    identity_of,
    open_model,
    open_samples,
)
from refcert.app.plane_export import PlaneCollector
from refcert.app.progress import Progress
from refcert.app.questions import Answers, answer, ask, check_fits, enumerate_questions
from refcert.app.records import records
from refcert.app.request import Request
from refcert.app.samples import Samples
from refcert.audit.plane_audit import Auditor, AuditResult
from refcert.audit.plane_table import PlaneTable


def run(
    request: Request,
    *,
    out: Path | None,
    resume: bool,
    audit: bool,
    keep_planes: bool,
    workers: int | None,
    progress: Progress,
    certificates: bool = False,
) -> dict[str, Any]:
    """Carry out the request; returns the summary that `--json` prints.

    certificates: write one for every question that is proved, into the run folder.

    Raises InputError or EngineError on bad input before anything is written, OutputError when writing fails.
    """
    if out is None:
        for option, given in (("--resume", resume), ("--certificates", certificates)):
            if given:
                raise InputError(f"{option} needs the run's folder; give it with --out")
    if out is not None and resume:
        runs.open_run(out)
    elif out is not None:
        runs.check_free(out)
    check_device(request.device, request.dtype)
    try:
        options = Options(
            request.relaxation,
            request.dtype,
            request.device,
            chunk=request.batch_size,
            memory=request.memory,
            optimize=request.optimize,
            suppose=request.suppose,
        )
        model = open_model(request.model, request.structure, request.readout)
        data, samples = open_samples(request, model)
        # A question that makes no sense shows up here, before a folder is made.
        check_fits(request, model, samples)
        check_asked(request, model, samples)
        check_clip(request, samples.x)
        fixed_radius(request, samples)
        largest = largest_radius(request, samples)
    except EngineError as error:
        raise InputError(str(error)) from error
    asked = identity_of(request, model, data, samples, audit=audit, planes=keep_planes, certificates=certificates)
    folder = None
    folders = (*runs.FOLDERS, CERTIFICATES) if certificates else runs.FOLDERS
    if out is not None:
        folder = runs.resume(out, asked) if resume else runs.create(out, asked, folders)
    job = _Job(request, model, samples, options, largest, folder, audit, keep_planes and folder is not None)
    if folder is not None and certificates:
        job.certificates = RunCertificates(folder.path, model, data.name)
    with _nothing_half_done(folder):
        try:
            job.work(workers, progress)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise InputError(
                f"the memory does not hold --batch-size {request.batch_size} ({first_line(error)}); give a smaller "
                "one, or a limit with --memory"
            ) from error
    summary = job.summary(asked)
    if folder is not None:
        folder.write_summary({k: v for k, v in summary.items() if k != "samples"})
    return summary


def _out_of_memory(error: Exception) -> bool:
    """Whether memory ran out; on the CPU torch says so in the text only."""
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or "allocate memory" in str(error)


@contextlib.contextmanager
def _nothing_half_done(folder: runs.RunFolder | None) -> Iterator[None]:
    """Where the block fails before any part is finished, remove the folder that was made for it."""
    try:
        yield
    except BaseException as error:
        if folder is None:
            raise
        finished = len(folder.finished_parts())
        if not finished:
            runs.discard(folder)
        if isinstance(error, OutputError):
            kept = f"{finished} finished parts are kept, continue with --resume"
            lost = "nothing was finished, run the command again"
            raise OutputError(f"{error}; {kept if finished or not folder.made else lost}") from error
        raise


class _Job:
    def __init__(
        self,
        request: Request,
        model: RecurrentClassifier,
        samples: Samples,
        options: Options,
        largest: float,
        folder: runs.RunFolder | None,
        audit: bool,
        keep_planes: bool,
    ) -> None:
        self.request, self.model, self.samples = request, model, samples
        self.options, self.largest, self.folder = options, largest, folder
        self.audit, self.keep_planes = audit, keep_planes
        self.certificates: RunCertificates | None = None
        self.rows: dict[int, list[dict[str, Any]]] = {}
        self.counts: dict[str, int] = {"proved": 0, "refuted": 0, "undecided": 0}

    def work(self, workers: int | None, progress: Progress) -> None:
        size = self.request.batch_size
        parts = range(-(-len(self.samples) // size))
        done: set[int] = set()
        unaudited: list[int] = []
        if self.folder is not None:
            done = set(self.folder.finished_parts())
            unaudited = self.folder.unaudited()  # a damaged part shows now, not after hours of work
        if self.certificates is not None:
            self.certificates.write_network()
        with contextlib.ExitStack() as stack:
            auditor = stack.enter_context(Auditor(workers)) if self.audit else None
            if auditor is not None and self.folder is not None:
                self._audit_kept(self.folder, unaudited, auditor, progress)
            left = [p for p in parts if p not in done]
            questions = sum(self._questions(self._of_part(p)) for p in left)
            tick = stack.enter_context(progress.task("certifying", questions, unit="questions"))
            for part in left:
                self._part(part, auditor, tick, progress)

    def _audit_kept(self, folder: runs.RunFolder, parts: list[int], auditor: Auditor, progress: Progress) -> None:
        """The finished parts whose verdicts are gone, where their planes are kept; others count as not audited."""
        for part in sorted(set(parts) & set(folder.plane_parts())):
            planes = folder.planes(part)
            with progress.task("auditing planes", len(planes), unit="planes") as tick:
                folder.write_audit(part, planes, auditor.audit(planes, tick))

    def _of_part(self, part: int) -> Samples:
        size = self.request.batch_size
        return self.samples.part(part * size, (part + 1) * size)

    def _questions(self, samples: Samples) -> int:
        return len(enumerate_questions(self.request, samples, self.model.classes))

    def _part(self, part: int, auditor: Auditor | None, tick: Any, progress: Progress) -> None:
        request, size = self.request, self.request.batch_size
        samples = self._of_part(part)
        logits = samples.logits(self.model)
        collector = PlaneCollector(part * size) if self.audit or self.keep_planes else None
        answers: Answers | None = None
        certificates: PartCertificates | None = None
        began = time.perf_counter()
        questions = ask(request, self.model, samples)
        if self.certificates is not None:
            certificates = self.certificates.part(questions.asked, part * size)
        if len(questions.sample):
            sink = collector.add if collector is not None else None
            answers = answer(
                request,
                self.model,
                samples,
                questions,
                self.options,
                self.largest,
                sink,
                tick,
                None if certificates is None else certificates.add,
            )
        seconds = time.perf_counter() - began
        rows = records(request, questions, answers, part * size, samples, logits)
        for k, row in enumerate(rows):
            row["seconds"] = seconds / len(rows)
            if certificates is not None:
                row["claims"] = certificates.of((questions.sample == k).nonzero()[:, 0].tolist())
        planes = collector.table() if collector is not None else None
        verdicts: AuditResult | None = None
        if auditor is not None:
            _check_covered(rows, planes)
        if auditor is not None and planes is not None:
            with progress.task("auditing planes", len(planes), unit="planes") as audit_tick:
                verdicts = auditor.audit(planes, audit_tick)
            for key, number in verdicts.summary.items():
                self.counts[key] += number
        self.rows[part] = rows
        if self.folder is not None:
            self.folder.write_part(part, rows, planes, verdicts, keep_planes=self.keep_planes)

    def summary(self, asked: dict[str, Any]) -> dict[str, Any]:
        counts: dict[str, int] | None
        if self.folder is not None:
            rows = self.folder.samples()
            counts = self.folder.audit_summary()
        else:
            rows = [row for part in sorted(self.rows) for row in self.rows[part]]
            counts = self.counts if self.audit else None
        samples = [{k: v for k, v in runs.without_absent(row).items() if k != "seconds"} for row in rows]
        result: dict[str, Any] = {"count": len(rows), "correct": sum(row["correct"] for row in rows)}
        result |= _outcome(self.request, rows)
        result["seconds"] = round(sum(row["seconds"] for row in rows), 6)
        if counts is not None:
            result["planes"] = counts
        if self.certificates is not None:
            result["certificates"] = sum(claim is not None for row in rows for claim in row["claims"])
        for key in ("model", "request", "data", "specification"):
            if key in asked:
                result[key] = asked[key]
        result["samples"] = samples
        return result


def _check_covered(rows: list[dict[str, Any]], planes: PlaneTable | None) -> None:
    """Raise RuntimeError if a sample has bounds but no planes: an audit of the rest would say PROVED of too much."""
    covered = set() if planes is None else set(np.unique(planes.origin["sample"]).tolist())
    missing = [row["index"] for row in rows if row["margin"] is not None and row["index"] not in covered]
    if missing:
        raise RuntimeError(f"the engine gave bounds of sample {missing[0]}, but no planes to audit")


def _outcome(request: Request, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts and means over the samples that had a question; where it is about the label, over the correct ones."""
    if not request.search:
        return {"certified": sum(bool(row["certified"]) for row in rows)}
    radii = [row["radius"] for row in rows if (row["correct"] or not request.about_label) and row["radius"] is not None]
    return {
        "mean_radius": float(np.mean(radii)) if radii else None,
        "median_radius": float(np.median(radii)) if radii else None,
        "tolerance": request.tolerance,
    }
