"""A run folder as everything the page says: read once, checked, in plain values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from refcert.app.errors import InputError
from refcert.app.report import figures, words
from refcert.app.report.certificate_standing import Standing
from refcert.app.report.certificates import Certificates, Result, folder_files, read_certificates
from refcert.app.report.frames import FOLDER, Frames, SubRun, picture_frames, read_frames, rows_per_frame
from refcert.app.report.planes import Audit, Counts, State, read_audit, state_of
from refcert.app.report.reading import asked_for, checked_samples, command_of
from refcert.app.runs import RunFolder, open_run

# Longer tables are cut on the page; the run folder has all.
TABLE_ROWS: Final = 200

Outcome = Literal["certified", "not certified", "not supported", "misclassified", "no question"]


@dataclass(frozen=True)
class Row:
    """One sample of the table; empty texts where there is nothing to say, exact numbers beside rounded ones."""

    index: int
    label: str
    predicted: str
    outcome: Outcome
    radius: float | None
    radius_text: str
    failed: float | None
    failed_text: str
    margin: float | None
    margin_text: str
    weakest: str
    planes: Counts | None
    proved: Result | None


@dataclass(frozen=True)
class RunView:
    """What the page shows."""

    model: Mapping[str, Any]
    description: str
    data: Mapping[str, Any]
    size: str
    rows_per_frame: str
    question: str
    details: tuple[tuple[str, str], ...]
    started: str
    versions: tuple[tuple[str, str], ...]
    machine: str
    seconds: float
    search: bool
    ball: bool
    decibel: bool
    about_label: bool
    counted: str
    certified_name: str
    place: str
    margin_of: str
    correct_name: str
    specification: Mapping[str, Any] | None
    weakest_name: str
    finished: int
    total: int
    complete: bool
    asked: int
    correct: int
    certified: int
    mean: float | None
    median: float | None
    mean_text: str
    median_text: str
    unit: str
    charts: tuple[figures.Figure, ...]
    rows: tuple[Row, ...]
    audit: Audit
    planes: Counts
    state: State
    unsound: int
    certificates: Certificates | None
    sub: SubRun | None
    sub_certificates: Certificates | None
    sub_problem: str
    pictured: Frames | None
    command: str
    audit_command: str
    audited_later: bool
    files: tuple[tuple[str, str, str], ...]

    @property
    def unsupported(self) -> str:
        """Why certified samples are marked as not supported; empty where none is."""
        invalid = self.certificates is not None and self.certificates.invalid
        reasons = {"a plane behind them is not proved": self.unsound, "its certificate is INVALID": invalid}
        return " or ".join(reason for reason, present in reasons.items() if present)

    @property
    def shares(self) -> dict[str, str]:
        """Percentages of the finished samples."""
        return {
            "correct": words.share(self.correct, self.finished),
            "certified": words.share(self.certified, self.finished),
        }


def collect(path: Path) -> RunView:
    """Read the run at `path`. Raises InputError if it is no run, has no finished samples, or cannot be read."""
    run = open_run(path)
    samples = checked_samples(run)
    if not samples:
        raise InputError(f"{path} has no finished samples; continue it with `refcert certify ... --resume`")
    said = asked_for(run)
    request, shape = said["request"], said["data"]["shape"]
    summary = run.summary
    search = words.searches(request)
    unit = str(said["data"]["unit"])
    lengths, per_frame = said["data"].get("lengths"), said["model"].get("readout") == "every"
    asked = [row for row in samples if row["margin"] is not None]
    counted = [row for row in asked if row["correct"] or not words.about_label(request)]
    radii = [row["radius"] for row in counted] if search else []
    audit = read_audit(run, [row["index"] for row in asked], request["batch_size"])
    sub_run, sub, sub_problem = read_frames(path, said)
    if sub_run is not None and sub is not None:
        sub = replace(sub, command=_with_certificates(sub.command, sub_run))
    planes, unaudited = audit.counts, audit.unaudited
    if sub is not None:
        planes, unaudited = planes + sub.audit.counts, unaudited + sub.audit.unaudited
    mean = statistics.fmean(radii) if radii else None
    median = statistics.median(radii) if radii else None
    shown = radii if search else [row.get("radius") for row in asked]
    decimals = words.decimals_for(radius for radius in shown if radius is not None)
    described = (summary or {}).get("model", {}).get("description", "")
    certified = [row for row in samples if _found(row, request) == "certified"]
    name = path.resolve().name
    certificates = read_certificates(run, name, samples, request, {row["index"] for row in certified})
    return RunView(
        model=said["model"],
        description=str(described),
        data=said["data"],
        size=_size_of(shape, lengths),
        rows_per_frame=rows_per_frame(shape[1], shape[2]),
        question=words.question(request, unit, shape[1], ragged=lengths is not None, per_frame=per_frame),
        details=tuple(words.details(request, str(said["model"].get("readout", "")))),
        started=str(said["started"]).replace("T", " ").replace("+00:00", " UTC"),
        versions=tuple((str(k), str(v)) for k, v in said["versions"].items()),
        machine=str(said["machine"]),
        seconds=math.fsum(row.get("seconds") or 0.0 for row in samples),
        search=search,
        ball=words.has_ball(request),
        decibel=request["radius_db"] is not None,
        about_label=words.about_label(request),
        counted=words.counted(request),
        # A proof about the label's place, or about the user's rows, needs no correct decision beside it.
        certified_name="correct, and proved" if words.about_label(request) and request["top_k"] is None else "proved",
        place="" if search else words.place(request),
        margin_of=words.margin(request, per_frame),
        correct_name=words.correct(request, per_frame),
        specification=said.get("specification"),
        weakest_name=_weakest_name(samples),
        finished=len(samples),
        total=shape[0],
        complete=summary is not None and len(samples) == shape[0],
        asked=len(asked),
        correct=sum(bool(row["correct"]) for row in samples),
        certified=len(certified),
        mean=mean,
        median=median,
        mean_text="" if mean is None else words.at_least(mean, decimals),
        median_text="" if median is None else words.at_least(median, decimals),
        unit=unit,
        charts=_charts(request, radii, len(asked), [row["margin"] for row in counted], median, unit),
        rows=tuple(_row(row, request, decimals, audit, certificates) for row in samples[:TABLE_ROWS]),
        audit=audit,
        planes=planes,
        state=state_of(planes, unaudited),
        unsound=sum((counts := audit.by_sample.get(row["index"], Counts())).proved < counts.total for row in certified),
        certificates=certificates,
        sub=sub,
        sub_certificates=_of_frames(sub_run, name),
        sub_problem=sub_problem,
        pictured=picture_frames(sub_run if sub_run is not None else run),
        command=_with_certificates(command_of(run, name, bool(asked)), run),
        audit_command=words.audit_command(name),
        audited_later=not said["audit"] and audit.counts.total > 0,
        files=tuple(_files(path, sub is not None)),
    )


def _weakest_name(samples: Sequence[Mapping[str, Any]]) -> str:
    """The heading of the column that names a sample's weakest frame or class; empty if there is no such column."""
    if any(name in row for row in samples for name in ("frame_radii", "frame_margins", "step_margins")):
        return "Weakest frame"
    return "Nearest class" if any("target_radii" in row or "target_margins" in row for row in samples) else ""


