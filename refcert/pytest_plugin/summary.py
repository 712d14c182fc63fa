"""The section at the end of a run: what was guarded, how far it holds, what fell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from refcert.pytest_plugin.ledger import ASSERTION, BASELINE, Entry, entries_of

_SHOWN = 10


def write_summary(reporter: pytest.TerminalReporter, profile: str | None) -> None:
    """Nothing where no test used refcert."""
    entries = list(entries_of(report for reports in reporter.stats.values() for report in reports))
    if not entries:
        return
    reporter.section("refcert")
    for line, good in lines_of(entries):
        reporter.write_line(line, green=good, red=not good)
    if profile is not None:
        reporter.write_line(f"profile {profile}")


def lines_of(entries: Sequence[Entry]) -> Iterator[tuple[str, bool]]:
    """One line for each baseline and each assertion, and whether all is well there."""
    for what in (BASELINE, ASSERTION):
        for name in sorted({entry.name for entry in entries if entry.what == what}):
            mine = [entry for entry in entries if (entry.what, entry.name) == (what, name)]
            parts = _baseline(mine) if what == BASELINE else _assertion(mine)
            seeds = ", ".join(map(str, sorted({entry.seed for entry in mine})))
            parts.append(f"{'seed' if ',' not in seeds else 'seeds'} {seeds}")
            parts.append(f"{sum(entry.seconds for entry in mine):.1f} s")
            yield f"{name}: {'; '.join(parts)}", not any(entry.failures or entry.unguarded for entry in mine)


def _baseline(entries: Sequence[Entry]) -> list[str]:
    guarded = {sample for entry in entries for sample in entry.guarded}
    parts = [f"{len(guarded)} samples guarded"]
    left = len({sample for entry in entries for sample in entry.unguarded})
    if left:
        parts.append(f"{left} NOT GUARDED, the budget was spent")
    least = [(entry.least, entry.measure) for entry in entries if entry.least is not None]
    if least:
        value, measure = min(least)
        parts.append(f"least certified {measure} {value:.6g}")
    failures = sum(entry.failures for entry in entries)
    if failures:
        samples = sorted({sample for entry in entries for sample in entry.failed})
        listed = " ".join(map(str, samples[:_SHOWN])) + (" ..." if len(samples) > _SHOWN else "")
        parts.append(f"{failures} FAILURES" + (f" (samples {listed})" if samples else ""))
    elif not left:
        parts.append("no drops")
    better = sum(entry.improvements for entry in entries)
    if better:
        parts.append(f"{better} improvements")
    return parts


def _assertion(entries: Sequence[Entry]) -> list[str]:
    failed = sum(bool(entry.failures) for entry in entries)
    return [f"{len(entries) - failed} held" + (f", {failed} FAILED" if failed else "")]
