"""`refcert_baseline`: a model and data held against a committed baseline, in groups of samples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from refcert.app.baseline.changes import Comparison
from refcert.app.baseline.entries import Baseline, Tolerances
from refcert.app.baseline.table import lines_of
from refcert.app.errors import InputError
from refcert.pytest_plugin import settings as session
from refcert.pytest_plugin.ledger import BASELINE, Entry, Stopwatch
from refcert.pytest_plugin.opened import Opened
from refcert.pytest_plugin.settings import Settings

if TYPE_CHECKING:
    from refcert.app.baseline.run import Guarding
    from refcert.app.baseline.subject import Data, Model, Subject


class BaselineRegressionError(AssertionError):
    """Something is worse than the baseline, or was not guarded. comparisons: of the groups that were looked at."""

    def __init__(self, message: str, comparisons: Sequence[Comparison] = ()) -> None:
        super().__init__(message)
        self.comparisons = tuple(comparisons)


@dataclass(frozen=True)
class Marked:
    """What `@pytest.mark.refcert(...)` can say. None: as recorded, or as the configuration says."""

    baseline: str | None = None
    tolerance_radius: float | None = None
    tolerance_margin: float | None = None
    tolerance_gap: float | None = None
    attack: str | None = None
    audit: bool = False
    search: bool = False
    other_data: bool = False

    @classmethod
    def of(cls, node: pytest.Item) -> Marked:
        """The marks of a test, the nearest one last. Raises UsageError for what is not known."""
        known = {field.name for field in fields(cls)}
        given: dict[str, Any] = {}
        for mark in reversed(list(node.iter_markers("refcert"))):
            if mark.args or not mark.kwargs.keys() <= known:
                unknown = [*map(repr, mark.args), *sorted(mark.kwargs.keys() - known)]
                raise pytest.UsageError(
                    f"{node.nodeid}: @pytest.mark.refcert does not know {', '.join(unknown)}; it takes "
                    f"{', '.join(sorted(known))} by name"
                )
            given |= mark.kwargs
        for field in fields(cls):
            _require(node, field.name, given.get(field.name, field.default), field.default)
        return cls(**given)

    def tolerances(self, recorded: Tolerances) -> Tolerances:
        return recorded.changed(radius=self.tolerance_radius, margin=self.tolerance_margin, gap=self.tolerance_gap)


@dataclass(frozen=True, repr=False)
class Guard:
    """The fixture `refcert_baseline`. path: the baseline's file; node: the test that asked for it."""

    path: Path
    node: pytest.Item
    marked: Marked
    settings: Settings
    stopwatch: Stopwatch
    opened: Opened
    attack: str

    def __repr__(self) -> str:
        return f"<refcert_baseline {self.path.name}>"

    @property
    def baseline(self) -> Baseline:
        """The recorded baseline. Raises InputError."""
        from refcert.app.baseline.reading import load

        return load(self.path)

    def subject(self, model: Model | None = None, data: Data | None = None) -> Subject:
        """The model and data that the baseline names, or others in their place. Raises InputError."""
        return self.opened.subject(self.baseline, self.path, self.settings, model, data)

    def check(
        self, model: Model | None = None, data: Data | None = None, *, samples: Sequence[int] | None = None
    ) -> tuple[Comparison, ...]:
        """Nothing is worse than recorded, for the samples with these indices (all for None).

        model: path, torch.nn.Module or RecurrentClassifier; data: path, (x, labels) or arrays by name; None for what
        the baseline names. Returns the comparisons of the groups. Raises BaselineRegressionError (an AssertionError)
        with samples, layers and counter-examples, also for samples that the budget did not suffice for; InputError for
        samples that the baseline does not have, or none at all.
        """
        from refcert.app.baseline.run import compare_with
        from refcert.app.progress import Progress

        __tracebackhide__ = True
        began = time.monotonic()
        with self.stopwatch:
            recorded, found = self.baseline, []
            indices = _asked(recorded, samples, self.path.name)
            groups = [indices[start : start + session.GROUP] for start in range(0, len(indices), session.GROUP)]
            guarding, subject = self._guarding(recorded), None
            guarded, left = list[int](), list[int]()
            for group in groups:
                if self.stopwatch.over:
                    left += group
                    continue
                subject = subject or self.subject(model, data)
                part = recorded.part(group)
                found.append(compare_with(part, _part(subject, group), guarding, Progress(None))[0])
                guarded += group
        self._report(found, guarded, left, time.monotonic() - began)
        if left or not all(comparison.passed for comparison in found):
            raise BaselineRegressionError(self._words(found, len(left)), found)
        return tuple(found)

    def _guarding(self, recorded: Baseline) -> Guarding:
        from refcert.app.baseline.run import Guarding

        marked = self.marked
        return Guarding(
            tolerances=marked.tolerances(recorded.tolerances),
            search=marked.search,
            audit=marked.audit or recorded.audited,
            workers=1,
            attack=marked.attack or self.attack,
            evidence=Path(self.node.config.rootpath),
            other_data=marked.other_data,
        )

    def _report(self, found: Sequence[Comparison], guarded: Sequence[int], left: Sequence[int], seconds: float) -> None:
        failures = [change for comparison in found for change in comparison.failures]
        least = min(((float(c.least), c) for c in found if c.least is not None), key=lambda pair: pair[0], default=None)
        Entry(
            BASELINE,
            _shown(self.path, self.node.config.rootpath),
            self.settings.seed,
            seconds,
            failures=len(failures),
            guarded=tuple(guarded),
            unguarded=tuple(left),
            improvements=sum(len(comparison.improvements) for comparison in found),
            measure=None if least is None else least[1].measure,
            least=None if least is None else least[0],
            failed=tuple(sorted({change.sample for change in failures if change.sample is not None})),
        ).attach(self.node)

    def _words(self, found: Sequence[Comparison], left: int) -> str:
        name = _shown(self.path, self.node.config.rootpath)
        lines = [f"the model is worse than {name} says (seed {self.settings.seed})"]
        if all(comparison.passed for comparison in found):
            lines = [f"{name} is not guarded as a whole"]
        if left:
            lines.append(f"NOT GUARDED: {left} samples; the budget of {self.settings.budget:g} s is spent")
        for comparison in found:
            if not comparison.passed:
                lines.extend(lines_of(comparison))
        return "\n".join(lines)


