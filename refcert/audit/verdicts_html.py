"""Verdicts for notebooks. The engine's tables are not used here: who doubts does not import who is doubted."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from refcert.audit.verdicts import Judgement
from refcert.kernel.claims import Status

SHOWN: Final = 20
"""Planes that are shown; the counts are of all."""


def verdicts_html(summary: Mapping[str, int], verdicts: Sequence[Judgement]) -> str:
    """The counts by status, and the first planes that are not proved, refuted ones first, with point or reason."""
    counts = ", ".join(f"{number} {status}" for status, number in summary.items())
    head = "".join(f"<th>{name}</th>" for name in ("plane", "verdict", "point or reason", "violation"))
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in islice(_not_proved(verdicts), SHOWN)
    )
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
    left = sum(verdict.status is not Status.PROVED for verdict in verdicts) - SHOWN
    more = f"<p>and {left} more that are not proved</p>" if left > 0 else ""
    return f"<div><p>{len(verdicts)} planes: {html.escape(counts)}</p>{table}{more}</div>"


def _not_proved(verdicts: Sequence[Judgement]) -> Iterator[tuple[str, str, str, str]]:
    for status in (Status.REFUTED, Status.UNDECIDED):
        for plane, verdict in enumerate(verdicts):
            if verdict.status is not status:
                continue
            told = verdict.reason if verdict.point is None else f"v = {verdict.point[0]!r}, z = {verdict.point[1]!r}"
            yield str(plane), str(status), told, "" if verdict.violation is None else f"{verdict.violation:.6g}"
