"""The outcome of `refcert audit` for people in a terminal."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from refcert.app.audit_report import AuditedTable, AuditReport, said_of
from refcert.audit.verdicts import Judgement, Method
from refcert.kernel.claims import Status

# Longer lists are cut on the screen, never in the JSON or the audit's folder.
SHOWN: Final = 20
_GROUPS: Final = 60
Key = tuple[str, ...]
_NOT_ASKED: Final = "(not asked for)"
# Both methods give this as the reason of every point; the screen shows the point itself.
_SAID_BY_THE_POINT: Final = "a point lies beyond the plane"
_METHODS: Final = {
    Method.CANDIDATES: "critical points",
    Method.BRANCHING: "interval branch and bound",
    Method.HUNT: "a search whose point is confirmed",
}
_VERDICTS: Final = (Status.PROVED, Status.REFUTED, Status.UNDECIDED, None)


def print_audit(console: Console, report: AuditReport, out: Path | None = None) -> None:
    """Counts by table, kind and side, every plane that is not proved, and snippets that show violations.

    out: the audit's folder, from which it could go on.
    """
    _print_counts(console, report)
    _print_planes(console, report)
    _print_end(console, report, out)
    for example in report.examples:
        place = f"plane {example.number} ({example.table}, row {example.row})"
        console.print(f"\n{place}, as Python:\n", soft_wrap=True)
        console.print(example.snippet.rstrip("\n"), soft_wrap=True)


def _print_counts(console: Console, report: AuditReport) -> None:
    groups: dict[Key, Counter[Status | None]] = {}
    for audited in report.tables:
        columns = audited.table.columns
        for kind, side, judgement in zip(
            columns["kind"].tolist(), columns["side"].tolist(), audited.judgements, strict=True
        ):
            group = groups.setdefault((audited.name, kind, side), Counter())
            group[None if judgement is None else judgement.status] += 1
        if audited.unasked:
            groups[audited.name, _NOT_ASKED, ""] = Counter({None: audited.unasked})
    several = len(report.tables) > 1
    if several and len(groups) <= _GROUPS:
        _print_table(console, ("table", "kind", "side"), groups)
        return
    if several and len(report.tables) <= _GROUPS:
        _print_table(console, ("table",), _joined(groups, slice(0, 1)))
    both = sorted(_joined(groups, slice(1, 3)).items(), key=lambda group: (group[0][0] == _NOT_ASKED, group[0]))
    _print_table(console, ("kind", "side"), dict(both))


def _joined(groups: Mapping[Key, Counter[Status | None]], part: slice) -> dict[Key, Counter[Status | None]]:
    """The counts of all groups whose names agree in that part."""
    joined: dict[Key, Counter[Status | None]] = {}
    for key, counts in groups.items():
        joined.setdefault(key[part], Counter()).update(counts)
    return joined


def _print_table(console: Console, heads: tuple[str, ...], groups: Mapping[Key, Counter[Status | None]]) -> None:
    not_audited = any(counts[None] for counts in groups.values())
    table = Table(*heads, "proved", "refuted", "undecided", *(["not audited"] if not_audited else []))
    for key, counts in groups.items():
        numbers = [f"{counts[status]:,}" for status in _VERDICTS[: None if not_audited else -1]]
        table.add_row(*key, *numbers)
    console.print(table)


def _print_planes(console: Console, report: AuditReport) -> None:
    """Refuted planes, the largest violation first, then those that are undecided, in their order."""
    found: list[tuple[bool, float, int, AuditedTable, int, Judgement]] = []
    offset = 0
    for audited in report.tables:
        for row, judgement in enumerate(audited.judgements):
            if judgement is not None and judgement.status is not Status.PROVED:
                open_ = judgement.status is Status.UNDECIDED
                found.append((open_, -(judgement.violation or 0.0), offset + row, audited, row, judgement))
        offset += len(audited.judgements)
    for _, _, number, audited, row, judgement in heapq.nsmallest(SHOWN, found, key=lambda plane: plane[:3]):
        kind, side = (str(audited.table.columns[name][row]) for name in ("kind", "side"))
        if judgement.status is Status.REFUTED and judgement.reason == _SAID_BY_THE_POINT:
            judgement = judgement._replace(reason="")
        place = f"plane {number} ({audited.name}, row {row})"
        console.print(f"{place}: {kind}, {side}: {said_of(kind, judgement)}", soft_wrap=True)
    if len(found) > SHOWN:
        console.print(f"... and {len(found) - SHOWN:,} more (--json has all)")


def _print_end(console: Console, report: AuditReport, out: Path | None) -> None:
    rate = ""
    if report.judged_now and report.seconds > 0:
        rate = f"; {report.judged_now / report.seconds:,.0f} planes/s with {report.workers} workers"
    counts = ", ".join(f"{number:,} {name}" for name, number in report.summary.items())
    console.print(f"{counts}{rate}", soft_wrap=True)
    methods = ", ".join(f"{number:,} by {name} ({_METHODS[Method(name)]})" for name, number in report.methods.items())
    if len(report.methods) > 1 or report.request.get("cross_check"):
        console.print(f"decided: {methods}", soft_wrap=True)
    if report.cross_checked is not None:
        console.print(f"cross-check: {report.cross_checked:,} planes judged by both methods, no contradiction")
    tightness = report.tightness
    if tightness is not None:
        quantiles = ", ".join(
            f"{name} {value:.4g}" for name, value in tightness.items() if name != "count" and value is not None
        )
        console.print(f"volume over least volume, {tightness['count']:,} planes: {quantiles or 'none'}", soft_wrap=True)
    if report.not_audited:
        total = sum(report.counts.values())
        console.print(
            f"NOT AUDITED: {report.not_audited:,} of {total:,} planes, the budget ran out; "
            + ("give a larger one" if out is None else f"continue with --out {out} --resume, or give a larger one"),
            soft_wrap=True,
        )
    if report.parts_missing:
        console.print(f"The run is not finished: {report.parts_missing} parts are missing; continue it with --resume")