def _require(node: pytest.Item, name: str, value: object, default: object) -> None:
    """Raise UsageError for a value of a mark that is of another type than it has to be."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    kind, good = "a number", number
    if name in ("baseline", "attack"):
        kind, good = "a name", isinstance(value, str)
    elif default is False:
        kind, good = "True or False", isinstance(value, bool)
    if value is not default and not good:
        raise pytest.UsageError(f"{node.nodeid}: @pytest.mark.refcert has {name}={value!r}; give {kind}")


def _asked(recorded: Baseline, samples: Sequence[int] | None, name: str) -> list[int]:
    """Sorted indices of the samples that are to be guarded; nothing asked would be nothing found."""
    known = recorded.by_index()
    indices = sorted(known if samples is None else set(samples))
    unknown = [k for k in indices if k not in known]
    if unknown or not indices:
        said = f"samples has {unknown[0]!r}, which is not in {name}" if unknown else "samples is empty"
        raise InputError(f"{said}; name some of its {len(known)} samples, {min(known)} to {max(known)}, or give None")
    return indices


def _part(subject: Subject, group: Sequence[int]) -> Subject:
    """The subject's samples of a group; those that the data does not have are missing there, too."""
    start, stop = group[0], min(group[-1] + 1, len(subject.samples))
    if stop <= start:
        raise InputError(
            f"the baseline has samples {group[0]} to {group[-1]}, the data only {len(subject.samples)}; give the data "
            "that was recorded, or update the baseline"
        )
    return subject.part(start, stop)


def _shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)