def _weakest(row: Mapping[str, Any]) -> str:
    for name in ("frame_radii", "frame_margins", "target_radii", "target_margins", "step_margins"):
        if name in row:
            values = [value for value in row[name] if value is not None]  # none behind a sequence's end
            if "radii" in name and not min(values) > 0:
                return ""
            place = values.index(min(values))
            # The other classes are asked in order, the label left out.
            return str(place + (name.startswith("target") and place >= row["label"]))
    return ""


def _found(row: Mapping[str, Any], request: Mapping[str, Any]) -> Outcome:
    """What the run says of a sample, whoever supports it."""
    if not row["correct"] and words.about_label(request):
        return "misclassified"
    if row["margin"] is None:
        return "no question"
    certified = (row["radius"] or 0) > 0 if words.searches(request) else row["certified"]
    return "certified" if certified else "not certified"


def _row(
    row: Mapping[str, Any],
    request: Mapping[str, Any],
    decimals: int,
    audit: Audit,
    certificates: Certificates | None,
) -> Row:
    planes = audit.by_sample.get(row["index"])
    proved = None if certificates is None else certificates.by_sample[row["index"]]
    margin, radius, failed = row["margin"], row.get("radius"), row.get("radius_failed")
    outcome = _found(row, request)
    cut = planes is not None and planes.proved < planes.total
    if outcome == "certified" and (cut or (proved is not None and proved.standing is Standing.INVALID)):
        outcome = "not supported"
    return Row(
        index=row["index"],
        label=words.labels(row["label"]),
        predicted=words.labels(row["predicted"]),
        outcome=outcome,
        radius=radius,
        radius_text="" if radius is None else words.at_least(radius, decimals),
        failed=failed,
        failed_text="" if failed is None else words.at_most(failed, decimals),
        margin=margin,
        margin_text="" if margin is None else words.at_least(margin, 4),
        weakest=_weakest(row),
        planes=planes,
        proved=proved,
    )


