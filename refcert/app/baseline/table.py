"""A comparison in words for people: failures first, then what got better, then what is only said."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from refcert.app.baseline.changes import Change, Comparison
from refcert.app.baseline.entries import Baseline

if TYPE_CHECKING:
    from rich.console import Console

SHOWN: Final = 20
"""Changes of one weight on the screen; `--json` has all."""

REMEDY: Final = "if this is what you want, accept it with refcert baseline update"


def lines_of(comparison: Comparison, shown: int | None = SHOWN) -> Iterator[str]:
    """The comparison line by line. shown: of each weight, None for all."""
    failures, improvements, notes = comparison.failures, comparison.improvements, comparison.notes
    yield from _listed("FAILED", failures, shown)
    if comparison.layers:
        where = "of the failed samples" if failures else "of all samples"
        yield f"layers that moved ({where}, on the recorded balls):"
        yield from (f"  {layer.words}" for layer in comparison.layers)
    yield from _listed("better", improvements, shown)
    yield from _listed("note", notes, shown)
    yield summary_of(comparison)


def summary_of(comparison: Comparison) -> str:
    """One line: how many samples, the least value, what failed."""
    least = "" if comparison.least is None else f", least certified {comparison.measure} {comparison.least}"
    head = f"{comparison.compared} samples compared{least}: "
    failures = comparison.failures
    if not failures:
        better = len(comparison.improvements)
        return f"{head}nothing is worse" + (f", {better} improvements" if better else "")
    samples = {change.sample for change in failures if change.sample is not None}
    return f"{head}{len(failures)} failures, {len(samples)} samples; {REMEDY}"


def print_comparison(console: Console, comparison: Comparison) -> None:
    """The outcome of `refcert baseline compare`."""
    for line in lines_of(comparison):
        console.print(line, soft_wrap=True)


def print_recorded(console: Console, baseline: Baseline, out: object) -> None:
    """The outcome of `refcert baseline record`."""
    correct = [sample for sample in baseline.samples if sample.correct]
    values = [sample.value for sample in correct if sample.value is not None]
    least = f"; least certified {baseline.measure} {min(values)}, largest {max(values)}" if values else ""
    console.print(f"{out}: {len(baseline.samples)} samples, {len(correct)} correct{least}. Commit it", soft_wrap=True)


def _listed(word: str, changes: Sequence[Change], shown: int | None) -> Iterator[str]:
    for change in changes[:shown]:
        yield f"{word}: {change.kind}: {change.words}"
    if shown is not None and len(changes) > shown:
        yield f"... and {len(changes) - shown} more (--json has all)"
