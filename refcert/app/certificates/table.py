"""The outcome of `refcert check` for people in a terminal. Everything in it is in the JSON, too."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from rich.console import Console
from rich.table import Column, Table

from refcert.app.certificates.checking import CheckReport
from refcert.app.certificates.outcome import Outcome
from refcert.app.certificates.verdicts import runs_of, verdicts_path
from refcert.kernel.check import Verdict

# Longer lists are cut on the screen, never in the JSON or the run folder.
SHOWN: Final = 20
_DIGITS: Final = 12  # of a digest, enough to tell a few apart
_FIGURES: Final = 6  # of a margin


def print_check(console: Console, report: CheckReport) -> None:
    """A row for each file, those that are not VALID first and with their reason where not all are shown."""
    open_ = [outcome for outcome in report.outcomes if outcome.verdict != Verdict.VALID]
    valid = [outcome for outcome in report.outcomes if outcome.verdict == Verdict.VALID]
    many = len(report.outcomes) > SHOWN
    table = Table(Column("file", overflow="fold"), "verdict", "claimed margin", "claim", "seconds")
    for outcome in (open_ + valid)[:SHOWN] if many else report.outcomes:
        table.add_row(
            printable(str(outcome.file.path)),
            outcome.verdict,
            "-" if outcome.margin is None else _down(outcome.margin),
            "-" if outcome.claim is None else outcome.claim[:_DIGITS],
            f"{outcome.seconds:.2f}",
        )
    console.print(table)
    if many:
        console.print(f"... and {len(report.outcomes) - SHOWN:,} more (--json has all)")
    for outcome in open_[:SHOWN]:
        console.print(_why(outcome), soft_wrap=True)
    _print_end(console, report)


def _print_end(console: Console, report: CheckReport) -> None:
    proved: dict[str, int] = {}
    for outcome in report.outcomes:
        if outcome.network is not None and outcome.verdict == Verdict.VALID:
            proved[outcome.network] = proved.get(outcome.network, 0) + 1
    for network, number in list(proved.items())[:SHOWN]:
        console.print(f"VALID about the network {network}: {number:,}", soft_wrap=True)
    if len(proved) > SHOWN:
        console.print(f"... and {len(proved) - SHOWN:,} more networks (--json has all)")
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in report.counts.items() if number)
    workers = "1 worker" if report.workers == 1 else f"{report.workers} workers"
    console.print(f"{counts} of {len(report.outcomes):,}; {report.seconds:.2f} s with {workers}", soft_wrap=True)
    for run in runs_of(report.outcomes):
        console.print(f"verdicts: {printable(str(verdicts_path(run)))}", soft_wrap=True)


def _down(margin: float) -> str:
    """Six digits, never more than what is claimed."""
    exact = Decimal(margin)
    digit = Decimal(1).scaleb(exact.adjusted() - _FIGURES + 1)
    return f"{float(exact.quantize(digit, ROUND_FLOOR)):.{_FIGURES}g}"


def _why(outcome: Outcome) -> str:
    where = "" if outcome.step is None else f", step {outcome.step}, {outcome.rule}"
    return printable(f"{outcome.file.path}: {outcome.verdict}{where}: {outcome.reason}{_witness(outcome.witness)}")


def _witness(witness: Mapping[str, object]) -> str:
    return f" ({', '.join(f'{name} {value}' for name, value in witness.items())})" if witness else ""


def printable(text: str) -> str:
    """Text from a file without anything that a terminal would obey."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