def _size_of(shape: Sequence[int], lengths: Sequence[int] | None) -> str:
    frames = str(shape[1]) if lengths is None else f"{lengths[0]} to {lengths[1]}"
    return f"{shape[0]:,} samples of {frames} frames of {shape[2]} values"


def _charts(
    request: Mapping[str, Any],
    radii: Sequence[float],
    total: int,
    margins: Sequence[float],
    median: float | None,
    unit: str,
) -> tuple[figures.Figure, ...]:
    who = words.counted(request)
    if words.searches(request):
        if median is None:
            return ()
        label = f"certified radius r ({unit})"
        found = figures.histogram(
            radii, name="radii", title=f"Certified radii of the {who}", x_label=label, noun="samples"
        )
        return found, figures.share_curve(radii, total, x_label=label, median=median, counted=who)
    if not margins:
        return ()
    return (
        figures.histogram(
            margins,
            name="margins",
            title=f"Margins of the {who}",
            x_label="lower bound of the margin (logits)"
            if words.about_label(request)
            else "lower bound of the least row",
            noun="samples",
            split_at_zero=True,
        ),
    )


def _of_frames(run: RunFolder | None, name: str) -> Certificates | None:
    """The certificates of the frame-by-frame run, if it is there and has some."""
    if run is None:
        return None
    request, samples = asked_for(run)["request"], run.samples()
    certified = {row["index"] for row in samples if _found(row, request) == "certified"}
    return read_certificates(run, f"{name}/{FOLDER}", samples, request, certified)


# How to do it again


def _with_certificates(command: str, run: RunFolder) -> str:
    return f"{command} --certificates" if run.request.get("certificates") else command


def _files(path: Path, sub: bool) -> list[tuple[str, str, str]]:
    found = [("request.json", _size([path / "request.json"]), "what was asked; digests, versions, machine")]
    for folder, suffix, what in (
        ("results", "parquet", "one row per sample"),
        ("planes", "npz", "every bounding plane with its box and origin"),
        ("audit", "parquet", "one verdict per plane, in the same order"),
    ):
        parts = sorted((path / folder).glob(f"part-*.{suffix}"))
        if parts:
            found.append((f"{folder}/part-*.{suffix}", _size(parts), what))
    found += [(name, _size(files), what) for name, files, what in folder_files(path)]
    if (path / "summary.json").is_file():
        found.append(("summary.json", _size([path / "summary.json"]), "counts and means, written last"))
    if sub:
        found.append((f"{FOLDER}/", "", "the frame-by-frame run, a run folder of its own"))
    return found


def _size(paths: Sequence[Path]) -> str:
    size = sum(path.stat().st_size for path in paths)
    files = f"{len(paths)} files, " if len(paths) > 1 else ""
    return f"{files}{size / 1000:,.1f} kB" if size < 1e6 else f"{files}{size / 1e6:,.1f} MB"
