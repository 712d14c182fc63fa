"""What every check reports for the summary. It travels in the tests' reports, so workers of xdist need nothing more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

import pytest

PROPERTY: Final = "refcert"
"""Name of the entry among a report's user properties."""

BASELINE: Final = "baseline"
ASSERTION: Final = "assertion"


@dataclass(frozen=True)
class Entry:
    """One check. what: BASELINE or ASSERTION; name: the baseline's file or the assertion.

    guarded, unguarded: indices of the samples that were compared, and of those that were not. least: least certified
    value of a `measure` (radius or margin). failed: samples that are worse; failures counts those of the whole, too.
    """

    what: str
    name: str
    seed: int
    seconds: float
    failures: int = 0
    guarded: tuple[int, ...] = ()
    unguarded: tuple[int, ...] = ()
    improvements: int = 0
    measure: str | None = None
    least: float | None = None
    failed: tuple[int, ...] = ()

    def attach(self, node: pytest.Item) -> None:
        """Into the report of the test that made the check."""
        node.user_properties.append((PROPERTY, json.dumps(asdict(self))))


def entries_of(reports: Iterable[Any]) -> Iterator[Entry]:
    """The entries of finished tests, in their order."""
    for report in reports:
        if getattr(report, "when", None) != "call":
            continue
        for name, value in getattr(report, "user_properties", ()):
            if name == PROPERTY:
                plain: dict[str, Any] = json.loads(value)
                lists = {key: tuple(part) for key, part in plain.items() if isinstance(part, list)}
                yield Entry(**(plain | lists))


class Stopwatch:
    """Seconds that checks took in this process, against the budget."""

    def __init__(self, budget: float | None) -> None:
        self.budget, self.spent = budget, 0.0
        self._began: list[float] = []

    def __enter__(self) -> Stopwatch:
        self._began.append(time.monotonic())
        return self

    def __exit__(self, *_: object) -> None:
        taken = time.monotonic() - self._began.pop()
        if not self._began:  # of checks inside checks the outermost counts
            self.spent += taken

    @property
    def left(self) -> float | None:
        """Seconds that are left, None for no limit."""
        running = time.monotonic() - self._began[0] if self._began else 0.0
        return None if self.budget is None else max(0.0, self.budget - self.spent - running)

    @property
    def over(self) -> bool:
        return self.left == 0.0


STOPWATCH: Final = pytest.StashKey[Stopwatch]()
