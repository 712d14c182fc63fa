"""`refcert certify`: from a request to records, planes, verdicts and a summary, part by part."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_engine.errors import EngineError
from gpu_engine.loading import load_model
from gpu_engine.model import RecurrentClassifier
from gpu_engine.search.certify import DTYPES, Options
from refcert.app import runs
from refcert.app.datasets import Sequences, load_sequences
from refcert.app.errors import InputError, OutputError
from refcert.app.plane_export import PlaneCollector
from refcert.app.pretrained import pretrained_path
from refcert.app.progress import Progress
from refcert.app.questions import Answers, answer, ask, largest_radius, records
from refcert.app.request import Request
from refcert.audit.plane_audit import Auditor, AuditResult


def open_model(source: str) -> RecurrentClassifier:
    """A safetensors file, or the name of a model that is shipped (`digits_lstm`)."""
    if not source.strip():
        raise InputError(f"--model is {source!r}; give a .safetensors file or the name of a shipped model")
    path = Path(source)
    if not path.exists() and not path.suffix and path.name == source:
        path = pretrained_path(source)
    return load_model(path)


def run(
    request: Request,
    *,
    out: Path | None,
    resume: bool,
    audit: bool,
    keep_planes: bool,
    workers: int | None,
    progress: Progress,
) -> dict[str, Any]:
    """Carry out the request; returns the summary that `--json` prints.

    Raises InputError or EngineError on bad input before anything is written, OutputError when writing fails.
    """
    if resume and out is None:
        raise InputError("--resume needs the run's folder; give it with --out")
    if out is not None and resume:
        runs.open_run(out)
    elif out is not None:
        runs.check_free(out)
    _check_device(request.device, request.dtype)
    try:
        options = Options(request.relaxation, request.dtype, request.device, request.batch_size)
        model = open_model(request.model)
        data = load_sequences(request.data, input_size=model.input_size, count=request.count, classes=model.classes)
        request.frame_numbers(data.x.shape[1])
        request.target_class(model.classes)
        x, labels = torch.from_numpy(data.x), torch.from_numpy(data.labels)
        # A bad range or norm shows up here, before a folder is made.
        ask_all = ask(request, labels, x.shape[1], model.classes)
        if len(ask_all.sample) == 0:
            raise InputError(f"every sample has label {request.target}, the target itself; choose another target")
        _check_clip(request, x)
        largest = largest_radius(request, x)
    except EngineError as error:
        raise InputError(str(error)) from error
    asked = _asked(request, model, data, audit=audit, planes=keep_planes)
    folder = None
    if out is not None:
        folder = runs.resume(out, asked) if resume else runs.create(out, asked)
    job = _Job(request, model, x, labels, options, largest, folder, audit, keep_planes and folder is not None)
    with _nothing_half_done(folder):
        try:
            job.work(workers, progress)
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise InputError(
                f"the memory does not hold --batch-size {request.batch_size} ({_first_line(error)}); give a smaller one"
            ) from error
    summary = job.summary(asked)
    if folder is not None:
        folder.write_summary({k: v for k, v in summary.items() if k != "samples"})
    return summary


def _check_device(device: str, dtype: str) -> None:
    """Raise InputError unless the device computes: names exist that torch knows and cannot use."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kind = getattr(torch, dtype) if dtype in DTYPES else torch.float64
            torch.ones(1, dtype=kind, device=device).sum().item()
    except (RuntimeError, AssertionError, ImportError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"device {device!r} cannot be used here with {dtype} ({_first_line(error)}); try 'cpu'"
        ) from error


# Messages of torch can run over pages.
_SHOWN = 160


def _first_line(error: BaseException) -> str:
    line = (str(error).splitlines() or [type(error).__name__])[0].partition(". ")[0]
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "..."


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


def _check_clip(request: Request, x: torch.Tensor) -> None:
    if request.clip is None:
        return
    low, high = request.clip
    outside = (x < low) | (x > high)
    if bool(outside.any()):
        index = [int(i) for i in outside.nonzero()[0]]
        raise InputError(
            f"x{index} is {float(x[tuple(index)])!r}, outside --clip {low:g} {high:g}; "
            "widen the range or scale the data"
        )


