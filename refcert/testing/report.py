"""What an assertion found, as data, as text and as HTML. The text is the message of the test that fails."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

SHOWN: Final = 3
"""Violations that a message tells, the first with its snippet; all are in `violations`."""


class Outcome(StrEnum):
    """HOLDS: everything asked was shown, or tried without a counter-example where only that can be done.

    VIOLATED: there is a counter-example, confirmed in exact or ball arithmetic. NOT_PROVED: no proof was found, and no
    counter-example. NOT_DECIDED: the budget ended first.
    """

    HOLDS = "holds"
    VIOLATED = "violated"
    NOT_PROVED = "not proved"
    NOT_DECIDED = "not decided within budget"


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong, or could not be proved.

    what: in words. where: sample, frame, layer, unit, box, row, ..., by name. amount: by how much at least, None where
    there is no such number; unit: what the amount is. details: more lines for people. snippet: Python that shows it and
    ends without an error only if it is so; '' where there is nothing to show. data: the exact numbers.
    """

    what: str
    where: Mapping[str, object] = field(default_factory=dict)
    amount: float | None = None
    unit: str = ""
    details: tuple[str, ...] = ()
    snippet: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)

    def text(self, *, snippet: bool = True) -> str:
        """Several lines, the first without indentation."""
        lines = [self.what]
        if self.where:
            lines.append("  where: " + ", ".join(f"{name} {value}" for name, value in self.where.items()))
        if self.amount is not None:
            lines.append(f"  by:    {self.amount!r}{f' ({self.unit})' if self.unit else ''}")
        lines += [f"  {line}" for line in self.details]
        if self.snippet and snippet:
            lines += ["  reproduce:", textwrap.indent(self.snippet.rstrip("\n"), "    ")]
        return "\n".join(lines)

    def html(self) -> str:
        """The same as a fragment of HTML."""
        rows = [(name, str(value)) for name, value in self.where.items()]
        if self.amount is not None:
            rows.append(("by", f"{self.amount!r} {self.unit}".strip()))
        cells = "".join(f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>" for a, b in rows)
        told = "".join(f"<p>{html.escape(line)}</p>" for line in self.details)
        code = f"<details><summary>reproduce</summary><pre>{html.escape(self.snippet)}</pre></details>"
        return f"<h4>{html.escape(self.what)}</h4><table>{cells}</table>{told}{code if self.snippet else ''}"


@dataclass(frozen=True)
class Report:
    """assertion: its name. summary: one sentence. seed: None where nothing was drawn. notes: more sentences.

    violations: the most telling first. numbers: what was counted or measured, by name.
    """

    assertion: str
    outcome: Outcome
    summary: str
    seed: int | None = None
    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def text(self) -> str:
        """The message."""
        lines = [f"{self.assertion}: {self.outcome.upper()}. {self.summary}", *self.notes]
        if self.seed is not None:
            lines.append(f"seed {self.seed}: the same seed finds the same again")
        for number, violation in enumerate(self.violations[:SHOWN], 1):
            lines += ["", f"[{number}] {violation.text(snippet=number == 1)}"]
        if len(self.violations) > SHOWN:
            lines += ["", f"and {len(self.violations) - SHOWN} more, in .violations"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """For notebooks."""
        head = f"<h3>{html.escape(self.assertion)}: {html.escape(self.outcome)}</h3><p>{html.escape(self.summary)}</p>"
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        seed = "" if self.seed is None else f"<p>seed {self.seed}</p>"
        more = len(self.violations) - SHOWN
        rest = f"<p>and {more} more, in <code>.violations</code></p>" if more > 0 else ""
        return f"<div>{head}{notes}{seed}{''.join(v.html() for v in self.violations[:SHOWN])}{rest}</div>"


class RefcertAssertionError(AssertionError):
    """An assertion of refcert failed; its message is the report's text."""

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return self.report.text()

    @property
    def outcome(self) -> Outcome:
        """Why it failed."""
        return self.report.outcome

    @property
    def violations(self) -> tuple[Violation, ...]:
        """What is wrong, or not proved, with the exact numbers in `data`."""
        return self.report.violations

    @property
    def seed(self) -> int | None:
        """The seed that finds it again."""
        return self.report.seed

    @property
    def snippet(self) -> str:
        """The first violation's snippet."""
        return next((one.snippet for one in self.violations if one.snippet), "")

    def _repr_html_(self) -> str:
        return self.report._repr_html_()


class ViolatedError(RefcertAssertionError):
    """There is a counter-example, confirmed in exact or ball arithmetic."""


class NotProvedError(RefcertAssertionError):
    """Nothing proves it, and no counter-example was found."""


class NotDecidedError(RefcertAssertionError):
    """The budget ended before everything was looked at; nothing wrong was found until then."""


_ERRORS: Final = {
    Outcome.VIOLATED: ViolatedError,
    Outcome.NOT_PROVED: NotProvedError,
    Outcome.NOT_DECIDED: NotDecidedError,
}


def concluded(report: Report) -> Report:
    """The report if it HOLDS, else its error is raised."""
    __tracebackhide__ = True  # pytest shows the test's own line and the message
    if report.outcome is Outcome.HOLDS:
        return report
    raise _ERRORS[report.outcome](report)
