"""The planes of an audit that one wants to see, and their pictures as files."""

from __future__ import annotations

import os
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import nsmallest
from itertools import accumulate, islice
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from refcert.app.audit_report import AuditReport, where_of
from refcert.app.errors import InputError, OutputError
from refcert.app.report.plane_choice import Choice
from refcert.app.report.plane_plot import SUFFIXES, write_plane_plot
from refcert.app.report.plane_values import is_product
from refcert.audit.domain import cut
from refcert.audit.tightness_lp import Optimum, least_volumes
from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import PlaneClaim, Status
from refcert.reference.exact_planes import Plane

# So many of the loosest planes are looked at.
LOOSEST: Final = 3
_FORMS: Final = ", ".join(SUFFIXES)


@dataclass(frozen=True)
class Shown:
    """A plane that is shown. why: 'refuted', 'undecided', 'loosest', 'widest', 'typical'; ratio: volume over least."""

    number: int
    why: str
    table: str
    where: str
    claim: PlaneClaim
    judgement: Judgement
    ratio: float | None = None
    optimum: Plane | None = None
    snippet: str = ""


def shown_planes(report: AuditReport, most: int) -> Iterator[Shown]:
    """Refuted planes, the worst first, then undecided ones, at most `most` each; then the loosest or widest proved
    ones and a typical one.
    """
    yield from _refuted(report, most)
    undecided = (row for row in _rows(report) if row.judgement.status is Status.UNDECIDED)
    for row in islice(undecided, most):
        yield _shown(report, row, "undecided")
    yield from _proved(report)


def check_plot_target(path: Path) -> None:
    """Raise before hours of work where `write_plots` could not write to this path. Makes and changes nothing.

    Raises InputError for a name that looks like a file's, but is no .png, .svg or .pdf; OutputError where a file is in
    the way, or its directory does not exist or cannot be written to.
    """
    if _is_picture(path):
        if path.is_dir():
            raise OutputError(f"--plot {path} is a directory; name a file, or a folder without such a suffix")
        if not path.parent.is_dir():
            raise OutputError(f"--plot {path}: there is no directory {path.parent}; make it first")
    elif path.suffix[1:2].isalpha() and not path.is_dir():
        raise InputError(
            f"--plot {path}: a picture can be {_FORMS}; give one of these suffixes, or a folder's name without one"
        )
    place = path.parent if _is_picture(path) else next(p for p in (path, *path.absolute().parents) if _exists(p))
    if not place.is_dir():
        raise OutputError(f"--plot {path}: {place} is no directory; name another folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise OutputError(f"--plot {path}: no permission to write in {place}; name another place")


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _exists(path: Path) -> bool:
    """Broken links exist, too: they are in the way."""
    return os.path.lexists(path)


def write_plots(report: AuditReport, target: Path, limit: int) -> list[Path]:
    """Write the pictures and return their paths.

    target: a file (.png, .svg, .pdf) for one picture, else a folder, made if need be, for up to `limit` of them.
    Planes whose box is a point have no picture. Raises InputError for a limit below 1 and for other suffixes,
    OutputError if a file cannot be written.
    """
    if limit < 1:
        raise InputError(f"{limit} pictures were asked for; give at least 1")
    check_plot_target(target)
    single = _is_picture(target)
    if not single:
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{target}: the folder for the pictures cannot be made ({error})") from error
    written: list[Path] = []
    for shown in shown_planes(report, most=1 if single else limit):
        path = target if single else target / f"plane-{shown.number:07d}-{shown.why}.png"
        if write_plane_plot(path, shown.claim, shown.judgement, optimum=shown.optimum):
            written.append(path)
        if len(written) >= (1 if single else limit):
            break
    return written


class _Row(NamedTuple):
    number: int
    table: int
    row: int
    judgement: Judgement


def _rows(report: AuditReport) -> Iterator[_Row]:
    """All planes with a verdict."""
    first = 0
    for index, audited in enumerate(report.tables):
        for row, judged in enumerate(audited.judgements):
            if judged is not None:
                yield _Row(first + row, index, row, judged)
        first += len(audited.judgements)


def _refuted(report: AuditReport, most: int) -> Iterator[Shown]:
    """The minimised ones first: they have points that one can read."""
    examples = sorted(report.examples, key=lambda example: (-(example.judgement.violation or 0.0), example.number))
    for e in examples[:most]:
        yield Shown(e.number, "refuted", e.table, e.where, e.claim, e.judgement, snippet=e.snippet)
    known = {example.number for example in examples}
    rest = (row for row in _rows(report) if row.judgement.status is Status.REFUTED and row.number not in known)
    for row in nsmallest(most - len(examples), rest, key=lambda row: (-(row.judgement.violation or 0.0), row.number)):
        yield _shown(report, row, "refuted")


def _proved(report: AuditReport) -> Iterator[Shown]:
    proved = (row for row in _rows(report) if row.judgement.status is Status.PROVED)
    known = [(ratio, row) for row in proved if (ratio := _ratio(report, row)) is not None]
    if known:
        known.sort(key=lambda found: (-found[0], found[1].number))
        for _, row in known[:LOOSEST]:
            yield _shown(report, row, "loosest")
        if len(known) > LOOSEST:
            yield _shown(report, known[len(known) // 2][1], "typical")
        return
    choice = Choice()
    starts = [0, *accumulate(len(audited.judgements) for audited in report.tables)]
    for first, audited in zip(starts, report.tables, strict=False):
        choice.add(first, audited.table, audited.judgements)
    chosen = choice.typical_and_widest()
    for seen, why in zip(reversed(chosen), ("widest", "typical"), strict=False):
        table = bisect_right(starts, seen.number) - 1
        yield _shown(report, _Row(seen.number, table, seen.row, seen.judgement), why)


def _shown(report: AuditReport, row: _Row, why: str) -> Shown:
    audited = report.tables[row.table]
    claim = next(audited.table.claims(row.row, row.row + 1))
    optimum = _optimum(claim) if why == "loosest" else None
    place = where_of(audited.table, row.row)
    return Shown(row.number, why, audited.name, place, claim, row.judgement, _ratio(report, row), optimum)


def _ratio(report: AuditReport, row: _Row) -> float | None:
    ratios = report.tables[row.table].ratios
    return None if ratios is None or not np.isfinite(ratios[row.row]) else float(ratios[row.row])


def _optimum(claim: PlaneClaim) -> Plane | None:
    """The certified least-volume plane; None where there is none, as on octagons."""
    if cut(claim):
        return None
    box = [[claim.lower_v, claim.upper_v, claim.lower_z, claim.upper_z]]
    found = least_volumes(np.array([claim.kind]), np.array([claim.side]), np.array(box))[0]
    if not isinstance(found, Optimum) or found.plane is None:
        return None
    plane = Plane(*found.plane)
    return plane if is_product(claim.kind) else plane._replace(slope_z=0.0)