class _Job:
    def __init__(
        self,
        request: Request,
        model: RecurrentClassifier,
        x: torch.Tensor,
        labels: torch.Tensor,
        options: Options,
        largest: float,
        folder: runs.RunFolder | None,
        audit: bool,
        keep_planes: bool,
    ) -> None:
        self.request, self.model, self.x, self.labels = request, model, x, labels
        self.options, self.largest, self.folder = options, largest, folder
        self.audit, self.keep_planes = audit, keep_planes
        self.rows: dict[int, list[dict[str, Any]]] = {}
        self.counts: dict[str, int] = {"proved": 0, "refuted": 0, "undecided": 0}

    def work(self, workers: int | None, progress: Progress) -> None:
        size = self.request.batch_size
        parts = range(-(-len(self.x) // size))
        done = set()
        if self.folder is not None:
            done = set(self.folder.finished_parts())
            self.folder.samples()  # a damaged part shows now, not after hours of work
        with contextlib.ExitStack() as stack:
            auditor = stack.enter_context(Auditor(workers)) if self.audit else None
            questions_per_sample = max(1, self._questions_per_sample())
            left = [p for p in parts if p not in done]
            samples_left = sum(len(self.x[p * size : (p + 1) * size]) for p in left)
            tick = stack.enter_context(
                progress.task("certifying", samples_left * questions_per_sample, unit="questions")
            )
            for part in left:
                self._part(part, auditor, tick, progress)

    def _questions_per_sample(self) -> int:
        if self.request.frames == "each":
            return self.x.shape[1]
        return self.model.classes - 1 if self.request.target == "all" else 1

    def _part(self, part: int, auditor: Auditor | None, tick: Any, progress: Progress) -> None:
        request, size = self.request, self.request.batch_size
        x, labels = self.x[part * size : (part + 1) * size], self.labels[part * size : (part + 1) * size]
        questions = ask(request, labels, x.shape[1], self.model.classes)
        predicted = self.model.logits(x).argmax(1)
        collector = PlaneCollector(part * size) if self.audit or self.keep_planes else None
        answers: Answers | None = None
        began = time.perf_counter()
        if len(questions.sample):
            sink = collector.add if collector is not None else None
            answers = answer(request, self.model, x, questions, self.options, self.largest, sink, tick)
        seconds = time.perf_counter() - began
        rows = records(request, questions, answers, part * size, labels, predicted)
        for row in rows:
            row["seconds"] = seconds / len(rows)
        planes = collector.table() if collector is not None else None
        verdicts: AuditResult | None = None
        if auditor is not None and planes is not None:
            with progress.task("auditing planes", len(planes), unit="planes") as audit_tick:
                verdicts = auditor.audit(planes, audit_tick)
            for key, number in verdicts.summary.items():
                self.counts[key] += number
        self.rows[part] = rows
        if self.folder is not None:
            self.folder.write_part(part, rows, planes if self.keep_planes else None, verdicts)

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
        result["model"] = asked["model"]
        result["request"] = asked["request"]
        result["data"] = asked["data"]
        result["samples"] = samples
        return result


def _outcome(request: Request, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts and means over the correctly classified samples that had a question."""
    if not request.search:
        return {"certified": sum(bool(row["certified"]) for row in rows)}
    radii = [row["radius"] for row in rows if row["correct"] and row["radius"] is not None]
    return {
        "mean_radius": float(np.mean(radii)) if radii else None,
        "median_radius": float(np.median(radii)) if radii else None,
        "tolerance": request.tolerance,
    }


def _asked(
    request: Request, model: RecurrentClassifier, data: Sequences, *, audit: bool, planes: bool
) -> dict[str, Any]:
    return {
        "request": request.to_json(),
        "audit": audit,
        "planes": planes,
        "model": {
            "source": request.model,
            "digest": model.digest(),
            "stored_dtype": model.stored_dtype,
            "description": model.describe(),
        },
        "data": {"name": data.name, "unit": data.unit, "digest": data.digest, "shape": list(data.x.shape)},
        "versions": versions(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, device {request.device}",
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def versions() -> dict[str, str]:
    """Versions of everything that a number can depend on."""
    packages = ("refcert", "torch", "numpy", "python-flint")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}
