"""`refcert baseline record`, `compare` and `update`: from a question, or a baseline's file, to the changes.

The same functions serve the pytest plugin, with objects in place of paths.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path

from gpu_engine.errors import SoundnessFault
from refcert.app.baseline.changes import Comparison
from refcert.app.baseline.comparing import Attacked, Evidence, compare
from refcert.app.baseline.entries import Baseline, DataEntry, ModelEntry, Tolerances
from refcert.app.baseline.fingerprints import weight_digests
from refcert.app.baseline.measuring import How, Measured, measure
from refcert.app.baseline.question import question_of
from refcert.app.baseline.reading import load
from refcert.app.baseline.soundness import NO_ATTACK, attack, method_of
from refcert.app.baseline.subject import (
    IN_MEMORY,
    Computing,
    Data,
    Model,
    Subject,
    open_subject,
    relative_source,
    request_from,
    resolved_source,
)
from refcert.app.baseline.text import text_of
from refcert.app.errors import InputError
from refcert.app.progress import Progress
from refcert.app.request import Request
from refcert.app.storage import write_file
from refcert.audit.plane_audit import Auditor


@dataclass(frozen=True)
class Guarding:
    """How a comparison is made.

    tolerances: None for the recorded ones. search: see `measuring.How`. audit: prove every plane, which is always done
    where the baseline holds an audit. attack: a name of
    `refcert attack`, or 'none'. evidence: where a soundness fault leaves what shows it. other_data: see `compare`.
    """

    computing: Computing = field(default_factory=Computing)
    tolerances: Tolerances | None = None
    search: bool = True
    audit: bool = False
    workers: int | None = None
    attack: str = "pgd"
    evidence: Path = Path()
    other_data: bool = False


def record(
    request: Request,
    out: Path,
    tolerances: Tolerances,
    *,
    model: Model | None = None,
    data: Data | None = None,
    audit: bool = False,
    workers: int | None = None,
    progress: Progress,
) -> Baseline:
    """Measure and write a new baseline. model, data: objects in place of the request's own paths.

    Raises InputError where there is something at `out`, and as `refcert certify` does; OutputError.
    """
    if os.path.lexists(out):
        raise InputError(f"{out} exists; refcert baseline update shows what changed and writes it anew")
    subject = open_subject(request, model, data)
    with _auditor(audit, workers) as auditor:
        measured = measure(subject, How(auditor=auditor), progress)
    baseline = baseline_of(subject, measured, tolerances, out.parent)
    _refuse_refuted(measured)
    save(baseline, out)
    return baseline


def compare_with(
    recorded: Baseline, subject: Subject, guarding: Guarding, progress: Progress
) -> tuple[Comparison, Baseline]:
    """The comparison, and the present state with gaps on the recorded balls.

    Of a part of the baseline and the same part of the subject, too: samples do not interact.
    """
    radii = {sample.index: sample.value for sample in recorded.samples if sample.value is not None}
    with _auditor(guarding.audit or recorded.audited, guarding.workers) as auditor:
        measured = measure(subject, How(radii, guarding.search, auditor), progress)
    now = baseline_of(subject, measured, recorded.tolerances, Path())
    attacks: dict[int, Attacked] = {}
    fault = None
    if guarding.attack != NO_ATTACK:
        try:
            attacks = attack(subject, now.samples, now, method_of(guarding.attack), evidence=guarding.evidence)
        except SoundnessFault as error:
            fault = str(error)
    evidence = Evidence(measured.refuted, attacks, guarding.attack, fault)
    return compare(recorded, now, guarding.tolerances, evidence, other_data=guarding.other_data), now


def run_compare(
    path: Path, guarding: Guarding, *, model: Model | None = None, data: Data | None = None, progress: Progress
) -> Comparison:
    """Compare the present model and data with a baseline's file. model, data: other ones than the baseline names."""
    recorded = load(path)
    subject = subject_of(recorded, path, guarding.computing, model, data)
    return compare_with(recorded, subject, guarding, progress)[0]


@dataclass(frozen=True)
class Updated:
    """What an update would change: the comparison, and the baseline that is to be written."""

    comparison: Comparison
    baseline: Baseline


def run_update(
    path: Path, guarding: Guarding, *, model: Model | None = None, data: Data | None = None, progress: Progress
) -> Updated:
    """Measure for `refcert baseline update`; writes nothing. Raises as `run_compare`."""
    recorded = load(path)
    subject = subject_of(recorded, path, guarding.computing, model, data)
    audit = guarding.audit or recorded.audited
    comparison, now = compare_with(recorded, subject, replace(guarding, audit=audit, search=True), progress)
    # Its gaps belong to the balls of its own radii.
    radii = {sample.index: sample.value for sample in now.samples if sample.value is not None}
    with _auditor(audit, guarding.workers) as auditor:
        measured = measure(subject, How(radii, search=False, auditor=auditor), progress)
    values = now.by_index()
    kept = tuple(replace(sample, value=values[sample.index].value) for sample in measured.samples)
    _refuse_refuted(measured)
    tolerances = guarding.tolerances or recorded.tolerances
    return Updated(comparison, baseline_of(subject, replace(measured, samples=kept), tolerances, path.parent))


def subject_of(
    recorded: Baseline, path: Path, computing: Computing, model: Model | None = None, data: Data | None = None
) -> Subject:
    """The model and data that a baseline guards, or others in their place. Raises InputError."""
    sources = []
    for given, source in ((model, recorded.model.source), (data, recorded.data.source)):
        if given is None:
            sources.append(resolved_source(source, path.parent))
        else:
            sources.append(os.fspath(given) if isinstance(given, (str, os.PathLike)) else IN_MEMORY)
    request = request_from(recorded, sources[0], sources[1], computing)
    if request.spec is not None:
        request = replace(request, spec=resolved_source(request.spec, path.parent))
    return open_subject(request, model, data)


def baseline_of(subject: Subject, measured: Measured, tolerances: Tolerances, folder: Path) -> Baseline:
    """The measured samples as a baseline whose text lies in `folder`."""
    request, opened, model = subject.request, subject.opened, subject.model
    question = question_of(request.to_json())
    if request.spec is not None:
        question["spec"] = relative_source(request.spec, folder)
    return Baseline(
        ModelEntry(relative_source(request.model, folder), model.digest(), weight_digests(model)),
        DataEntry(
            relative_source(request.data, folder), opened.data.digest, opened.data.unit, tuple(opened.data.x.shape)
        ),
        question,
        None if opened.samples.rows is None else opened.samples.rows.digest,
        tolerances,
        measured.samples,
        version("refcert"),
    )


@contextlib.contextmanager
def _auditor(wanted: bool, workers: int | None) -> Iterator[Auditor | None]:
    if not wanted:
        yield None
        return
    with Auditor(workers) as auditor:
        yield auditor


def _refuse_refuted(measured: Measured) -> None:
    """Nothing that rests on refuted planes becomes a baseline."""
    if measured.refuted:
        index, number = min(measured.refuted.items())
        raise SoundnessFault(
            f"{number} bounding planes of sample {index} are REFUTED; nothing is written. Audit a run of refcert "
            "certify for the points, and please report it"
        )


def save(baseline: Baseline, path: Path) -> None:
    """Write the text as a whole or not at all. Raises OutputError."""
    write_file(path, text_of(baseline).encode())
