"""The outcome of `refcert audit` for people in a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from refcert.app.audit_report import AuditReport, said_of
from refcert.kernel.claims import Status

# Longer lists are cut on the screen, never in the JSON or the audit's folder.
SHOWN: Final = 20
_GROUPS: Final = 60
Key = tuple[str, ...]
_VERDICTS: Final = (Status.PROVED, Status.REFUTED, Status.UNDECIDED, None)


def print_audit(console: Console, report: AuditReport) -> None:
    """Counts by table, kind and side, every plane that is not proved, and snippets that show violations."""
    _print_counts(console, report)
    _print_planes(console, report)
    _print_end(console, report)
    for example in report.examples:
        place = f"plane {example.number}" + (f" ({example.table}, row {example.row})" if len(report.tables) > 1 else "")
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
    several = len(report.tables) > 1
    if several and len(groups) <= _GROUPS:
        _print_table(console, ("table", "kind", "side"), groups)
        return
    if several and len(report.tables) <= _GROUPS:
        _print_table(console, ("table",), _joined(groups, slice(0, 1)))
    _print_table(console, ("kind", "side"), dict(sorted(_joined(groups, slice(1, 3)).items())))


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
    shown = hidden = offset = 0
    for audited in report.tables:
        kinds, sides = audited.table.columns["kind"], audited.table.columns["side"]
        for row, judgement in enumerate(audited.judgements):
            if judgement is None or judgement.status is Status.PROVED:
                continue
            if shown == SHOWN:
                hidden += 1
                continue
            shown += 1
            name = f" ({audited.name}, row {row})" if len(report.tables) > 1 else ""
            text = f"plane {offset + row}{name}: {kinds[row]}, {sides[row]}: {said_of(str(kinds[row]), judgement)}"
            console.print(text, soft_wrap=True)
        offset += len(audited.judgements)
    if hidden:
        console.print(f"... and {hidden:,} more (--json has all)")


def _print_end(console: Console, report: AuditReport) -> None:
    rate = ""
    if report.judged_now and report.seconds > 0:
        rate = f"; {report.judged_now / report.seconds:,.0f} planes/s with {report.workers} workers"
    counts = ", ".join(f"{number:,} {name}" for name, number in report.summary.items())
    console.print(f"{counts}{rate}", soft_wrap=True)
    methods = ", ".join(f"{number:,} by {name}" for name, number in report.methods.items())
    if len(report.methods) > 1 or report.request.get("cross_check"):
        console.print(f"decided: {methods}", soft_wrap=True)
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
            "--out and --resume continue, or give a larger one",
            soft_wrap=True,
        )
    if report.parts_missing:
        console.print(f"The run is not finished: {report.parts_missing} parts are missing; continue it with --resume")
