"""JUnit XML of an audit, for continuous integration.

One test suite per table (file, part of a run, family of boxes); in it one test case per kind, side and place in the
network, so that a million planes make a list one can read. A test case fails with its refuted planes, is an error with
undecided ones, and is skipped where planes were not audited: only what is proved as a whole passes. The missing parts
of an unfinished run are one more that is skipped.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from refcert.app.audit_report import AuditedTable, AuditReport, claim_json, said_of, where_of
from refcert.kernel.claims import Status

# Places in the network that tell test cases apart, and how many are told apart at most.
_PLACES: Final = ("layer", "t", "product")
_MOST_CASES: Final = 2000
# Planes that are listed in one failure.
_LISTED: Final = 10


@dataclass
class _Case:
    """Planes of one kind, side and place: rows by what was found, None for not audited."""

    rows: dict[Status | None, list[int]] = field(default_factory=dict)

    @property
    def planes(self) -> int:
        return sum(map(len, self.rows.values()))


def junit_xml(report: AuditReport) -> bytes:
    """The report as a file, UTF-8."""
    root = ET.Element("testsuites", name=_text(f"refcert audit {report.source}"))
    snippets = {(example.table, example.row): example.snippet for example in report.examples}
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    offset = 0
    for audited in report.tables:
        suite = _suite(audited, offset, snippets, report.started)
        for name in totals:
            totals[name] += int(suite.get(name, "0"))
        root.append(suite)
        offset += len(audited.judgements)
    if report.parts_missing:
        root.append(_missing(report))
        totals["tests"] += 1
        totals["skipped"] += 1
    for name, number in totals.items():
        root.set(name, str(number))
    root.set("time", f"{report.seconds:.3f}")
    ET.indent(root)
    text: str = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _suite(audited: AuditedTable, offset: int, snippets: dict[tuple[str, int], str], started: str) -> ET.Element:
    suite = ET.Element("testsuite", name=_text(audited.name))
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    for name, case in _cases(audited).items():
        element = ET.SubElement(suite, "testcase", name=_text(name), classname=_text(audited.name), time="0")
        outcome = _outcome(audited, case, offset, snippets)
        counts["tests"] += 1
        if outcome is not None:
            element.append(outcome)
            counts[{"failure": "failures", "error": "errors"}.get(outcome.tag, outcome.tag)] += 1
    if audited.unasked:
        element = ET.SubElement(suite, "testcase", name="not asked for", classname=_text(audited.name), time="0")
        ET.SubElement(element, "skipped", message=f"{audited.unasked} planes: the budget ran out")
        counts["tests"] += 1
        counts["skipped"] += 1
    for name, number in counts.items():
        suite.set(name, str(number))
    suite.set("time", "0")
    if started:
        suite.set("timestamp", started.partition("+")[0])
    return suite


def _missing(report: AuditReport) -> ET.Element:
    """What an unfinished run has not even certified."""
    name = "not certified yet"
    suite = ET.Element("testsuite", name=name, tests="1", failures="0", errors="0", skipped="1", time="0")
    case = ET.SubElement(suite, "testcase", name="missing parts", classname=name, time="0")
    message = f"{report.parts_missing} parts of the run are missing; continue it with --resume"
    ET.SubElement(case, "skipped", message=message)
    return suite


def _cases(audited: AuditedTable) -> dict[str, _Case]:
    """Test cases by name; fewer details where there would be too many."""
    places = [name for name in _PLACES if name in audited.table.origin]
    cases = _grouped(audited, places)
    return cases if len(cases) <= _MOST_CASES else _grouped(audited, [])


def _grouped(audited: AuditedTable, places: list[str]) -> dict[str, _Case]:
    columns = [audited.table.columns[name].tolist() for name in ("kind", "side")]
    columns += [audited.table.origin[name].tolist() for name in places]
    labels = {"t": "frame", "product": ""}
    cases: dict[str, _Case] = {}
    for row, (kind, side, *values) in enumerate(zip(*columns, strict=True)):
        where = [f"{labels.get(name, name)} {value}".strip() for name, value in zip(places, values, strict=True)]
        case = cases.setdefault(", ".join([f"{kind}, {side}", *where]), _Case())
        judgement = audited.judgements[row]
        case.rows.setdefault(None if judgement is None else judgement.status, []).append(row)
    return cases


def _outcome(
    audited: AuditedTable, case: _Case, offset: int, snippets: dict[tuple[str, int], str]
) -> ET.Element | None:
    """What went wrong, the worst first; None where every plane is proved."""
    for status, tag in ((Status.REFUTED, "failure"), (Status.UNDECIDED, "error")):
        rows = case.rows.get(status, [])
        if rows:
            message = f"{len(rows)} of {case.planes} planes {status}"
            element = ET.Element(tag, message=message, type=str(status))
            lines = list(_lines(audited, rows, offset, snippets))
            element.text = _text("\n".join(lines))
            return element
    rows = case.rows.get(None, [])
    if rows:
        return ET.Element("skipped", message=f"{len(rows)} of {case.planes} planes not audited: the budget ran out")
    return None


def _lines(audited: AuditedTable, rows: list[int], offset: int, snippets: dict[tuple[str, int], str]) -> Iterator[str]:
    for row in rows[:_LISTED]:
        judgement, claim, place = audited.judgements[row], audited.table.claim(row), where_of(audited.table, row)
        assert judgement is not None
        yield f"plane {offset + row} (row {row}{', ' if place else ''}{place}): {said_of(claim.kind, judgement)}"
        yield "  " + ", ".join(f"{name} = {value!r}" for name, value in claim_json(claim).items())
    if len(rows) > _LISTED:
        yield f"... and {len(rows) - _LISTED} more"
    for row in rows:
        if (audited.name, row) in snippets:
            yield "\n" + snippets[audited.name, row]


def _text(text: str) -> str:
    """Without the characters that XML cannot hold at all; the rest is escaped by the writer."""
    return "".join(c if c in "\t\n\r" or _allowed(ord(c)) else "\N{REPLACEMENT CHARACTER}" for c in text)


def _allowed(code: int) -> bool:
    return 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or 0x10000 <= code <= 0x10FFFF
